#include "detect/evidence.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "event/event.h"

namespace heartbeatd {

double Rounded(double value) {
  if (!std::isfinite(value)) return value;
  return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr);
}

double Units(int64_t micros) {
  return static_cast<double>(micros) / static_cast<double>(kMicrosPerUnit);
}

}  // namespace heartbeatd
