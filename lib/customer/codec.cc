#include "customer/codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "state.pb.h"

namespace heartbeatd {
namespace {

// -- Measures ------------------------------------------------------------------------------------

void WriteMeasure(uint64_t key, const MeasureState& from, state::Measure* to) {
  to->set_key(key);
  to->set_first_ms(from.first.ms());
  to->set_last_ms(from.last.ms());
  to->set_count(from.count);
  to->set_sum_micros(from.sum_micros);
  to->set_days(from.cadence.days);
  to->set_last_day(from.cadence.last_day);
  to->set_x(from.cadence.x);
  to->set_s(from.cadence.s);
  bool any_sum = false;
  bool any_distinct = false;
  int32_t previous = 0;
  for (const Bucket& bucket : from.buckets) {
    to->add_bucket_index(bucket.index - previous);
    previous = bucket.index;
    to->add_bucket_count(bucket.count);
    any_sum = any_sum || bucket.sum_micros != 0;
    any_distinct = any_distinct || !bucket.distinct.empty();
  }
  if (any_sum) {
    for (const Bucket& bucket : from.buckets) to->add_bucket_sum_micros(bucket.sum_micros);
  }
  if (!any_distinct) return;
  for (const Bucket& bucket : from.buckets) {
    to->add_bucket_distinct(static_cast<uint32_t>(bucket.distinct.size()));
    for (const uint32_t hash : bucket.distinct.hashes()) to->add_distinct(hash);
  }
}

bool ReadMeasure(const state::Measure& from, MeasureState* to) {
  const int n = from.bucket_index_size();
  const bool sums = from.bucket_sum_micros_size() > 0;
  const bool distincts = from.bucket_distinct_size() > 0;
  if (from.bucket_count_size() != n || (sums && from.bucket_sum_micros_size() != n) ||
      (distincts && from.bucket_distinct_size() != n)) {
    return false;
  }
  to->first = EventTime(from.first_ms());
  to->last = EventTime(from.last_ms());
  to->count = from.count();
  to->sum_micros = from.sum_micros();
  to->cadence = {.days = from.days(), .last_day = from.last_day(), .x = from.x(), .s = from.s()};
  to->buckets.resize(static_cast<size_t>(n));
  int64_t index = 0;
  int next_hash = 0;
  for (int i = 0; i < n; ++i) {
    Bucket& bucket = to->buckets[static_cast<size_t>(i)];
    index += from.bucket_index(i);
    if (index < INT32_MIN || index > INT32_MAX || (i > 0 && from.bucket_index(i) <= 0))
      return false;
    bucket.index = static_cast<int32_t>(index);
    bucket.count = from.bucket_count(i);
    bucket.sum_micros = sums ? from.bucket_sum_micros(i) : 0;
    const uint32_t hashes = distincts ? from.bucket_distinct(i) : 0;
    if (hashes > Bucket::kDistinctMax ||
        next_hash + static_cast<int>(hashes) > from.distinct_size())
      return false;
    for (uint32_t h = 0; h < hashes; ++h) {
      if (!bucket.distinct.Insert(from.distinct(next_hash++))) return false;
    }
  }
  return next_hash == from.distinct_size();
}

// -- Life cycle ----------------------------------------------------------------------------------

void WriteTerm(const Term& from, state::Term* to) {
  to->set_type(static_cast<uint32_t>(from.type));
  to->set_product(from.product);
  if (!from.plan.empty()) to->set_plan(from.plan);
  to->set_starts_at_ms(from.starts_at.ms());
  if (from.ends_at != EventTime::Never())
    to->set_ends_after_ms((from.ends_at - from.starts_at).count());
  to->set_changed_after_ms((from.changed_at - from.starts_at).count());
  to->set_cancelled(from.cancelled);
  to->set_renewed(from.renewed);
}

bool ReadTerm(const state::Term& from, Term* to) {
  if (from.type() >= kTermTypeCount) return false;
  to->type = static_cast<TermType>(from.type());
  to->product = from.product();
  to->plan = from.plan();
  to->starts_at = EventTime(from.starts_at_ms());
  if (from.has_ends_after_ms()) to->ends_at = to->starts_at + Duration(from.ends_after_ms());
  to->changed_at = to->starts_at + Duration(from.changed_after_ms());
  to->cancelled = from.cancelled();
  to->renewed = from.renewed();
  return true;
}

void WriteStanding(const Standing& from, state::Standing* to) {
  to->set_stage(static_cast<uint32_t>(from.stage));
  to->set_previous(static_cast<uint32_t>(from.previous));
  to->set_since_ms(from.since.ms());
  to->set_holds(static_cast<uint32_t>(from.holds.to_ulong()));
  uint32_t ceased = 0;
  for (size_t i = 0; i < kStageCount; ++i) {
    if (from.ceased[i] == EventTime::Never()) continue;
    ceased |= 1u << i;
    to->add_ceased_ms(from.ceased[i].ms());
  }
  to->set_ceased(ceased);
  to->set_acquired(from.acquired);
  if (from.inspired != EventTime::Min()) to->set_inspired_ms(from.inspired.ms());
  to->set_types(static_cast<uint32_t>(from.types.to_ulong()));
  to->set_types_changed(static_cast<uint32_t>(from.types_changed.to_ulong()));
  for (size_t i = 0; i < kActiveTypeCount; ++i) {
    if (from.types_changed.test(i)) to->add_types_since_ms(from.types_since[i].ms());
  }
  to->set_tier(static_cast<uint32_t>(from.tier));
  if (from.due != EventTime::Never()) to->set_due_ms(from.due.ms());
}

// Fills (*to)[i] from the list for each bit i of the mask. False if they do not fit.
template <typename List, typename Times>
bool ReadTimes(uint32_t mask, const List& list, Times* to) {
  int next = 0;
  for (size_t i = 0; i < to->size(); ++i) {
    if ((mask >> i & 1u) == 0) continue;
    if (next == list.size()) return false;
    (*to)[i] = EventTime(list.Get(next++));
  }
  return next == list.size() && mask >> to->size() == 0;
}

bool ReadStanding(const state::Standing& from, Standing* to) {
  if (from.stage() >= kStageCount || from.previous() >= kStageCount ||
      from.holds() >> kStageCount != 0 || from.types() >> kActiveTypeCount != 0 ||
      from.tier() >= kValueTierCount)
    return false;
  to->stage = static_cast<Stage>(from.stage());
  to->previous = static_cast<Stage>(from.previous());
  to->since = EventTime(from.since_ms());
  to->holds = from.holds();
  to->acquired = from.acquired();
  if (from.has_inspired_ms()) to->inspired = EventTime(from.inspired_ms());
  to->types = from.types();
  to->types_changed = from.types_changed();
  to->tier = static_cast<ValueTier>(from.tier());
  if (from.has_due_ms()) to->due = EventTime(from.due_ms());
  return ReadTimes(from.ceased(), from.ceased_ms(), &to->ceased) &&
         ReadTimes(from.types_changed(), from.types_since_ms(), &to->types_since);
}

void WriteLifecycle(const LifecycleState& from, state::Lifecycle* to) {
  to->set_activity(static_cast<uint32_t>(from.activity));
  to->set_previous(static_cast<uint32_t>(from.previous));
  to->set_since_ms(from.since.ms());
  to->set_since_day(from.since_day);
  for (const Term& term : from.terms) WriteTerm(term, to->add_terms());
  if (from.standing != Standing()) WriteStanding(from.standing, to->mutable_standing());
}

bool ReadLifecycle(const state::Lifecycle& from, LifecycleState* to) {
  constexpr auto kLast = static_cast<uint32_t>(Activity::kReactivated);
  if (from.activity() > kLast || from.previous() > kLast) return false;
  to->activity = static_cast<Activity>(from.activity());
  if (to->activity != Activity::kNone) {  // without it the rest means nothing
    to->previous = static_cast<Activity>(from.previous());
    to->since = EventTime(from.since_ms());
    to->since_day = from.since_day();
  }
  if (from.has_standing() && !ReadStanding(from.standing(), &to->standing)) return false;
  return std::all_of(from.terms().begin(), from.terms().end(), [&](const state::Term& term) {
    return ReadTerm(term, &to->terms.emplace_back());
  });
}

// -- Rules ---------------------------------------------------------------------------------------

void WriteRule(uint64_t key, const RuleState& from, state::Rule* to) {
  to->set_key(key);
  if (from.due != EventTime::Never()) {
    to->set_has_due(true);
    to->set_due_ms(from.due.ms());
  }
  if (!from.memory.empty()) to->set_memory(from.memory);
  for (const Episode& episode : from.episodes) {
    state::Episode* out = to->add_episodes();
    if (!episode.key.empty()) out->set_key(episode.key);
    out->set_phase(static_cast<uint32_t>(episode.phase));
    out->set_starts_at_ms(episode.starts_at.ms());
    out->set_value(episode.value);
    out->set_muted(episode.muted);
    out->set_instant(episode.instant);
    if (episode.clear_since) out->set_clear_since_ms(episode.clear_since->ms());
    if (episode.last_fired) out->set_last_fired_ms(episode.last_fired->ms());
    if (!episode.evidence.empty()) out->set_evidence(episode.evidence);
  }
}

bool ReadRule(const state::Rule& from, RuleState* to) {
  to->due = from.has_due() ? EventTime(from.due_ms()) : EventTime::Never();
  to->memory = from.memory();
  for (const state::Episode& episode : from.episodes()) {
    if (episode.phase() > static_cast<uint32_t>(Episode::Phase::kWaiting)) return false;
    Episode& out = to->episodes.emplace_back();
    out.key = episode.key();
    out.phase = static_cast<Episode::Phase>(episode.phase());
    out.starts_at = EventTime(episode.starts_at_ms());
    out.value = episode.value();
    out.muted = episode.muted();
    out.instant = episode.instant();
    if (episode.has_clear_since_ms()) out.clear_since = EventTime(episode.clear_since_ms());
    if (episode.has_last_fired_ms()) out.last_fired = EventTime(episode.last_fired_ms());
    out.evidence = episode.evidence();
  }
  return true;
}

// Indexes of `items` in ascending order of their keys.
template <typename Item>
std::vector<size_t> ByKey(const std::vector<Item>& items) {
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return items[a].key < items[b].key; });
  return order;
}

