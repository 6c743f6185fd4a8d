#include "detect/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/duration.h"
#include "base/json_text.h"
#include "detect/detector.h"
#include "detect/evidence.h"
#include "detect/exact_test.h"
#include "detect/fields.h"
#include "detect/window.h"

namespace heartbeatd {
namespace {

enum class Compare : uint8_t { kMean, kEach, kMedian };

constexpr int kPeriodsMax = 52;
constexpr int32_t kNoClose = std::numeric_limits<int32_t>::max();

struct Thresholds {
  std::optional<double> ratio;
  std::optional<double> p_value;
  std::optional<ExactTest> test;  // at p_value
};

// What is known at one close.
struct Picture {
  int32_t end = 0;  // index behind the newest closed bucket
  double window = 0;
  int64_t window_count = 0;
  std::vector<double> periods;  // oldest first
  int64_t baseline_count = 0;
};

struct Comparison {
  Direction direction = Direction::kDown;
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

  // The running bucket at `at` is the first that is not closed.
  [[nodiscard]] int32_t EndAt(const Subject& s, EventTime at) const {
    return BucketOf(s.measure_defs[measure].resolution, s.calendar, at);
  }

  // One pass over the buckets: this is what most of the time goes to.
  void LookAt(const Subject& s, int32_t end, Picture* picture) const {
    const MeasureDef& def = s.measure_defs[measure];
    const std::vector<Bucket>& buckets = s.measures[measure].buckets;
    picture->end = end;
    picture->periods.clear();
    picture->baseline_count = 0;
    int32_t begin = end - (periods + 1) * width;
    auto bucket = std::lower_bound(buckets.begin(), buckets.end(), begin,
                                   [](const Bucket& b, int32_t i) { return b.index < i; });
    for (int32_t age = periods; age >= 0; --age, begin += width) {
      WindowTotals totals;
      for (; bucket != buckets.end() && bucket->index < begin + width; ++bucket) {
        totals.count += bucket->count;
        totals.sum_micros = SaturatingAdd(totals.sum_micros, bucket->sum_micros);
        totals.days += bucket->count > 0 ? 1 : 0;
      }
      const bool needs_more = value == Value::kDistinct ||
                              (value == Value::kDays && def.resolution != Resolution::kDay);
      const double level = Pick(
          value, needs_more ? TotalsOf(def, s.calendar, s.measures[measure], begin, begin + width)
                            : totals);
      if (age > 0) {
        picture->periods.push_back(level);
        picture->baseline_count += totals.count;
      } else {
        picture->window = level;
        picture->window_count = totals.count;
      }
    }
  }

  // The per-period level that the window is held against.
  [[nodiscard]] double Level(const Picture& picture) const {
    const std::vector<double>& all = picture.periods;
    if (compare == Compare::kMean) {
      double total = 0;
      for (const double period : all) total += period;
      return total / static_cast<double>(all.size());
    }
    if (compare == Compare::kEach) {
      return direction == Direction::kDown ? *std::min_element(all.begin(), all.end())
                                           : *std::max_element(all.begin(), all.end());
    }
    std::vector<double> sorted = all;
    std::sort(sorted.begin(), sorted.end());
    const size_t half = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }

  // The window's share of the time.
  [[nodiscard]] double Share() const { return 1.0 / (1.0 + periods); }

  [[nodiscard]] double PValue(const Picture& picture) const {
    const int64_t k = picture.window_count;
    const int64_t n = k + picture.baseline_count;
    return direction == Direction::kDown ? BinomialAtMost(k, n, Share())
                                         : BinomialAtLeast(k, n, Share());
  }

  void Tabulate(Thresholds* thresholds) const {
    using Tail = ExactTest::Tail;
    if (thresholds->p_value)
      thresholds->test.emplace(direction == Direction::kDown ? Tail::kAtMost : Tail::kAtLeast,
                               Share(), *thresholds->p_value);
  }

  // Whether the window is that far from the baseline by these thresholds.
  [[nodiscard]] bool Beyond(const Picture& picture, const Thresholds& thresholds) const {
    const double limit = thresholds.ratio.value_or(1) * Level(picture);
    // As people count: 29 of 100 is 0.29, though 0.29 * 100 is a little less than 29 in binary.
    const double slack = 1e-9 * std::abs(limit);
    const double past =
        direction == Direction::kDown ? limit - picture.window : picture.window - limit;
    if (compare == Compare::kEach && !(past > slack)) return false;
    if (compare != Compare::kEach && thresholds.ratio && !(past >= -slack)) return false;
    return !thresholds.test ||
           thresholds.test->IsSignificant(picture.window_count, picture.baseline_count);
  }

