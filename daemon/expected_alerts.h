// The alerts that a rule test expects, against those that came.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/node.h"
#include "base/time.h"

namespace heartbeatd {

// Reads a time as a file may write it; nothing if it is none.
using ReadTime = std::function<std::optional<EventTime>(const std::string& text)>;

// The alert's fields under the names that a test uses.
nlohmann::ordered_json FieldsOf(const std::string& payload);

// What is wrong with these alerts (fields as above), or nothing. `expected`: a list of maps, in any
// order; only what a map names is compared.
std::optional<std::string> Judge(const std::vector<nlohmann::ordered_json>& alerts,
                                 const Node& expected, const ReadTime& read_time);

}  // namespace heartbeatd
