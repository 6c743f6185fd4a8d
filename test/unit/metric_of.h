// What the page of the metrics says.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "metrics/metrics.h"

namespace heartbeatd {

// The value of the sample of this name and labels, as text; "none" if there is none.
inline std::string MetricOf(const Metrics& metrics, std::string_view sample) {
  const std::string text = metrics.Text();
  const size_t begin = text.find(fmt::format("\n{} ", sample));
  if (begin == std::string::npos) return "none";
  const size_t value = begin + sample.size() + 2;
  return text.substr(value, text.find('\n', value) - value);
}

}  // namespace heartbeatd
