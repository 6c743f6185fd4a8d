// heartbeatd run: constructs the real parts, runs the workers, and ends them.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace heartbeatd {

struct RunOptions {
  std::vector<std::string> configs;
  bool accept_lost_input = false;
};

// Returns when SIGTERM or SIGINT has been obeyed, or with the error that ended the daemon.
Status RunDaemon(const RunOptions& options);

}  // namespace heartbeatd
