#include "detect/bg_nbd.h"

#include <cmath>

namespace heartbeatd {
namespace {

// Gauss's hypergeometric function 2F1(a, b; c; z) by its series, for 0 <= z < 1 and c > 0. Its
// terms shrink at least as fast as z^n in the end, whatever the signs of a and b.
double Hypergeometric(double a, double b, double c, double z) {
  constexpr int kTermsMax = 1'000'000;
  double term = 1;
  double sum = 1;
  for (int n = 0; n < kTermsMax; ++n) {
    term *= (a + n) * (b + n) / ((c + n) * (n + 1)) * z;
    sum += term;
    if (std::abs(term) < 1e-15 * std::abs(sum) * (1 - z)) break;
  }
  return sum;
}

}  // namespace

double BgNbd::Alive(const PurchaseHistory& history) const {
  if (history.repeats <= 0) return 1;
  const double odds =
      a / (b + history.repeats - 1) *
      std::pow((alpha + history.observed) / (alpha + history.last_repeat), r + history.repeats);
  return 1 / (1 + odds);
}

double BgNbd::FallsTo(const PurchaseHistory& history, double probability) const {
  const double odds = (1 / probability - 1) * (b + history.repeats - 1) / a;
  return (alpha + history.last_repeat) * std::pow(odds, 1 / (r + history.repeats)) - alpha;
}

// Equation 10 with Euler's transformation of its 2F1 (DLMF 15.8.1), in which x appears in no
// exponent: nothing overflows, however often the customer has bought. The last factor is P(alive)
// for x > 0, and 1 for x = 0.
double BgNbd::ExpectedPurchases(const PurchaseHistory& history, double ahead) const {
  const double x = history.repeats;
  // At a = 1 both factors below are 0/0; the limit is as good as the value next to it.
  const double a1 = std::abs(a - 1) < 1e-7 ? 1 + 1e-7 : a;
  const double z = ahead / (alpha + history.observed + ahead);
  const double rest =
      std::pow(1 - z, a1 - 1) * Hypergeometric(a1 + b - 1 - r, a1 - 1, a1 + b + x - 1, z);
  return (a1 + b + x - 1) / (a1 - 1) * (1 - rest) * Alive(history);
}

double GammaGamma::MeanValue(double purchases, double money) const {
  return p * (gamma + money) / (p * purchases + q - 1);
}

}  // namespace heartbeatd
