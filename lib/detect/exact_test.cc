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

}  // namespace heartbeatd
