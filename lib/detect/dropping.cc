// The dropping detector: the newest closed window of a measure is clearly below the customer's own
// earlier windows. Judged when a bucket closes, over closed buckets only: a running day in the
// window would make it look short every night.
//
// The exact test: k events in the window out of n in window and baseline together; if nothing had
// changed, each would lie in the window with probability p0 = the window's share of the time, so
// p = P(X <= k), X ~ Bin(n, p0) (docs/statistics.md, "Exact test").
#include <fmt/format.h>

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/duration.h"
#include "detect/detector.h"
#include "detect/evidence.h"

namespace heartbeatd {
namespace {

enum class Value : uint8_t { kCount, kSum, kDistinct, kDays };
enum class Compare : uint8_t { kMean, kEach, kMedian };

constexpr int kPeriodsMax = 52;
constexpr int32_t kNoClose = std::numeric_limits<int32_t>::max();

// P(X <= k) for X ~ Bin(n, p); DLMF 8.17.5 as a regularised incomplete beta function.
double BinomialCdf(int64_t k, int64_t n, double p) {
  if (k >= n) return 1;
  return boost::math::ibetac(static_cast<double>(k + 1), static_cast<double>(n - k), p);
}

struct Thresholds {
  std::optional<double> ratio;
  std::optional<double> p_value;
};

// What is known at one close.
struct Picture {
  int32_t end = 0;  // index behind the newest closed bucket
  double window = 0;
  WindowTotals window_totals;
  std::vector<double> periods;  // newest first
  WindowTotals baseline_totals;
};

struct Dropping {
  size_t measure = 0;
  Value value = Value::kCount;
  Compare compare = Compare::kMean;
  Duration window{};
  int32_t width = 0;  // buckets of the window and of each period
  int32_t periods = 3;
  Thresholds fire;
  Thresholds resolve;
  int64_t baseline_count_min = 8;
  Duration observed_min{};

  [[nodiscard]] double Pick(const WindowTotals& totals) const {
    switch (value) {
      case Value::kCount:
        return static_cast<double>(totals.count);
      case Value::kSum:
        return Units(totals.sum_micros);
      case Value::kDistinct:
        return static_cast<double>(totals.distinct);
      case Value::kDays:
        return static_cast<double>(totals.days);
    }
    __builtin_unreachable();
  }

  // The running bucket at `at` is the first that is not closed.
  [[nodiscard]] Picture Look(const Subject& s, EventTime at) const {
    return LookAt(s, BucketOf(s.measure_defs[measure].resolution, s.calendar, at));
  }

  [[nodiscard]] Picture LookAt(const Subject& s, int32_t end) const {
    const MeasureDef& def = s.measure_defs[measure];
    const MeasureState& state = s.measures[measure];
    Picture picture;
    picture.end = end;
    const int32_t window_begin = picture.end - width;
    picture.window_totals = TotalsOf(def, s.calendar, state, window_begin, picture.end);
    picture.window = Pick(picture.window_totals);
    for (int32_t i = 1; i <= periods; ++i) {
      const int32_t begin = window_begin - i * width;
      picture.periods.push_back(Pick(TotalsOf(def, s.calendar, state, begin, begin + width)));
    }
    picture.baseline_totals =
        TotalsOf(def, s.calendar, state, window_begin - periods * width, window_begin);
    return picture;
  }

  // The per-period level that the window is held against.
  [[nodiscard]] double Level(const Picture& picture) const {
    std::vector<double> sorted = picture.periods;
    if (compare == Compare::kMean) {
      double total = 0;
      for (const double period : sorted) total += period;
      return total / static_cast<double>(sorted.size());
    }
    std::sort(sorted.begin(), sorted.end());
    if (compare == Compare::kEach) return sorted.front();
    const size_t half = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }

  [[nodiscard]] double PValue(const Picture& picture) const {
    const int64_t k = picture.window_totals.count;
    return BinomialCdf(k, k + picture.baseline_totals.count, 1.0 / (1.0 + periods));
  }

  // Whether the window is below the baseline by these thresholds.
  [[nodiscard]] bool Below(const Picture& picture, const Thresholds& thresholds) const {
    const double limit = thresholds.ratio.value_or(1) * Level(picture);
    // As people count: 29 of 100 is 0.29, though 0.29 * 100 is a little less than 29 in binary.
    const double slack = 1e-9 * std::abs(limit);
    if (compare == Compare::kEach && !(picture.window < limit - slack)) return false;
    if (compare != Compare::kEach && thresholds.ratio && !(picture.window <= limit + slack))
      return false;
    return !thresholds.p_value || PValue(picture) <= *thresholds.p_value;
  }

