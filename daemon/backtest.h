// heartbeatd backtest: a file of events through the same shard code as `run`, in one shard, with a
// store in memory.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace heartbeatd {

struct BacktestOptions {
  std::vector<std::string> configs;
  std::string input;                 // JSON lines, plain or compressed; "-": standard input
  std::optional<std::string> until;  // RFC 3339; default: the time of the last event
  std::optional<std::string>
      alerts;                   // where the alerts go, one CloudEvent a line; "-": standard output
  std::string format = "text";  // of the summary on standard output: text or json
};

Status RunBacktest(const BacktestOptions& options);

}  // namespace heartbeatd
