// Reads and writes the messages of state.proto, field by field in ascending order, which is how
// protobuf's own code does it.
#include "customer/codec.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "customer/wire.h"

namespace heartbeatd {
namespace {

using wire::Reader;
using wire::Writer;

// Of numbers that any bytes may lead to.
int64_t Plus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
int64_t Minus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}
int64_t Times(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

// Detectors compute with what is read: what no event can have led to must not reach them.
EventTime Time(int64_t ms) {
  const EventTime t(ms);
  if (!IsWithinReach(t)) throw wire::Malformed();
  return t;
}

// The number of a day, or of another bucket; those of minutes are the largest.
int64_t BucketIndex(int64_t index) {
  constexpr int64_t kReach = int64_t{1} << 30;
  if (index < -kReach || index > kReach) throw wire::Malformed();
  return index;
}

// The number of UTC's day: the days of most calendars have the same, so that differences are small.
int64_t UtcDay(EventTime t) {
  return std::chrono::floor<std::chrono::days>(Duration(t.ms())).count();
}

// -- Measures ------------------------------------------------------------------------------------

// Cadence::x after so many days, which follows from their number alone. It soon stays the same.
double EffectiveGaps(uint32_t days) {
  static const std::array<double, 512> kGaps = [] {
    constexpr double kForget = 0.9;  // part of the format, whatever Cadence::kForget comes to be
    std::array<double, 512> gaps{};
    for (size_t i = 2; i < gaps.size(); ++i) gaps[i] = kForget * gaps[i - 1] + 1;
    return gaps;
  }();
  return kGaps[std::min<size_t>(days, kGaps.size() - 1)];
}

constexpr int64_t kMicrosPerHundredth = kMicrosPerUnit / 100;

void WriteBuckets(const std::vector<Bucket>& buckets, Writer& to) {
  bool all_counts_one = true;
  bool any_sum = false;
  bool all_sums_round = true;
  bool any_distinct = false;
  bool all_distinct_one = true;
  int32_t previous = 0;
  to.Sints(10, buckets, [&](const Bucket& bucket) {
    all_counts_one = all_counts_one && bucket.count == 1;
    any_sum = any_sum || bucket.sum_micros != 0;
    all_sums_round = all_sums_round && bucket.sum_micros % kMicrosPerHundredth == 0;
    any_distinct = any_distinct || !bucket.distinct.empty();
    all_distinct_one = all_distinct_one && bucket.distinct.size() == 1;
    return int64_t{bucket.index} - std::exchange(previous, bucket.index);
  });
  if (!all_counts_one) to.Uints(11, buckets, [](const Bucket& bucket) { return bucket.count; });
  if (!all_sums_round)
    to.Sints(12, buckets, [](const Bucket& bucket) { return bucket.sum_micros; });
  if (any_distinct) {
    if (!all_distinct_one)
      to.Uints(13, buckets, [](const Bucket& bucket) { return bucket.distinct.size(); });
    to.Message(14, [&](Writer& list) {
      for (const Bucket& bucket : buckets) {
        for (const uint32_t hash : bucket.distinct.hashes()) list.Element(hash);
      }
    });
  }
  if (any_sum && all_sums_round)
    to.Sints(15, buckets,
             [](const Bucket& bucket) { return bucket.sum_micros / kMicrosPerHundredth; });
}

void WriteMeasure(uint64_t key, const CustomerState& customer, const MeasureState& from,
                  Writer& to) {
  to.Fixed64(1, key);
  if (from.count > 0) {
    to.Sint(2, Minus(from.first.ms(), customer.first_seen.ms()));
    to.Sint(3, Minus(customer.last_seen.ms(), from.last.ms()));
  }
  to.Uint(4, from.count);
  to.Sint(5, from.sum_micros);
  const Cadence& cadence = from.cadence;
  to.Uint(6, cadence.days);
  if (cadence.days > 0) to.Sint(7, cadence.last_day - UtcDay(from.last));
  if (cadence.x != EffectiveGaps(cadence.days)) to.AnyDouble(8, cadence.x);
  to.Double(9, cadence.s);
  if (!from.buckets.empty()) WriteBuckets(from.buckets, to);
}

// A measure as it comes, its lists not yet taken apart.
struct MeasureFields {
  uint64_t key = 0;
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t count = 0;
  int64_t sum_micros = 0;
  uint32_t days = 0;
  int64_t last_day = 0;
  std::optional<double> x;
  double s = 0;
  wire::Varints indexes;
  wire::Varints counts;
  wire::Varints sums;
  wire::Varints sums_in_hundredths;
  wire::Varints sizes;
  wire::Fixeds<uint32_t> hashes;
};

MeasureFields ReadFields(Reader from) {
  MeasureFields to;
  while (from.More()) {
    from.Fixed64(1, &to.key);
    from.Uint(2, &to.first);
    from.Uint(3, &to.last);
    from.Uint(4, &to.count);
    from.Sint(5, &to.sum_micros);
    from.Uint(6, &to.days);
    from.Sint(7, &to.last_day);
    from.Fixed64(8, &to.x);
    from.Fixed64(9, &to.s);
    from.Bytes(10, &to.indexes);
    from.Bytes(11, &to.counts);
    from.Bytes(12, &to.sums);
    from.Bytes(13, &to.sizes);
    from.Bytes(14, &to.hashes);
    from.Bytes(15, &to.sums_in_hundredths);
  }
  return to;
}

// See Time().
bool TimesAreSound(const MeasureState& state) {
  return state.count == 0 ||
         (kEventTimeMin <= state.first && state.first <= state.last && state.last <= kEventTimeMax);
}

// Fills the state's buckets, which keep their memory. False if the lists do not fit each other.
bool ReadBuckets(MeasureFields* from, std::vector<Bucket>* buckets) {
  buckets->clear();
  buckets->reserve(from->indexes.size_max());
  int64_t index = 0;
  while (!from->indexes.empty()) {
    const int32_t step = from->indexes.NextSint32();
    if (!buckets->empty() && step <= 0) return false;
    index = BucketIndex(index + step);
    Bucket& bucket = buckets->emplace_back();
    bucket.index = static_cast<int32_t>(index);
    bucket.count = 1;
  }
  // A list that is too short is malformed; see also the end.
  if (!from->counts.empty()) {
    for (Bucket& bucket : *buckets) bucket.count = from->counts.NextUint32();
  }
  if (!from->sums.empty()) {
    for (Bucket& bucket : *buckets) bucket.sum_micros = from->sums.NextSint();
  }
  if (!from->sums_in_hundredths.empty()) {
    for (Bucket& bucket : *buckets)
      bucket.sum_micros = Times(from->sums_in_hundredths.NextSint(), kMicrosPerHundredth);
  }
  if (const bool sizes = !from->sizes.empty(); sizes || !from->hashes.empty()) {
    for (Bucket& bucket : *buckets) {
      const uint32_t hashes = sizes ? from->sizes.NextUint32() : 1;
      if (hashes > Bucket::kDistinctMax) return false;
      for (uint32_t h = 0; h < hashes; ++h) {
        if (from->hashes.empty() || !bucket.distinct.Append(from->hashes.Next())) return false;
      }
    }
  }
  return from->counts.empty() && from->sums.empty() && from->sums_in_hundredths.empty() &&
         from->sizes.empty() && from->hashes.empty();
}

// What is the same in all versions. Times mean nothing while nothing was counted.
bool Fill(MeasureFields* from, EventTime first, EventTime last, int64_t last_day, double x,
          MeasureState* to) {
  to->count = from->count;
  to->sum_micros = from->sum_micros;
  to->first = first;
  to->last = last;
  to->cadence = {.days = from->days,
                 .last_day = static_cast<int32_t>(BucketIndex(last_day)),
                 .x = x,
                 .s = from->s};
  return ReadBuckets(from, &to->buckets) && TimesAreSound(*to);
}

bool ReadMeasure(MeasureFields* from, const CustomerState& customer, MeasureState* to) {
  EventTime first, last;
  if (from->count > 0) {
    first = EventTime(Plus(customer.first_seen.ms(), wire::UnZigZag(from->first)));
    last = EventTime(Minus(customer.last_seen.ms(), wire::UnZigZag(from->last)));
  }
  const int64_t last_day = from->days > 0 ? Plus(UtcDay(last), from->last_day) : 0;
  return Fill(from, first, last, last_day, from->x.value_or(EffectiveGaps(from->days)), to);
}

bool ReadMeasureV1(MeasureFields* from, MeasureState* to) {
  EventTime first, last;
  if (from->count > 0) {
    first = EventTime(static_cast<int64_t>(from->first));
    last = EventTime(static_cast<int64_t>(from->last));
  }
  return Fill(from, first, last, from->last_day, from->x.value_or(0), to);
}

// -- Life cycle ----------------------------------------------------------------------------------

void WriteTerm(const Term& from, Writer& to) {
  to.Uint(1, static_cast<uint32_t>(from.type));
  to.Bool(2, from.product);
  to.Text(3, from.plan);
  to.Sint(4, from.starts_at.ms());
  if (from.ends_at != EventTime::Never())
    to.AnySint(5, Minus(from.ends_at.ms(), from.starts_at.ms()));
  to.Sint(6, Minus(from.changed_at.ms(), from.starts_at.ms()));
  to.Bool(7, from.cancelled);
  to.Bool(8, from.renewed);
}

bool ReadTerm(Reader from, Term* to) {
  uint32_t type = 0;
  int64_t starts_ms = 0;
  std::optional<int64_t> ends_after_ms;
  int64_t changed_after_ms = 0;
  while (from.More()) {
    from.Uint(1, &type);
    from.Bool(2, &to->product);
    from.Bytes(3, &to->plan);
    from.Sint(4, &starts_ms);
    from.Sint(5, &ends_after_ms);
    from.Sint(6, &changed_after_ms);
    from.Bool(7, &to->cancelled);
    from.Bool(8, &to->renewed);
  }
  if (type >= kTermTypeCount) return false;
  to->type = static_cast<TermType>(type);
  to->starts_at = Time(starts_ms);
  if (ends_after_ms) to->ends_at = Time(Plus(starts_ms, *ends_after_ms));
  to->changed_at = Time(Plus(starts_ms, changed_after_ms));
  return true;
}

// A list of times[i] for each bit i of the mask.
template <typename Times>
void WriteTimes(uint32_t number, uint32_t mask, const Times& times, Writer& to) {
  to.Message(number, [&](Writer& list) {
    for (size_t i = 0; i < times.size(); ++i) {
      if ((mask >> i & 1u) != 0) list.SintElement(times[i].ms());
    }
  });
}

void WriteStanding(const Standing& from, Writer& to) {
  to.Uint(1, static_cast<uint32_t>(from.stage));
  to.Uint(2, static_cast<uint32_t>(from.previous));
  to.Sint(3, from.since.ms());
  to.Uint(4, from.holds.to_ulong());
  uint32_t ceased = 0;
  for (size_t i = 0; i < kStageCount; ++i) {
    if (from.ceased[i] != EventTime::Never()) ceased |= 1u << i;
  }
  to.Uint(5, ceased);
  if (ceased != 0) WriteTimes(6, ceased, from.ceased, to);
  to.Bool(7, from.acquired);
  if (from.inspired != EventTime::Min()) to.AnySint(8, from.inspired.ms());
  to.Uint(9, from.types.to_ulong());
  const auto types_changed = static_cast<uint32_t>(from.types_changed.to_ulong());
  to.Uint(10, types_changed);
  if (from.types_changed.any()) WriteTimes(11, types_changed, from.types_since, to);
  to.Uint(12, static_cast<uint32_t>(from.tier));
  if (from.due != EventTime::Never()) to.AnySint(13, from.due.ms());
}

// Fills (*to)[i] from the list for each bit i of the mask. False if they do not fit.
template <typename List, typename Times>
bool ReadTimes(uint32_t mask, List list, Times* to) {
  for (size_t i = 0; i < to->size(); ++i) {
    if ((mask >> i & 1u) == 0) continue;
    if (list.empty()) return false;
    (*to)[i] = Time(list.NextSint());
  }
  return list.empty() && mask >> to->size() == 0;
}

bool ReadStanding(Reader from, Standing* to) {
  uint32_t stage = 0, previous = 0, holds = 0, ceased = 0, types = 0, types_changed = 0, tier = 0;
  int64_t since_ms = 0;
  std::optional<int64_t> inspired_ms, due_ms;
  wire::Varints ceased_ms, types_since_ms;
  while (from.More()) {
    from.Uint(1, &stage);
    from.Uint(2, &previous);
    from.Sint(3, &since_ms);
    from.Uint(4, &holds);
    from.Uint(5, &ceased);
    from.Bytes(6, &ceased_ms);
    from.Bool(7, &to->acquired);
    from.Sint(8, &inspired_ms);
    from.Uint(9, &types);
    from.Uint(10, &types_changed);
    from.Bytes(11, &types_since_ms);
    from.Uint(12, &tier);
    from.Sint(13, &due_ms);
  }
  if (stage >= kStageCount || previous >= kStageCount || holds >> kStageCount != 0 ||
      types >> kActiveTypeCount != 0 || tier >= kValueTierCount)
    return false;
  to->stage = static_cast<Stage>(stage);
  to->previous = static_cast<Stage>(previous);
  to->since = Time(since_ms);
  to->holds = holds;
  if (inspired_ms) to->inspired = Time(*inspired_ms);
  to->types = types;
  to->types_changed = types_changed;
  to->tier = static_cast<ValueTier>(tier);
  if (due_ms) to->due = EventTime(*due_ms);
  return ReadTimes(ceased, ceased_ms, &to->ceased) &&
         ReadTimes(types_changed, types_since_ms, &to->types_since);
}

void WriteLifecycle(EventTime last_seen, const LifecycleState& from, Writer& to) {
  to.Uint(1, static_cast<uint32_t>(from.activity));
  to.Uint(2, static_cast<uint32_t>(from.previous));
  for (const Term& term : from.terms) to.Message(5, [&](Writer& part) { WriteTerm(term, part); });
  static const Standing kNoStanding;
  if (from.standing != kNoStanding)
    to.Message(6, [&](Writer& part) { WriteStanding(from.standing, part); });
  if (from.activity == Activity::kNone) return;
  to.AnySint(7, Minus(from.since.ms(), last_seen.ms()));
  to.Sint(8, from.since_day - UtcDay(from.since));
}

bool ReadLifecycle(Reader from, EventTime last_seen, LifecycleState* to) {
  uint32_t activity = 0, previous = 0;
  int64_t since_ms_v1 = 0;
  int32_t since_day_v1 = 0;
  std::optional<int64_t> since_after_ms;
  int64_t since_days_after = 0;
  Reader part({});
  bool ok = true;
  while (from.More()) {
    from.Uint(1, &activity);
    from.Uint(2, &previous);
    from.Uint(3, &since_ms_v1);
    from.Sint(4, &since_day_v1);
    while (from.Bytes(5, &part)) ok = ReadTerm(part, &to->terms.emplace_back()) && ok;
    if (from.Bytes(6, &part)) {
      to->standing = {};
      ok = ReadStanding(part, &to->standing) && ok;
    }
    from.Sint(7, &since_after_ms);
    from.Sint(8, &since_days_after);
  }
  if (activity >= kActivityCount || previous >= kActivityCount) return false;
  to->activity = static_cast<Activity>(activity);
  if (to->activity != Activity::kNone) {  // without it the rest means nothing
    to->previous = static_cast<Activity>(previous);
    to->since = Time(since_after_ms ? Plus(last_seen.ms(), *since_after_ms) : since_ms_v1);
    to->since_day = static_cast<int32_t>(
        BucketIndex(since_after_ms ? Plus(UtcDay(to->since), since_days_after) : since_day_v1));
  }
  return ok;
}

// -- Rules ---------------------------------------------------------------------------------------

void WriteEpisode(const Episode& from, Writer& to) {
  to.Text(1, from.key);
  to.Uint(2, static_cast<uint32_t>(from.phase));
  to.Sint(3, from.starts_at.ms());
  to.Double(4, from.value);
  to.Bool(5, from.muted);
  to.Bool(6, from.instant);
  if (from.clear_since) to.AnySint(7, from.clear_since->ms());
  if (from.last_fired) to.AnySint(8, from.last_fired->ms());
  to.Text(9, from.evidence);
}

bool ReadEpisode(Reader from, Episode* to) {
  uint32_t phase = 0;
  int64_t starts_ms = 0;
  std::optional<int64_t> clear_since_ms, last_fired_ms;
  while (from.More()) {
    from.Bytes(1, &to->key);
    from.Uint(2, &phase);
    from.Sint(3, &starts_ms);
    from.Fixed64(4, &to->value);
    from.Bool(5, &to->muted);
    from.Bool(6, &to->instant);
    from.Sint(7, &clear_since_ms);
    from.Sint(8, &last_fired_ms);
    from.Bytes(9, &to->evidence);
  }
  to->phase = static_cast<Episode::Phase>(phase);
  to->starts_at = Time(starts_ms);
  if (clear_since_ms) to->clear_since = Time(*clear_since_ms);
  if (last_fired_ms) to->last_fired = Time(*last_fired_ms);
  return phase <= static_cast<uint32_t>(Episode::Phase::kWaiting);
}

// The deadline in fields of its own, of which there may be those of version 1 instead.
struct DueFields {
  int64_t v1_ms = 0;
  bool has_v1 = false;
  std::optional<int64_t> after_ms;
  [[nodiscard]] EventTime Get(EventTime last_seen) const {
    if (after_ms) return EventTime(Plus(last_seen.ms(), *after_ms));
    return has_v1 ? EventTime(v1_ms) : EventTime::Never();
  }
};

void WriteRule(uint64_t key, EventTime last_seen, const RuleState& from, Writer& to) {
  to.Fixed64(1, key);
  to.Text(4, from.memory);
  for (const Episode& episode : from.episodes)
    to.Message(5, [&](Writer& part) { WriteEpisode(episode, part); });
  if (from.due != EventTime::Never()) to.AnySint(6, Minus(from.due.ms(), last_seen.ms()));
}

// Of a rule; it comes first.
uint64_t KeyOf(Reader from) {
  uint64_t key = 0;
  while (from.More() && !from.Fixed64(1, &key)) {
  }
  return key;
}

// Into an empty one.
bool ReadRule(Reader from, EventTime last_seen, RuleState* to) {
  uint64_t key = 0;
  DueFields due;
  Reader episode({});
  bool ok = true;
  while (from.More()) {
    from.Fixed64(1, &key);
    from.Sint(2, &due.v1_ms);
    from.Bool(3, &due.has_v1);
    from.Bytes(4, &to->memory);
    while (from.Bytes(5, &episode)) ok = ReadEpisode(episode, &to->episodes.emplace_back()) && ok;
    from.Sint(6, &due.after_ms);
  }
  to->due = due.Get(last_seen);
  return ok;
}

// -- Customers -----------------------------------------------------------------------------------

// Indexes of `items` in ascending order of their keys.
template <typename Item>
std::vector<size_t> ByKey(const std::vector<Item>& items) {
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return items[a].key < items[b].key; });
  return order;
}

