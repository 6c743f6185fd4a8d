// The exact test of `dropping` and `increasing`: k of n events lie in the window. If nothing had
// changed, each would lie there with probability p0 = the window's share of the time, so the number
// in the window is X ~ Bin(n, p0) (docs/statistics.md, "Exact test").
#pragma once

#include <cstdint>
#include <vector>

namespace heartbeatd {

// P(X <= k) and P(X >= k) for X ~ Bin(n, p), 0 <= k <= n, 0 < p < 1, as regularised incomplete beta
// functions (DLMF 8.17.5).
double BinomialAtMost(int64_t k, int64_t n, double p);
double BinomialAtLeast(int64_t k, int64_t n, double p);

// The test at one level, by critical values where k is small: the functions above take as long as
// all other work on an event. Constant, and so thread-safe.
class ExactTest {
 public:
  enum class Tail : uint8_t { kAtMost, kAtLeast };

  // 0 < p < 1, 0 < level < 1.
  ExactTest(Tail tail, double p, double level);

  // Whether P(X <= k), or P(X >= k), for X ~ Bin(k + others, p) is at most the level.
  [[nodiscard]] bool IsSignificant(int64_t k, int64_t others) const;

 private:
  [[nodiscard]] bool Compute(int64_t k, int64_t others) const;

  Tail tail_;
  double p_;
  double level_;
  // For each small k: at most so many others, or at least so many, are significant.
  std::vector<int64_t> critical_;
};

}  // namespace heartbeatd
