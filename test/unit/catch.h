// Catch2 2 and 3 under one name, and the seed of tests that draw at random.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <cstdint>
#include <cstdlib>
#include <random>

namespace heartbeatd {

// A new seed in every run. Put it where a failure prints it (CAPTURE(seed));
// HEARTBEATD_TEST_SEED=<seed> repeats that run.
inline uint64_t TestSeed() {
  if (const char* fixed = std::getenv("HEARTBEATD_TEST_SEED"); fixed != nullptr)
    return std::strtoull(fixed, nullptr, 10);
  return std::random_device()();
}

}  // namespace heartbeatd
