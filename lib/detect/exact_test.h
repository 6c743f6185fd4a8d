// The exact test of `dropping` and `increasing`: k of n events lie in the window. If nothing had
// changed, each would lie there with probability p0 = the window's share of the time, so the number
// in the window is X ~ Bin(n, p0) (docs/statistics.md, "Exact test").
#pragma once

#include <cstdint>

namespace heartbeatd {

// P(X <= k) and P(X >= k) for X ~ Bin(n, p), 0 <= k <= n, 0 < p < 1, as regularised incomplete beta
// functions (DLMF 8.17.5).
double BinomialAtMost(int64_t k, int64_t n, double p);
double BinomialAtLeast(int64_t k, int64_t n, double p);

}  // namespace heartbeatd
