#include "measure/lapse.h"

#include <cmath>
#include <limits>
#include <random>

#include "given.h"

using namespace heartbeatd;

namespace {

constexpr Duration kNoHorizon = Duration(std::numeric_limits<int64_t>::max() / 2);

Cadence CadenceOf(double x, double s) { return {.days = 5, .last_day = 100, .x = x, .s = s}; }

// The score again, from the formula and nothing else, in more digits than a double has.
long double ScoreByHand(const Cadence& c, double m0, long double t) {
  const long double b = static_cast<long double>(m0) + c.s;
  const long double m =
      (2 * static_cast<long double>(m0) + c.s) / (2 + static_cast<long double>(c.x));
  return (1 + static_cast<long double>(c.x)) * log10l(1 + t / b) +
         log10l(std::max(0.5L, std::min(t, m)));
}

// The first whole millisecond at which the score is at least `threshold`, by halving.
int64_t FirstMsByHand(const Cadence& c, double m0, double threshold) {
  int64_t low = 0;
  int64_t high = 1;
  const auto reached = [&](int64_t ms) {
    return ScoreByHand(c, m0, static_cast<long double>(ms) / kMsPerDay) >= threshold;
  };
  while (!reached(high) && high < (int64_t{1} << 61)) high *= 2;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (reached(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace

// Computed with 60 digits (Python's decimal) from
//   B = m0 + s; m = (2*m0 + s)/(2 + x); score = (1 + x)*ln(1 + t/B)/ln 10 + log10(max(1/2, min(t,
//   m))).
TEST_CASE("lapse: scores") {
  struct Row {
    double x, s, m0, t, score;
  };
  const Row row = GENERATE(values<Row>({
      {0, 0, 60, 0, -0.3010299956639812},
      {0, 0, 60, 1, 0.007178584627123401},
      {0, 0, 60, 45.5, 1.9031126059071803},
      {0, 0, 60, 400, 2.6627578316815739},
      {1, 7, 60, 0.25, -0.29779502371674288},
      {1, 7, 60, 45.5, 2.0768379057294042},
      {2.71, 19, 14, 7, 1.1550538908940347},
      {2.71, 19, 14, 400, 5.1467603293308448},
      {9.5, 63, 10, 1, 0.062043025910463054},
      {9.5, 63, 10, 45.5, 3.0675328993919635},
      {9.5, 63, 10, 400, 9.3795321985046964},
      {5.217031, 250.5, 74.357, 7, 0.90265999740210301},
      {5.217031, 250.5, 74.357, 400, 3.9098561886785537},
      {0, 0, 0.1, 0, -0.3010299956639812},
      {0, 0, 0.1, 45.5, 2.357934847000454},
      {8.1, 8.1, 4, 0.25, -0.22020755142294765},
      {8.1, 8.1, 4, 45.5, 6.3690022315207413},
      {3.439, 400, 16.224, 7, 0.87725046694379405},
      {3.439, 400, 16.224, 400, 3.1987435059867999},
  }));
  CAPTURE(row.x, row.s, row.m0, row.t);
  CHECK(LapseScore(CadenceOf(row.x, row.s), row.m0, row.t) ==
        Approx(row.score).epsilon(1e-13).margin(1e-14));
}

TEST_CASE("lapse: thresholds are computed, never the rounded ones of the documents") {
  struct Row {
    double q, threshold;
  };
  const Row row = GENERATE(values<Row>({{0.05, 2.1461280356782382},
                                        {0.02, 2.5440680443502757},
                                        {0.01, 2.8450980400142569},
                                        {0.002, 3.5440680443502757},
                                        {1, 0.84509804001425681}}));
  CHECK(LapseThreshold(row.q) == Approx(row.threshold).epsilon(1e-15));
}

TEST_CASE("lapse: the expected gap") {
  CHECK(ExpectedGapDays(CadenceOf(0, 0), 60) == 60);  // nothing known: the population's
  CHECK(ExpectedGapDays(CadenceOf(8, 8), 1) == 1);
  CHECK(ExpectedGapDays(CadenceOf(9.99, 99.9), 60) == Approx((120 + 99.9) / 11.99));
}

// The moments, from the same 60 digits: the first whole millisecond at which the score reaches
// -log10(q/7). Where t < m the closed form does not hold and the score is bisected.
TEST_CASE("lapse: moments") {
  struct Row {
    double x, s, m0, q;
    int64_t ms;
    bool below_expected;  // t < m
  };
  const Row row = GENERATE(values<Row>({
      {0, 0, 60, 1, 547067888, true},
      {1, 7, 60, 1, 510710984, true},
      {1, 7, 60, 0.05, 4738362574, false},
      {1, 7, 60, 0.01, 17750651125, false},
      {1, 7, 60, 0.002, 46847012868, false},
      {2.71, 19, 14, 1, 380146860, true},
      {2.71, 19, 14, 0.05, 2959197876, false},
      {2.71, 19, 14, 0.01, 6114980775, false},
      {2.71, 19, 14, 0.002, 10984753992, false},
      {9.5, 63, 10, 1, 345484398, true},
      {9.5, 63, 10, 0.05, 2058056242, false},
      {9.5, 63, 10, 0.01, 3443770005, false},
      {9.5, 63, 10, 0.002, 5059028756, false},
      {5.217031, 250.5, 74.357, 1, 537518066, true},
      {5.217031, 250.5, 74.357, 0.05, 4657298647, true},
      {5.217031, 250.5, 74.357, 0.01, 14150714113, false},
      {5.217031, 250.5, 74.357, 0.002, 26625086475, false},
      {8.1, 8.1, 4, 1, 184584572, false},
      {8.1, 8.1, 4, 0.05, 664119090, false},
      {8.1, 8.1, 4, 0.01, 994859895, false},
      {8.1, 8.1, 4, 0.002, 1389587654, false},
      {3.439, 400, 16.224, 1, 564404215, true},
      {3.439, 400, 16.224, 0.05, 6059531138, true},
      {3.439, 400, 16.224, 0.01, 22740568362, false},
      {3.439, 400, 16.224, 0.002, 48394332403, false},
  }));
  CAPTURE(row.x, row.s, row.m0, row.q);
  const Cadence cadence = CadenceOf(row.x, row.s);
  const EventTime last = At("2026-03-01T09:00:00.123Z");
  const EventTime due = LapseTime(cadence, row.m0, LapseThreshold(row.q), last, kNoHorizon);
  CHECK((due - last).count() == row.ms);
  const double days = static_cast<double>(row.ms) / static_cast<double>(kMsPerDay);
  CHECK((days < ExpectedGapDays(cadence, row.m0)) == row.below_expected);
}

TEST_CASE("lapse: whole days come out whole") {
  // x = s = 0, m0 = 60: 60*((7/q)/60 - 1) = 140/0.05 - 60 = 80 days.
  const EventTime last = At("2026-03-01");
  const EventTime due = LapseTime(CadenceOf(0, 0), 60, LapseThreshold(0.05), last, kNoHorizon);
  CHECK(std::abs((due - (last + Days(80))).count()) <= 1);
}

TEST_CASE("lapse: the moment is the first millisecond at which the score reaches its threshold") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto real = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  int below_expected = 0;
  for (int i = 0; i < 20'000; ++i) {
    const double x = i % 3 == 0 ? 0 : real(0, 10);
    const double s = x == 0 ? 0 : x * std::exp(real(-1, 6));
    const double m0 = std::exp(real(-3, 6));
    const double threshold = LapseThreshold(std::exp(real(std::log(1e-5), 0)));
    const Cadence cadence = CadenceOf(x, s);
    CAPTURE(i, x, s, m0, threshold);
    const int64_t expected = FirstMsByHand(cadence, m0, threshold);
    const EventTime last(1'700'000'000'000);
    const int64_t actual = (LapseTime(cadence, m0, threshold, last, kNoHorizon) - last).count();
    // One millisecond, or the last bits of a double where that is more.
    const double tolerance = 1 + 1e-11 * static_cast<double>(expected);
    REQUIRE(std::abs(static_cast<double>(actual - expected)) <= tolerance);
    if (static_cast<double>(expected) / static_cast<double>(kMsPerDay) <
        ExpectedGapDays(cadence, m0))
      ++below_expected;
  }
  CHECK(below_expected > 1000);  // the branch that bisects was really taken
}

TEST_CASE("lapse: the score never falls with time") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto real = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  for (int i = 0; i < 200; ++i) {
    const double m0 = std::exp(real(-3, 6));
    const Cadence cadence = CadenceOf(real(0, 10), std::exp(real(-2, 8)));
    CAPTURE(i, cadence.x, cadence.s, m0);
    double before = LapseScore(cadence, m0, 0);
    double t = 1e-9;  // to a billion days
    for (int step = 0; step < 435; ++step, t *= 1.1) {
      const double now = LapseScore(cadence, m0, t);
      REQUIRE(now >= before);
      before = now;
    }
  }
}

TEST_CASE("lapse: fewer allowed false alerts, a longer wait; a slower customer, a longer wait") {
  const EventTime last = At("2026-03-01");
  EventTime before = last;
  for (const double q : {1.0, 0.1, 0.05, 0.02, 0.01, 0.002, 0.0001}) {
    const EventTime due = LapseTime(CadenceOf(3, 40), 14, LapseThreshold(q), last, kNoHorizon);
    CHECK(due > before);
    before = due;
  }
  before = last;
  for (const double s : {3.0, 9.0, 30.0, 90.0, 300.0}) {
    const EventTime due = LapseTime(CadenceOf(3, s), 14, LapseThreshold(0.05), last, kNoHorizon);
    CHECK(due > before);
    before = due;
  }
}

TEST_CASE("lapse: the horizon caps the wait, whatever the numbers") {
  const Duration horizon = Days(3650);
  const EventTime last = At("2026-03-01");
  const EventTime cap = last + horizon;
  struct Row {
    double x, s, m0, threshold;
  };
  const Row row = GENERATE(values<Row>({{0, 0, 60, 5},
                                        {0, 0, 60, 300},  // e to the 690: still a double
                                        {0, 0, 60, 400},  // and past the largest
                                        {0, 0, 1e300, 2.1},
                                        {1, 1e308, 60, 2.1},
                                        {0, 0, 60, std::numeric_limits<double>::infinity()},
                                        {0, std::nan(""), 60, 2.1}}));
  CAPTURE(row.x, row.s, row.m0, row.threshold);
  CHECK(LapseTime(CadenceOf(row.x, row.s), row.m0, row.threshold, last, horizon) <= cap);
  CHECK(LapseTime(CadenceOf(row.x, row.s), row.m0, row.threshold, last, horizon) > last);
}

TEST_CASE("lapse: times near the end of the calendar do not overflow") {
  const EventTime due = LapseTime(CadenceOf(0, 0), 60, 400, kEventTimeMax, kNoHorizon);
  CHECK(due > kEventTimeMax);
  CHECK(LapseTime(CadenceOf(0, 0), 60, 400, EventTime(std::numeric_limits<int64_t>::max() - 5),
                  Days(1)) == EventTime::Never());
}

TEST_CASE("lapse: never at the event itself") {
  // The lowest threshold that a configuration can set, and a population that comes many times a
  // day.
  const EventTime last = At("2026-03-01");
  CHECK(LapseTime(CadenceOf(0, 0), 1e-9, LapseThreshold(1.0), last, kNoHorizon) > last);
  CHECK(LapseTime(CadenceOf(9.99, 1e-9), 1e-9, LapseThreshold(1.0), last, kNoHorizon) > last);
}