  // kNone if there is enough to judge.
  [[nodiscard]] Reason Insufficient(const Subject& s, const Picture& picture) const {
    const MeasureState& state = s.measures[measure];
    if (state.count == 0) return Reason::kNothingSeen;
    if (picture.baseline_totals.count < baseline_count_min) return Reason::kBaselineTooSmall;
    if (!(Level(picture) > 0)) return Reason::kZeroBaseline;
    if (s.now < ObservedSince(s)) return Reason::kObservedTooShort;
    return Reason::kNone;
  }

  // The first close at which start(closing bucket) - start(bucket of the first event) >=
  // observed_min.
  [[nodiscard]] EventTime ObservedSince(const Subject& s) const {
    const MeasureDef& def = s.measure_defs[measure];
    const int32_t first = BucketOf(def.resolution, s.calendar, s.measures[measure].first);
    if (def.resolution == Resolution::kDay &&
        observed_min % LengthOf(def.resolution) == Duration(0)) {
      const auto days = static_cast<int32_t>(observed_min / LengthOf(def.resolution));
      return BucketStart(def.resolution, s.calendar, first + days + 1);
    }
    const EventTime start = BucketStart(def.resolution, s.calendar, first);
    const int32_t closing =
        BucketOf(def.resolution, s.calendar, start + observed_min - Duration(1)) + 1;
    return BucketStart(def.resolution, s.calendar, closing + 1);
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    if (s.event != nullptr && !s.late && s.quiet && !Lowers(s)) return AfterEvent(s);
    Verdict& verdict = verdicts->emplace_back();
    verdict.since = s.now;
    const OpenEpisode* open = s.open.empty() ? nullptr : &s.open.front();
    if (open == nullptr && CanNeverJudge(s)) {
      verdict.reason = Reason::kBaselineTooSmall;
      return EventTime::Never();
    }
    const Picture picture = Look(s, s.now);
    verdict.value = picture.window;
    const bool firing = open != nullptr && open->firing;
    const Reason insufficient = Insufficient(s, picture);
    if (insufficient != Reason::kNone) {
      verdict.reason = insufficient;
      if (firing && picture.window > open->value) {
        verdict.condition = Condition::kClear;
        verdict.reason = s.late ? Reason::kCorrected : Reason::kRecovered;
      } else if (open != nullptr && !firing) {
        verdict.condition = Condition::kClear;  // a pending one must be judged true all the time
      }
    } else if (Below(picture, firing ? resolve : fire)) {
      verdict.condition = Condition::kFiring;
      verdict.reason = Reason::kBelowBaseline;
    } else {
      verdict.condition = Condition::kClear;
      verdict.reason = !firing                        ? Reason::kWithinLimits
                       : s.late                       ? Reason::kCorrected
                       : picture.window > open->value ? Reason::kRecovered
                                                      : Reason::kBaselineFaded;
    }
    const bool idle = s.quiet && verdict.condition != Condition::kFiring;
    return idle ? NextFiring(s, picture) : NextClose(s, picture.end);
  }

  // An event in the running bucket, with no episode about: until its bucket has moved into the
  // baseline it can only lift the window, so nothing fires before the deadline known so far.
  [[nodiscard]] EventTime AfterEvent(const Subject& s) const {
    if (s.due == EventTime::Never() && CanNeverJudge(s)) return s.due;
    const MeasureDef& def = s.measure_defs[measure];
    const int32_t running = BucketOf(def.resolution, s.calendar, s.now);
    return std::min(s.due, BucketStart(def.resolution, s.calendar, running + 1 + width));
  }

  // Money may go down with an event.
  [[nodiscard]] bool Lowers(const Subject& s) const {
    const MeasureDef& def = s.measure_defs[measure];
    if (value != Value::kSum) return false;
    if (def.sum == MeasureDef::Sum::kAmount) return s.event->amount_micros.value_or(0) < 0;
    const Property* property = s.event->Find(def.sum_property);
    return property != nullptr && property->number.value_or(0) < 0;
  }

  // True if all that is remembered cannot make a sufficient baseline, whatever closes come: most
  // customers of most shops, who therefore need no timer.
  [[nodiscard]] bool CanNeverJudge(const Subject& s) const {
    int64_t total = 0;
    for (const Bucket& bucket : s.measures[measure].buckets) total += bucket.count;
    return total < std::max<int64_t>(1, baseline_count_min);
  }

