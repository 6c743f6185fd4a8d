// Whether a customer will come back, and what that is worth, by two fitted models of a population.
//
// BG/NBD: while alive a customer buys at random with a rate of its own (Gamma over customers), and
// after each purchase leaves for good with a probability of its own (Beta over customers).
//   Fader, Hardie, Lee: "Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD
//   Model. Marketing Science 24(2), 2005; P(alive) in their note "Computing P(alive) Using the
//   BG/NBD Model", 2008.
// Gamma-Gamma: what a customer spends at a time varies around a mean of its own (Gamma over
// customers), and does not depend on how often the customer buys.
//   Fader, Hardie: The Gamma-Gamma Model of Monetary Value, 2013.
#pragma once

#include "base/time.h"

namespace heartbeatd {

// What is known of a customer: x repeat purchases (without the first), the last of them t_x after
// the first purchase, observed for T; in the model's unit of time, 0 <= t_x <= T.
struct PurchaseHistory {
  double repeats = 0;
  double last_repeat = 0;
  double observed = 0;
};

// All parameters are positive.
struct BgNbd {
  double r = 0;      // shape of the purchase rates
  double alpha = 0;  // and their scale, in units of time
  double a = 0;      // of the probabilities of leaving
  double b = 0;

  // P(alive | x, t_x, T). For a customer without a repeat purchase the model says 1.
  [[nodiscard]] double Alive(const PurchaseHistory& history) const;
  // The T at which P(alive) has fallen to `probability` (0 < p < 1), for x > 0; may be below t_x,
  // and infinite.
  [[nodiscard]] double FallsTo(const PurchaseHistory& history, double probability) const;
  // E[Y(t) | x, t_x, T]: purchases in the `ahead` units after T (equation 10).
  [[nodiscard]] double ExpectedPurchases(const PurchaseHistory& history, double ahead) const;
};

// p, gamma > 0 and q > 1.
struct GammaGamma {
  double p = 0;
  double q = 0;
  double gamma = 0;  // in money

  // E[M | x, m]: the mean value of a purchase, after `purchases` of them for `money` in all.
  [[nodiscard]] double MeanValue(double purchases, double money) const;
};

}  // namespace heartbeatd
