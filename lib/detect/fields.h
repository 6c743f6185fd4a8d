// Fields of rules that several detectors read alike.
#pragma once

#include <optional>
#include <string_view>

#include "base/node.h"

namespace heartbeatd {

// A probability strictly between 0 and 1; nothing if it is absent, or after an error.
std::optional<double> ReadProbability(MapReader& fields, std::string_view key);

// A duration longer than 0; likewise.
std::optional<Duration> ReadDuration(MapReader& fields, std::string_view key);

}  // namespace heartbeatd
