#include "base/duration.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace heartbeatd {
namespace {

using Unit = std::pair<std::string_view, int64_t>;
constexpr std::array<Unit, 6> kUnits = {{{"ms", 1},
                                         {"s", 1000},
                                         {"m", 60'000},
                                         {"h", 3'600'000},
                                         {"d", kMsPerDay},
                                         {"w", 7 * kMsPerDay}}};

}  // namespace

Result<Duration> ParseDuration(std::string_view text) {
  const auto bad = [&] {
    return Fail(fmt::format(
        "'{}' is not a duration: write a number and one of ms, s, m, h, d, w, as in 28d", text));
  };
  double value = 0;
  const auto [end, failure] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (failure != std::errc() || !(value >= 0)) return bad();
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  if (unit.empty() && value == 0) return Duration(0);
  for (const auto& [name, ms] : kUnits) {
    if (unit != name) continue;
    const double total = value * static_cast<double>(ms);
    if (total > static_cast<double>(kDurationMax.count())) {
      return Fail(fmt::format("'{}' is too long: at most {}", text, FormatDuration(kDurationMax)));
    }
    return Duration(std::llround(total));
  }
  return bad();
}

std::string FormatDuration(Duration d) {
  const int64_t ms = d.count();
  if (ms == 0) return "0s";
  for (const std::string_view name : {"d", "h", "m", "s", "ms"}) {
    for (const auto& [unit, unit_ms] : kUnits) {
      if (unit == name && ms % unit_ms == 0) return fmt::format("{}{}", ms / unit_ms, name);
    }
  }
  return fmt::format("{}ms", ms);
}

}  // namespace heartbeatd