// Index of the item with this key; items.size() if there is none. Linear: there are few.
template <typename Item>
size_t IndexOf(const std::vector<Item>& items, uint64_t key) {
  size_t i = 0;
  while (i < items.size() && items[i].key != key) ++i;
  return i;
}

void WriteMeta(const ShardMeta& from, state::Meta* to) {
  to->set_format_version(kFormatVersion);
  to->set_clock_ms(from.clock.ms());
  for (const auto& [topic, offset] : from.next) {
    state::TopicOffset* next = to->add_next();
    next->set_topic(topic);
    next->set_next_offset(offset);
  }
  to->set_rules_hash(from.rules_hash);
  to->set_changelog_id(from.changelog_id);
  for (const int64_t ms : from.activity_ms) to->add_activity_ms(ms);
  to->set_events(from.events);
  to->set_last_event_ms(from.last_event.ms());
  to->set_customers(from.customers);
}

Result<ShardMeta> ReadMeta(const state::Meta& from) {
  if (from.format_version() == 0)
    return Fail("the shard's record has no format version", ExitCode::kBroken);
  if (from.format_version() > kFormatVersion) {
    return Fail(
        fmt::format("the state has format {}, this heartbeatd reads up to {}: run a newer one",
                    from.format_version(), kFormatVersion),
        ExitCode::kBroken);
  }
  ShardMeta to;
  to.clock = EventTime(from.clock_ms());
  for (const state::TopicOffset& next : from.next()) to.next[next.topic()] = next.next_offset();
  to.rules_hash = from.rules_hash();
  to.changelog_id = from.changelog_id();
  to.activity_ms.assign(from.activity_ms().begin(), from.activity_ms().end());
  to.events = from.events();
  to.last_event = EventTime(from.last_event_ms());
  to.customers = from.customers();
  return to;
}

