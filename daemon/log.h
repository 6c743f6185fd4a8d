// Logging: one logger for the process, on standard error, for people or as JSON lines. Customer ids
// and payloads are never logged.
#pragma once

#include <string>

#include "base/error.h"

namespace heartbeatd {

// `level`: trace, debug, info, warn, error. `format`: text or json. Call once, before other
// threads.
Status SetUpLogging(const std::string& level, const std::string& format);

}  // namespace heartbeatd