  // Whether the window has come back towards the usual since it was `before`.
  [[nodiscard]] bool HasTurned(double window_now, double before) const {
    return direction == Direction::kDown ? window_now > before : window_now < before;
  }

  // kNone if there is enough to judge.
  [[nodiscard]] Reason Insufficient(const Subject& s, const Picture& picture) const {
    const MeasureState& state = s.measures[measure];
    if (state.count == 0) return Reason::kNothingSeen;
    if (picture.baseline_count < baseline_count_min) return Reason::kBaselineTooSmall;
    if (!(Level(picture) > 0)) return Reason::kZeroBaseline;
    if (s.now < ObservedSince(s)) return Reason::kObservedTooShort;
    return Reason::kNone;
  }

  // The first close at which start(closing bucket) - start(bucket of the first event) >=
  // observed_min.
  [[nodiscard]] EventTime ObservedSince(const Subject& s) const {
    const MeasureDef& def = s.measure_defs[measure];
    const int32_t closing = ObservedBucket(def, s.calendar, s.measures[measure], observed_min);
    return BucketStart(def.resolution, s.calendar, closing + 1);
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    if (s.event != nullptr && !s.late && s.quiet && !MayLower(s)) return AfterEvent(s);
    Verdict& verdict = verdicts->emplace_back();
    verdict.since = s.now;
    const OpenEpisode* open = s.open.empty() ? nullptr : &s.open.front();
    if (open == nullptr && CanNeverJudge(s)) {
      verdict.reason = Reason::kBaselineTooSmall;
      return EventTime::Never();
    }
    Picture picture;
    LookAt(s, EndAt(s, s.now), &picture);
    verdict.value = picture.window;
    const bool firing = open != nullptr && open->firing;
    const Reason insufficient = Insufficient(s, picture);
    if (insufficient != Reason::kNone) {
      verdict.reason = insufficient;
      if (firing && HasTurned(picture.window, open->value)) {
        verdict.condition = Condition::kClear;
        verdict.reason = s.late ? Reason::kCorrected : Reason::kRecovered;
      } else if (open != nullptr && !firing) {
        verdict.condition = Condition::kClear;  // a pending one must be judged true all the time
      }
    } else if (Beyond(picture, firing ? resolve : fire)) {
      verdict.condition = Condition::kFiring;
      verdict.reason =
          direction == Direction::kDown ? Reason::kBelowBaseline : Reason::kAboveBaseline;
    } else {
      verdict.condition = Condition::kClear;
      verdict.reason = !firing                                  ? Reason::kWithinLimits
                       : s.late                                 ? Reason::kCorrected
                       : HasTurned(picture.window, open->value) ? Reason::kRecovered
                                                                : Reason::kBaselineFaded;
    }
    const bool idle = s.quiet && verdict.condition != Condition::kFiring;
    return idle ? NextFiring(s, &picture) : NextClose(s, picture.end);
  }

  // An event in the running bucket, with no episode about. Until its bucket has moved into the
  // baseline it can only lift the window. So nothing drops before the deadline known so far, nor
  // before that if what is in the bucket is enough by itself; and nothing rises before the deadline
  // either unless the window is high enough now.
  [[nodiscard]] EventTime AfterEvent(const Subject& s) const {
    if (s.due == EventTime::Never() && CanNeverJudge(s)) return s.due;
    const MeasureDef& def = s.measure_defs[measure];
    const int32_t running = BucketOf(def.resolution, s.calendar, s.now);
    const EventTime moved = BucketStart(def.resolution, s.calendar, running + 1 + width);
    if (direction == Direction::kDown)
      return s.due < moved && MayFireWhileInWindow(s, running) ? s.due : moved;
    const EventTime next = BucketStart(def.resolution, s.calendar, running + 1);
    return std::min(s.due, MayFireWhileInWindow(s, running) ? next : moved);
  }

