// A store in memory: for backtest, for tests, and as the model that the contract tests hold the
// RocksDB store against.
#pragma once

#include <memory>

#include "store/store.h"

namespace heartbeatd {

std::unique_ptr<Store> MakeMemoryStore();

}  // namespace heartbeatd
