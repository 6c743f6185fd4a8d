#include "detect/evidence.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "event/event.h"

namespace heartbeatd {

double Rounded(double value) {
  if (!std::isfinite(value)) return value;
  return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr);
}

double Units(int64_t micros) {
  return static_cast<double>(micros) / static_cast<double>(kMicrosPerUnit);
}

nlohmann::ordered_json Plain(double value) {
  constexpr double kTwoTo53 = 9007199254740992.0;
  if (std::trunc(value) == value && std::abs(value) < kTwoTo53) return static_cast<int64_t>(value);
  return value;
}

}  // namespace heartbeatd