  // The next close at which the rule fires if no event comes, or an earlier one; Never() if it does
  // not. Most customers are looked at in every few weeks instead of every night.
  [[nodiscard]] EventTime NextFiring(const Subject& s, Picture picture) const {
    const MeasureDef& def = s.measure_defs[measure];
    const EventTime observed = ObservedSince(s);
    while (true) {
      const int32_t next = NextCloseIndex(s, picture.end);
      const EventTime changes =
          next == kNoClose ? EventTime::Never() : BucketStart(def.resolution, s.calendar, next);
      // What is missing may be time alone: then it fires at the close that completes it, if nothing
      // moves before.
      if (observed > s.now && observed < changes && MayFire(picture)) return observed;
      if (next == kNoClose) return EventTime::Never();
      picture = LookAt(s, next);
      if (changes >= observed && MayFire(picture)) return changes;
    }
  }

  // Whether the picture fires once the measure has been observed for long enough.
  [[nodiscard]] bool MayFire(const Picture& picture) const {
    return picture.baseline_totals.count >= baseline_count_min && Below(picture, fire);
  }

  // The next close at which what lies in the window or in any period differs from now.
  [[nodiscard]] EventTime NextClose(const Subject& s, int32_t end) const {
    const int32_t next = NextCloseIndex(s, end);
    if (next == kNoClose) return EventTime::Never();
    const EventTime due = BucketStart(s.measure_defs[measure].resolution, s.calendar, next);
    const EventTime observed = ObservedSince(s);
    return observed > s.now ? std::min(due, observed) : due;
  }

  // The same as an index: `end` of the picture at that close.
  [[nodiscard]] int32_t NextCloseIndex(const Subject& s, int32_t end) const {
    int32_t next = kNoClose;
    for (const Bucket& bucket : s.measures[measure].buckets) {
      // A bucket enters the window at the close bucket.index + 1, and moves on every `width`
      // closes.
      const int32_t entered = bucket.index + 1;
      const int32_t age = end - entered;
      int32_t moves = age < 0 ? 0 : age / width + 1;
      // A mean of counts or sums does not see moves from one period to the next.
      if (moves > 1 && compare == Compare::kMean && value <= Value::kSum)
        moves = std::max(moves, periods + 1);
      if (moves <= periods + 1) next = std::min(next, entered + moves * width);
    }
    return next;
  }

