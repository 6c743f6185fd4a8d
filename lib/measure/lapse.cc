#include "measure/lapse.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace heartbeatd {
namespace {

double Level(double t_days, double expected) {
  return std::log10(std::max(0.5, std::min(t_days, expected)));
}

// The smallest t in (0, m] with score(t) >= threshold, given that score(m) is.
double Bisect(const Cadence& cadence, double m0, double threshold, double m) {
  double low = 0;
  double high = m;
  while (true) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return high;
    (LapseScore(cadence, m0, middle) >= threshold ? high : low) = middle;
  }
}

}  // namespace

double LapseThreshold(double false_alerts_per_week) {
  return -std::log10(false_alerts_per_week / 7);
}

double ExpectedGapDays(const Cadence& cadence, double population_gap_days) {
  return (2 * population_gap_days + cadence.s) / (2 + cadence.x);
}

double LapseScore(const Cadence& cadence, double population_gap_days, double t_days) {
  const double b = population_gap_days + cadence.s;
  return (1 + cadence.x) * std::log1p(t_days / b) / std::numbers::ln10 +
         Level(t_days, ExpectedGapDays(cadence, population_gap_days));
}

EventTime LapseTime(const Cadence& cadence, double population_gap_days, double threshold,
                    EventTime last, Duration horizon) {
  const double b = population_gap_days + cadence.s;
  const double m = ExpectedGapDays(cadence, population_gap_days);
  // Solves the score for t >= m, where its second term is constant.
  const double level = std::log10(std::max(0.5, m));
  double t = b * std::expm1(std::numbers::ln10 * (threshold - level) / (1 + cadence.x));
  if (t < m) t = Bisect(cadence, population_gap_days, threshold, m);
  // `t` may be infinite: compare before converting to an integer.
  const double limit_ms = static_cast<double>(horizon.count());
  const double t_ms = std::ceil(t * static_cast<double>(kMsPerDay));
  const double capped = t_ms < limit_ms ? std::max(1.0, t_ms) : limit_ms;
  return last + Duration(static_cast<int64_t>(capped));
}

}  // namespace heartbeatd
