// The one source of chance of a simulated world: equal seeds give equal worlds.
#pragma once

#include <cstdint>
#include <random>

namespace heartbeatd::sim {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed * 0x9E3779B97F4A7C15u + 1) {}

  // In [0, n); n > 0.
  uint64_t Below(uint64_t n) { return engine_() % n; }
  int64_t Between(int64_t low, int64_t high) {  // both included
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low) + 1));
  }
  // True once in n times; never for n = 0.
  bool OneIn(uint64_t n) { return n != 0 && Below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace heartbeatd::sim
