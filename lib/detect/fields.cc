#include "detect/fields.h"

#include <fmt/format.h>

namespace heartbeatd {

std::optional<double> ReadProbability(MapReader& fields, std::string_view key) {
  const std::optional<double> p = fields.Number(key, -1e300, 1e300);
  if (!p || (*p > 0 && *p < 1)) return p;
  fields.ErrorAt(key, fmt::format("'{}' of {} must be more than 0 and less than 1, not {}", key,
                                  fields.what(), *p));
  return {};
}

std::optional<Duration> ReadDuration(MapReader& fields, std::string_view key) {
  const std::optional<Duration> time = fields.Time(key);
  if (!time || *time > Duration(0)) return time;
  fields.ErrorAt(key, fmt::format("'{}' must be longer than 0", key));
  return {};
}

}  // namespace heartbeatd
