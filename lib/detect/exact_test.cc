#include "detect/exact_test.h"

#include <boost/math/special_functions/beta.hpp>

namespace heartbeatd {

double BinomialAtMost(int64_t k, int64_t n, double p) {
  if (k >= n) return 1;
  return boost::math::ibetac(static_cast<double>(k + 1), static_cast<double>(n - k), p);
}

double BinomialAtLeast(int64_t k, int64_t n, double p) {
  if (k <= 0) return 1;
  return boost::math::ibeta(static_cast<double>(k), static_cast<double>(n - k + 1), p);
}

// As others come to the same k, P(X <= k) falls and P(X >= k) rises: each k has one critical number
// of others, from which on the first is significant and up to which the second is.
ExactTest::ExactTest(Tail tail, double p, double level) : tail_(tail), p_(p), level_(level) {
  constexpr int64_t kTabulated = 32;
  constexpr int64_t kOthersMax = int64_t{1} << 40;
  for (int64_t k = 0; k < kTabulated; ++k) {
    const bool alone = Compute(k, 0);
    if (tail == Tail::kAtLeast && !alone) {
      critical_.push_back(-1);
      continue;
    }
    int64_t low = 0;   // as without others
    int64_t high = 1;  // not so, or more than there ever are
    while (high < kOthersMax && Compute(k, high) == alone) {
      low = high;
      high *= 2;
    }
    while (high - low > 1 && high < kOthersMax) {
      const int64_t middle = low + (high - low) / 2;
      (Compute(k, middle) == alone ? low : high) = middle;
    }
    critical_.push_back(tail == Tail::kAtMost ? high : low);
  }
}

bool ExactTest::Compute(int64_t k, int64_t others) const {
  const double p_value = tail_ == Tail::kAtMost ? BinomialAtMost(k, k + others, p_)
                                                : BinomialAtLeast(k, k + others, p_);
  return p_value <= level_;
}

bool ExactTest::IsSignificant(int64_t k, int64_t others) const {
  if (k < 0 || k >= static_cast<int64_t>(critical_.size())) return Compute(k, others);
  const int64_t critical = critical_[static_cast<size_t>(k)];
  return tail_ == Tail::kAtMost ? others >= critical : others <= critical;
}

}  // namespace heartbeatd