// The list's part of the item with this key; null if there is none. Linear: there are few.
template <typename Item, typename State>
State* PartOf(const std::vector<Item>& items, uint64_t key, std::vector<State>* states) {
  size_t i = 0;
  while (i < items.size() && items[i].key != key) ++i;
  return i < items.size() ? &(*states)[i] : nullptr;
}

void WriteCustomer(const RuleSet& rules, std::span<const size_t> measure_order,
                   std::span<const size_t> rule_order, const CustomerState& state, Writer& to) {
  to.Int(1, state.first_seen.ms());
  to.Int(2, state.last_seen.ms());
  static const LifecycleState kNoLifecycle;  // to make one takes longer than to compare with it
  if (state.lifecycle != kNoLifecycle)
    to.Message(3, [&](Writer& part) { WriteLifecycle(state.last_seen, state.lifecycle, part); });
  for (const size_t i : rule_order) {
    if (state.rules[i].empty()) continue;
    to.Message(5, [&](Writer& part) {
      WriteRule(rules.rules[i].key, state.last_seen, state.rules[i], part);
    });
  }
  const std::vector<RecentIds::Entry>& recent = state.recent.entries();
  if (!recent.empty()) {
    to.Message(6, [&](Writer& list) {
      for (const RecentIds::Entry& entry : recent) list.Element(entry.hash);
    });
  }
  for (const size_t i : measure_order) {
    if (state.measures[i].empty()) continue;
    to.Message(10, [&](Writer& part) {
      WriteMeasure(rules.measures[i].key, state, state.measures[i], part);
    });
  }
  if (!recent.empty()) {
    int64_t previous = state.last_seen.ms();
    to.Sints(11, recent, [&](const RecentIds::Entry& entry) {
      return Minus(entry.ms, std::exchange(previous, entry.ms));
    });
  }
  const EventTime due = state.Due();
  if (due != EventTime::Never()) to.AnySint(12, Minus(due.ms(), state.last_seen.ms()));
}