  // False only if no close of the next `width`, at which the running bucket lies in the window,
  // fires whatever the calendar brings. To rise: not even the highest of these windows, the next,
  // against what lies in the baseline at every one of them. To drop, whatever events come: not even
  // with nothing else in the window, against all that lies in the baseline at any of them.
  [[nodiscard]] bool MayFireWhileInWindow(const Subject& s, int32_t running) const {
    if (compare != Compare::kMean || (value != Value::kCount && value != Value::kDays)) return true;
    const MeasureDef& def = s.measure_defs[measure];
    const MeasureState& state = s.measures[measure];
    const bool up = direction == Direction::kUp;
    // A day may lie in two periods: together they may have more than there are.
    if (!up && value == Value::kDays && def.resolution != Resolution::kDay) return true;
    const WindowTotals window_totals =
        TotalsOf(def, s.calendar, state, up ? running + 1 - width : running, running + 1);
    const WindowTotals baseline_totals =
        up ? TotalsOf(def, s.calendar, state, running - periods * width, running - width + 1)
           : TotalsOf(def, s.calendar, state, running + 1 - (periods + 1) * width, running);
    const Picture bound{.window = Pick(value, window_totals),
                        .window_count = window_totals.count,
                        .periods = {Pick(value, baseline_totals) / periods},
                        .baseline_count = baseline_totals.count};
    return Beyond(bound, fire);
  }

