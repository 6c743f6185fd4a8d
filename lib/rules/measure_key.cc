#include "rules/measure_key.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/id.h"

namespace heartbeatd {
namespace {

// A text that names everything that changes what the measure holds.
std::string DefinitionOf(const MeasureDef& def, const EventSchema& schema) {
  std::vector<std::string> types;
  for (const int type : def.types) types.push_back(schema.types()[static_cast<size_t>(type)]);
  std::sort(types.begin(), types.end());
  std::vector<std::string> where;
  for (const PropertyMatch& match : def.where) {
    std::vector<std::string> values = match.any_of;
    std::sort(values.begin(), values.end());
    where.push_back(
        fmt::format("{}={}", schema.properties()[static_cast<size_t>(match.property)], values));
  }
  std::sort(where.begin(), where.end());
  const auto property = [&](int id) {
    return id < 0 ? std::string() : schema.properties()[static_cast<size_t>(id)];
  };
  return fmt::format("{}|{}|{}|{}:{}|{}|{}", def.name, types, where, static_cast<int>(def.sum),
                     property(def.sum_property), property(def.distinct_property),
                     static_cast<int>(def.resolution));
}

}  // namespace

uint64_t MeasureKey(const MeasureDef& def, const EventSchema& schema) {
  return Hash64(DefinitionOf(def, schema));
}

}  // namespace heartbeatd