bool Parse(std::string_view bytes, google::protobuf::MessageLite* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

class CustomerCodec::Impl {
 public:
  explicit Impl(const RuleSet& rules)
      : rules_(rules), measure_order_(ByKey(rules.measures)), rule_order_(ByKey(rules.rules)) {}

  void Encode(const CustomerState& state, std::string* bytes) {
    message_.Clear();
    message_.set_first_seen_ms(state.first_seen.ms());
    message_.set_last_seen_ms(state.last_seen.ms());
    if (state.lifecycle != LifecycleState())
      WriteLifecycle(state.lifecycle, message_.mutable_lifecycle());
    for (const size_t i : measure_order_) {
      if (!state.measures[i].empty())
        WriteMeasure(rules_.measures[i].key, state.measures[i], message_.add_measures());
    }
    for (const size_t i : rule_order_) {
      if (!state.rules[i].empty())
        WriteRule(rules_.rules[i].key, state.rules[i], message_.add_rules());
    }
    int64_t previous = 0;
    for (const RecentIds::Entry& entry : state.recent.entries()) {
      message_.add_recent_ids(entry.hash);
      message_.add_recent_ms(entry.ms - previous);
      previous = entry.ms;
    }
    const EventTime due = state.Due();
    if (due != EventTime::Never()) {
      message_.set_has_due(true);
      message_.set_due_ms(due.ms());
    }
    message_.SerializeToString(bytes);
  }

  Status Decode(std::string_view bytes, CustomerState* state) {
    if (!Parse(bytes, &message_))
      return Fail("a customer's state is not readable", ExitCode::kBroken);
    *state = CustomerState{};
    state->first_seen = EventTime(message_.first_seen_ms());
    state->last_seen = EventTime(message_.last_seen_ms());
    bool ok = ReadLifecycle(message_.lifecycle(), &state->lifecycle) &&
              message_.recent_ids_size() == message_.recent_ms_size();
    state->measures.resize(rules_.measures.size());
    for (const state::Measure& measure : message_.measures()) {
      const size_t i = IndexOf(rules_.measures, measure.key());
      if (i < rules_.measures.size()) ok = ok && ReadMeasure(measure, &state->measures[i]);
    }
    state->rules.resize(rules_.rules.size());
    for (const state::Rule& rule : message_.rules()) {
      const size_t i = IndexOf(rules_.rules, rule.key());
      if (i < rules_.rules.size()) ok = ok && ReadRule(rule, &state->rules[i]);
    }
    int64_t ms = 0;
    for (int i = 0; ok && i < message_.recent_ids_size(); ++i) {
      ms += message_.recent_ms(i);
      state->recent.entries().push_back({message_.recent_ids(i), ms});
    }
    if (!ok) return Fail("a customer's state contradicts itself", ExitCode::kBroken);
    state->lifecycle_due =
        NextSilence(rules_.lifecycle, state->measures[rules_.pulse], state->lifecycle);
    return {};
  }

 private:
  const RuleSet& rules_;
  std::vector<size_t> measure_order_;
  std::vector<size_t> rule_order_;
  state::Customer message_;  // reused: keeps its memory
};

CustomerCodec::CustomerCodec(const RuleSet& rules) : impl_(std::make_unique<Impl>(rules)) {}
CustomerCodec::~CustomerCodec() = default;
void CustomerCodec::Encode(const CustomerState& state, std::string* bytes) {
  impl_->Encode(state, bytes);
}
Status CustomerCodec::Decode(std::string_view bytes, CustomerState* state) {
  return impl_->Decode(bytes, state);
}

Result<EventTime> CustomerCodec::DueOf(std::string_view bytes) {
  state::Customer message;
  if (!Parse(bytes, &message)) return Fail("a customer's state is not readable", ExitCode::kBroken);
  return message.has_due() ? EventTime(message.due_ms()) : EventTime::Never();
}

std::string EncodeMeta(const ShardMeta& meta) {
  state::Meta message;
  WriteMeta(meta, &message);
  return message.SerializeAsString();
}

Result<ShardMeta> DecodeMeta(std::string_view bytes) {
  state::Meta message;
  if (!Parse(bytes, &message)) return Fail("the shard's record is not readable", ExitCode::kBroken);
  return ReadMeta(message);
}

std::string EncodeLocalMeta(const LocalMeta& meta) {
  state::LocalMeta message;
  WriteMeta(meta.meta, message.mutable_meta());
  message.set_position(meta.position);
  message.set_synced_at_ms(meta.synced_at.ms());
  message.set_cluster_id(meta.cluster_id);
  message.set_rebuilding(meta.rebuilding);
  return message.SerializeAsString();
}

Result<LocalMeta> DecodeLocalMeta(std::string_view bytes) {
  state::LocalMeta message;
  if (!Parse(bytes, &message))
    return Fail("the local store's record is not readable", ExitCode::kBroken);
  Result<ShardMeta> meta = ReadMeta(message.meta());
  if (!meta) return std::unexpected(std::move(meta.error()));
  return LocalMeta{.meta = std::move(*meta),
                   .position = message.position(),
                   .synced_at = WallTime(message.synced_at_ms()),
                   .cluster_id = message.cluster_id(),
                   .rebuilding = message.rebuilding()};
}

std::string ChangelogKeyOf(std::string_view customer) { return "c" + std::string(customer); }

std::optional<std::string_view> CustomerOf(std::string_view changelog_key) {
  if (changelog_key.size() < 2 || changelog_key.front() != 'c') return {};
  return changelog_key.substr(1);
}

}  // namespace heartbeatd
