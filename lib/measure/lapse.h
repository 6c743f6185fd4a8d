// The lapse score: how surprising a customer's silence is, measured against the customer's own
// rhythm and, as long as little is known of it, against the population's.
//
// Source: docs/statistics.md, "Lapse score". With m0 the population's mean gap in days and (x, s)
// the customer's cadence: B = m0 + s, m = (2*m0 + s)/(2 + x), and for t days since the last event
//     score(t) = (1 + x) * log10(1 + t/B) + log10(max(0.5, min(t, m)))
// which estimates -log10 of the false alerts per customer-day of a rule that fires at this score.
// The first term is the survival of a Lomax distribution (exponential gaps under a Gamma prior).
#pragma once

#include <optional>

#include "base/time.h"
#include "measure/measure.h"

namespace heartbeatd {

// The score at which q false alerts per customer-week (0 < q < 7) are allowed: -log10(q/7).
double LapseThreshold(double false_alerts_per_week);

// m: the gap that is expected next, in days (> 0).
double ExpectedGapDays(const Cadence& cadence, double population_gap_days);

// `t_days` >= 0, real. Monotone in t_days.
double LapseScore(const Cadence& cadence, double population_gap_days, double t_days);

// The moment after `last` at which the score first reaches `threshold` (to the millisecond, rounded
// up, at least 1 ms after `last`), or `last + horizon` if that comes first.
EventTime LapseTime(const Cadence& cadence, double population_gap_days, double threshold,
                    EventTime last, Duration horizon);

}  // namespace heartbeatd