// As new, but for the memory of its lists.
void Clear(RuleState* rule) {
  rule->due = EventTime::Never();
  rule->memory.clear();
  rule->episodes.clear();
}

// The same.
void Clear(CustomerState* state) {
  state->first_seen = EventTime(0);
  state->last_seen = EventTime(0);
  state->lifecycle = {};
  state->lifecycle_due = EventTime::Never();
  for (MeasureState& measure : state->measures) {
    std::vector<Bucket> buckets = std::move(measure.buckets);
    buckets.clear();
    measure = {};
    measure.buckets = std::move(buckets);
  }
  for (RuleState& rule : state->rules) Clear(&rule);
  state->recent.entries().clear();
}

// Of a part that comes twice, which no codec writes, the last counts.
bool ReadCustomer(const RuleSet& rules, Reader from, CustomerState* state) {
  int64_t first_ms = 0;
  int64_t last_ms = 0;
  wire::Fixeds<uint64_t> ids;
  wire::Varints times_v1, times;
  DueFields due;
  Reader part({});
  bool ok = true;
  while (from.More()) {
    // The rest counts from them.
    if (from.Uint(1, &first_ms)) state->first_seen = Time(first_ms);
    if (from.Uint(2, &last_ms)) state->last_seen = Time(last_ms);
    if (from.Bytes(3, &part)) {
      state->lifecycle = {};
      ok = ReadLifecycle(part, state->last_seen, &state->lifecycle) && ok;
    }
    while (from.Bytes(4, &part)) {
      MeasureFields fields = ReadFields(part);
      if (MeasureState* measure = PartOf(rules.measures, fields.key, &state->measures))
        ok = ReadMeasureV1(&fields, measure) && ok;
    }
    while (from.Bytes(5, &part)) {
      RuleState* rule = PartOf(rules.rules, KeyOf(part), &state->rules);
      if (rule == nullptr) continue;  // no longer configured: not even looked at
      if (!rule->empty()) Clear(rule);
      ok = ReadRule(part, state->last_seen, rule) && ok;
    }
    from.Bytes(6, &ids);
    from.Bytes(7, &times_v1);
    from.Sint(8, &due.v1_ms);
    from.Bool(9, &due.has_v1);
    while (from.Bytes(10, &part)) {
      MeasureFields fields = ReadFields(part);
      if (MeasureState* measure = PartOf(rules.measures, fields.key, &state->measures))
        ok = ReadMeasure(&fields, *state, measure) && ok;
    }
    from.Bytes(11, &times);
    from.Sint(12, &due.after_ms);
  }
  if (!ok) return false;
  state->lifecycle_due = due.Get(state->last_seen);
  const bool v1 = times.empty();
  int64_t ms = v1 ? 0 : last_ms;  // of the id before
  if (v1) times = times_v1;
  state->recent.entries().reserve(ids.size());
  while (!ids.empty()) {
    ms = Plus(ms, times.NextSint());
    state->recent.entries().push_back({ids.Next(), ms});
  }
  return times.empty();
}