  [[nodiscard]] nlohmann::ordered_json Explain(const Subject& s, const Verdict& verdict) const {
    const MeasureDef& def = s.measure_defs[measure];
    const Picture picture = Look(s, std::min(verdict.since, s.now));
    const bool sums = def.sum != MeasureDef::Sum::kNone;
    const double n = periods;
    using Json = nlohmann::ordered_json;
    Json observed{{"measure", def.name},
                  {"window", FormatDuration(window)},
                  {"count", picture.window_totals.count}};
    Json baseline{{"window", FormatDuration(window * periods)},
                  {"periods", periods},
                  {"count", picture.baseline_totals.count}};
    Json per_period{{"count", Rounded(static_cast<double>(picture.baseline_totals.count) / n)}};
    if (sums) {
      observed["sum"] = Units(picture.window_totals.sum_micros);
      baseline["sum"] = Units(picture.baseline_totals.sum_micros);
      per_period["sum"] = Rounded(Units(picture.baseline_totals.sum_micros) / n);
    }
    if (value == Value::kDistinct || value == Value::kDays) {
      const char* name = value == Value::kDays ? "days" : "distinct";
      observed[name] = static_cast<int64_t>(picture.window);
      baseline[name] = static_cast<int64_t>(Pick(picture.baseline_totals));
      per_period[name] = Rounded(Level(picture));
    }
    baseline["per_period"] = std::move(per_period);
    Json threshold = Json::object();
    if (fire.ratio) threshold["ratio"] = *fire.ratio;
    if (fire.p_value) threshold["p_value"] = *fire.p_value;
    const double level = Level(picture);
    Json out;
    out["observed"] = std::move(observed);
    out["baseline"] = std::move(baseline);
    out["ratio"] = level > 0 ? Json(Rounded(picture.window / level)) : Json();
    out["threshold"] = std::move(threshold);
    if (value == Value::kCount) out["p_value"] = Rounded(PValue(picture));
    return out;
  }
};

// Reads ratio and p_value of `fields` into *out.
void ReadThresholds(MapReader& fields, Value value, Thresholds* out) {
  constexpr double kTiny = 1e-12;
  if (const auto ratio = fields.Number("ratio", 0, 1)) out->ratio = *ratio;
  if (const auto p = fields.Number("p_value", kTiny, 1 - kTiny)) out->p_value = *p;
  if (out->p_value && value != Value::kCount) {
    fields.ErrorAt("p_value", "'p_value' needs 'value: count': the exact test counts events");
  }
}

// An end that is harder to stay short of than the beginning would end every episode at the next
// look.
void CheckResolve(MapReader& resolve, std::string_view key, const std::optional<double>& fire,
                  const std::optional<double>& end) {
  if (!resolve.Has(key) || !end) return;
  if (!fire) {
    resolve.ErrorAt(
        key, fmt::format("'{}' of {} needs '{}' in the rule itself", key, resolve.what(), key));
  } else if (*end < *fire) {
    resolve.ErrorAt(key, fmt::format("'{}' of {} must be at least the rule's own {}: else an "
                                     "episode ends as soon as it has begun",
                                     key, resolve.what(), *fire));
  }
}

// How many buckets `fields.key` spans; 0 after an error.
int32_t Buckets(MapReader& fields, Duration window, Resolution resolution) {
  const Duration length = LengthOf(resolution);
  if (window <= Duration(0) || window % length != Duration(0)) {
    fields.ErrorAt("window", fmt::format("window {} is no multiple of the measure's resolution {}",
                                         FormatDuration(window), FormatDuration(length)));
    return 0;
  }
  constexpr int64_t kBucketsMax = 100'000;
  const int64_t buckets = window / length;
  if (buckets > kBucketsMax) {
    fields.ErrorAt("window",
                   fmt::format("window {} has more than {} buckets: choose a coarser resolution",
                               FormatDuration(window), kBucketsMax));
    return 0;
  }
  return static_cast<int32_t>(buckets);
}

}  // namespace

Detector MakeDropping(MapReader& fields, const DetectorContext& context) {
  Dropping dropping;
  const int measure = context.Measure(fields);
  dropping.value =
      static_cast<Value>(fields.Choice("value", {"count", "sum", "distinct", "days"}).value_or(0));
  if (fields.Required("window") != nullptr) dropping.window = fields.Time("window", Duration(0));
  MapReader baseline(fields.Child("baseline"), "'baseline' of " + fields.what(), fields.findings());
  dropping.periods = static_cast<int32_t>(baseline.Integer("periods", 3, 1, kPeriodsMax));
  dropping.compare =
      static_cast<Compare>(baseline.Choice("compare", {"mean", "each", "median"}).value_or(0));
  baseline.Finish();
  if (fields.Has("compare")) {
    dropping.compare =
        static_cast<Compare>(fields.Choice("compare", {"mean", "each", "median"}).value_or(0));
  }
  ReadThresholds(fields, dropping.value, &dropping.fire);
  if (!dropping.fire.ratio && !dropping.fire.p_value && !fields.Has("ratio") &&
      !fields.Has("p_value")) {
    fields.ErrorAt("detector",
                   fmt::format("{} needs 'ratio' or 'p_value', or both", fields.what()));
  }
  dropping.resolve = dropping.fire;
  if (const Node* resolve = fields.Child("resolve")) {
    MapReader reader(resolve, "'resolve' of " + fields.what(), fields.findings());
    ReadThresholds(reader, dropping.value, &dropping.resolve);
    CheckResolve(reader, "ratio", dropping.fire.ratio, dropping.resolve.ratio);
    CheckResolve(reader, "p_value", dropping.fire.p_value, dropping.resolve.p_value);
    reader.Has("hold");  // the alert policy's
    reader.Finish();
  }
  MapReader minimum(fields.Child("minimum"), "'minimum' of " + fields.what(), fields.findings());
  dropping.baseline_count_min = minimum.Integer("baseline_count", 8, 1, 1'000'000'000);
  dropping.observed_min = minimum.Time("observed_for", dropping.window * (dropping.periods + 1));
  minimum.Finish();

  Detector detector;
  if (measure < 0 || dropping.window == Duration(0)) return detector;
  dropping.measure = static_cast<size_t>(measure);
  const MeasureDef& def = context.measures[dropping.measure];
  if (dropping.value == Value::kSum && def.sum == MeasureDef::Sum::kNone) {
    fields.ErrorAt("value", fmt::format("'value: sum' needs 'sum' in measure '{}'", def.name));
  }
  if (dropping.value == Value::kDistinct && def.distinct_property == EventSchema::kUnknown) {
    fields.ErrorAt("value",
                   fmt::format("'value: distinct' needs 'distinct' in measure '{}'", def.name));
  }
  dropping.width = Buckets(fields, dropping.window, def.resolution);
  if (dropping.width == 0) return detector;
  int32_t& needed = context.buckets_needed[dropping.measure];
  needed = std::max(needed, dropping.width * (dropping.periods + 1));
  detector.measures = {measure};
  detector.evaluate = [dropping](const Subject& s, std::vector<Verdict>* v) {
    return dropping.Evaluate(s, v);
  };
  detector.explain = [dropping](const Subject& s, const Verdict& v) {
    return dropping.Explain(s, v);
  };
  return detector;
}

}  // namespace heartbeatd