  // Money may go down with an event.
  [[nodiscard]] bool MayLower(const Subject& s) const {
    return Lowers(value, s.measure_defs[measure], *s.event);
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
  [[nodiscard]] EventTime NextFiring(const Subject& s, Picture* picture) const {
    const MeasureDef& def = s.measure_defs[measure];
    const EventTime observed = ObservedSince(s);
    while (true) {
      const int32_t next = NextCloseIndex(s, picture->end);
      const EventTime changes =
          next == kNoClose ? EventTime::Never() : BucketStart(def.resolution, s.calendar, next);
      // What is missing may be time alone: then it fires at the close that completes it, if nothing
      // moves before.
      if (observed > s.now && observed < changes && MayFire(*picture)) return observed;
      if (next == kNoClose) return EventTime::Never();
      LookAt(s, next, picture);
      // Nothing rises from nothing.
      const bool empty = picture->window_count == 0 && value != Value::kSum;
      if (empty && direction == Direction::kUp) return EventTime::Never();
      if (changes >= observed && MayFire(*picture)) return changes;
    }
  }

  // Whether the picture fires once the measure has been observed for long enough.
  [[nodiscard]] bool MayFire(const Picture& picture) const {
    return picture.baseline_count >= baseline_count_min && Beyond(picture, fire);
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

  void Explain(const Subject& s, const Verdict& verdict, JsonText* to) const {
    const MeasureDef& def = s.measure_defs[measure];
    const MeasureState& state = s.measures[measure];
    Picture picture;
    LookAt(s, EndAt(s, std::min(verdict.since, s.now)), &picture);
    const int32_t window_begin = picture.end - width;
    const WindowTotals now = TotalsOf(def, s.calendar, state, window_begin, picture.end);
    const WindowTotals before =
        TotalsOf(def, s.calendar, state, window_begin - periods * width, window_begin);
    const bool sums = def.sum != MeasureDef::Sum::kNone;
    const bool other = value == Value::kDistinct || value == Value::kDays;
    const std::string_view name = NameOf(value);
    const double n = periods;
    const double level = Level(picture);

    to->BeginObject("observed");
    to->Text("measure", def.name);
    to->Word("window", FormatDuration(window));
    to->Integer("count", now.count);
    if (sums) to->Number("sum", Units(now.sum_micros));
    if (other) to->Integer(name, static_cast<int64_t>(picture.window));
    to->EndObject();

    to->BeginObject("baseline");
    to->Word("window", FormatDuration(window * periods));
    to->Integer("periods", periods);
    to->Integer("count", before.count);
    if (sums) to->Number("sum", Units(before.sum_micros));
    if (other) to->Integer(name, static_cast<int64_t>(Pick(value, before)));
    to->BeginObject("per_period");
    to->Number("count", Rounded(static_cast<double>(before.count) / n));
    if (sums) to->Number("sum", Rounded(Units(before.sum_micros) / n));
    if (other) to->Number(name, Rounded(level));
    to->EndObject();
    to->EndObject();

    if (level > 0) {
      to->Number("ratio", Rounded(picture.window / level));
    } else {
      to->Null("ratio");
    }
    to->BeginObject("threshold");
    if (fire.ratio) to->Number("ratio", *fire.ratio);
    if (fire.p_value) to->Number("p_value", *fire.p_value);
    to->EndObject();
    if (value == Value::kCount) to->Number("p_value", Rounded(PValue(picture)));
  }
};

constexpr double kRatioMax = 1000;

// Reads ratio and p_value of `fields` into *out.
void ReadThresholds(MapReader& fields, const Comparison& comparison, Thresholds* out) {
  const bool down = comparison.direction == Direction::kDown;
  if (const auto ratio = fields.Number("ratio", down ? 0 : 1, down ? 1 : kRatioMax))
    out->ratio = ratio;
  if (const auto p = ReadProbability(fields, "p_value")) out->p_value = p;
  if (out->p_value && comparison.value != Value::kCount) {
    fields.ErrorAt("p_value", "'p_value' needs 'value: count': the exact test counts events");
  }
}

enum class Bound : uint8_t { kAtLeast, kAtMost };

// An end that is harder to stay short of than the beginning would end every episode at the next
// look.
void CheckResolve(MapReader& resolve, std::string_view key, const std::optional<double>& fire,
                  const std::optional<double>& end, Bound bound) {
  if (!resolve.Has(key) || !end) return;
  if (!fire) {
    resolve.ErrorAt(
        key, fmt::format("'{}' of {} needs '{}' in the rule itself", key, resolve.what(), key));
  } else if (bound == Bound::kAtLeast ? *end < *fire : *end > *fire) {
    resolve.ErrorAt(
        key, fmt::format("'{}' of {} must be at {} the rule's own {}: else an "
                         "episode ends as soon as it has begun",
                         key, resolve.what(), bound == Bound::kAtLeast ? "least" : "most", *fire));
  }
}

void ReadResolve(MapReader& fields, Comparison* comparison) {
  comparison->resolve = comparison->fire;
  const Node* resolve = fields.Child("resolve");
  if (resolve == nullptr) return;
  MapReader reader(resolve, "'resolve' of " + fields.what(), fields.findings());
  ReadThresholds(reader, *comparison, &comparison->resolve);
  CheckResolve(reader, "ratio", comparison->fire.ratio, comparison->resolve.ratio,
               comparison->direction == Direction::kDown ? Bound::kAtLeast : Bound::kAtMost);
  CheckResolve(reader, "p_value", comparison->fire.p_value, comparison->resolve.p_value,
               Bound::kAtLeast);
  reader.Has("hold");  // the alert policy's
  reader.Finish();
}

}  // namespace

Detector MakeComparison(MapReader& fields, const DetectorContext& context, Direction direction) {
  Comparison comparison{.direction = direction};
  const int measure = context.Measure(fields);
  comparison.value = ReadValue(fields, context, measure);
  if (fields.Required("window") != nullptr) comparison.window = fields.Time("window", Duration(0));
  MapReader baseline(fields.Child("baseline"), "'baseline' of " + fields.what(), fields.findings());
  comparison.periods = static_cast<int32_t>(baseline.Integer("periods", 3, 1, kPeriodsMax));
  comparison.compare =
      static_cast<Compare>(baseline.Choice("compare", {"mean", "each", "median"}).value_or(0));
  baseline.Finish();
  if (fields.Has("compare")) {
    comparison.compare =
        static_cast<Compare>(fields.Choice("compare", {"mean", "each", "median"}).value_or(0));
  }
  ReadThresholds(fields, comparison, &comparison.fire);
  if (!comparison.fire.ratio && !comparison.fire.p_value && !fields.Has("ratio") &&
      !fields.Has("p_value")) {
    fields.ErrorAt("detector",
                   fmt::format("{} needs 'ratio' or 'p_value', or both", fields.what()));
  }
  ReadResolve(fields, &comparison);
  MapReader minimum(fields.Child("minimum"), "'minimum' of " + fields.what(), fields.findings());
  comparison.baseline_count_min = minimum.Integer("baseline_count", 8, 1, 1'000'000'000);
  comparison.observed_min =
      minimum.Time("observed_for", comparison.window * (comparison.periods + 1));
  minimum.Finish();

  Detector detector;
  if (measure < 0 || comparison.window == Duration(0)) return detector;
  comparison.measure = static_cast<size_t>(measure);
  const MeasureDef& def = context.measures[comparison.measure];
  comparison.width = WidthOf(fields, "window", comparison.window, def.resolution);
  if (comparison.width == 0) return detector;
  for (Thresholds* thresholds : {&comparison.fire, &comparison.resolve})
    comparison.Tabulate(thresholds);
  int32_t& needed = context.buckets_needed[comparison.measure];
  needed = std::max(needed, comparison.width * (comparison.periods + 1));
  detector.measures = {measure};
  detector.evaluate = [comparison](const Subject& s, std::vector<Verdict>* v) {
    return comparison.Evaluate(s, v);
  };
  detector.explain = [comparison](const Subject& s, const Verdict& v, JsonText* to) {
    comparison.Explain(s, v, to);
  };
  return detector;
}

}  // namespace heartbeatd