std::unexpected<Error> NotReadable() {
  return Fail("a customer's state is not readable", ExitCode::kBroken);
}

}  // namespace

CustomerCodec::CustomerCodec(const RuleSet& rules)
    : rules_(rules),
      measure_order_(ByKey(rules.measures)),
      rule_order_(ByKey(rules.rules)),
      buffer_(4096) {}

std::string_view CustomerCodec::Encode(const CustomerState& state) {
  while (true) {
    Writer to(buffer_.data(), buffer_.data() + buffer_.size());
    try {
      WriteCustomer(rules_, measure_order_, rule_order_, state, to);
      return to.written();
    } catch (const wire::NoRoom&) {
      buffer_.resize(2 * buffer_.size());
    }
  }
}

Status CustomerCodec::Decode(std::string_view bytes, CustomerState* state) const {
  Clear(state);
  state->measures.resize(rules_.measures.size());
  state->rules.resize(rules_.rules.size());
  try {
    if (!ReadCustomer(rules_, Reader(bytes), state))
      return Fail("a customer's state contradicts itself", ExitCode::kBroken);
  } catch (const wire::Malformed&) {
    return NotReadable();
  }
  return {};
}

Result<EventTime> CustomerCodec::DueOf(std::string_view bytes) {
  int64_t last_ms = 0;
  DueFields due;
  try {
    Reader from(bytes);
    while (from.More()) {
      from.Uint(2, &last_ms);
      from.Sint(8, &due.v1_ms);
      from.Bool(9, &due.has_v1);
      from.Sint(12, &due.after_ms);
    }
  } catch (const wire::Malformed&) {
    return NotReadable();
  }
  return due.Get(EventTime(last_ms));
}

std::string ChangelogKeyOf(std::string_view customer) { return "c" + std::string(customer); }

std::optional<std::string_view> CustomerOf(std::string_view changelog_key) {
  if (changelog_key.size() < 2 || changelog_key.front() != 'c') return {};
  return changelog_key.substr(1);
}

}  // namespace heartbeatd
