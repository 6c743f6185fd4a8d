// Reads and writes the messages of state.proto, field by field in ascending order, which is how
// protobuf's own code does it. That code wants a tree of objects between the bytes and the state;
// this is what a customer costs most often.
#include "customer/codec.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <protozero/basic_pbf_writer.hpp>
#include <protozero/buffer_fixed.hpp>
#include <protozero/pbf_reader.hpp>
#include <span>
#include <stdexcept>
#include <utility>

namespace heartbeatd {
namespace {

using protozero::pbf_reader;
using protozero::pbf_tag_type;
using Wire = protozero::pbf_wire_type;

// What the next field must be for a `case` of it; any other is skipped, as protobuf does.
constexpr uint32_t Varint(pbf_tag_type tag) { return protozero::tag_and_type(tag, Wire::varint); }
constexpr uint32_t Fixed64(pbf_tag_type tag) { return protozero::tag_and_type(tag, Wire::fixed64); }
// Messages, bytes and lists.
constexpr uint32_t Bytes(pbf_tag_type tag) {
  return protozero::tag_and_type(tag, Wire::length_delimited);
}

using Buffer = protozero::fixed_size_buffer_adaptor;  // quicker than a string that grows
using PackedSint32 = protozero::detail::packed_field_svarint<Buffer, int32_t>;
using PackedSint64 = protozero::detail::packed_field_svarint<Buffer, int64_t>;
using PackedUint32 = protozero::detail::packed_field_varint<Buffer, uint32_t>;
using PackedFixed32 = protozero::detail::packed_field_fixed<Buffer, uint32_t>;
using PackedFixed64 = protozero::detail::packed_field_fixed<Buffer, uint64_t>;

// Leaves out what has the default value.
class Writer {
 public:
  explicit Writer(Buffer& buffer) : buffer_(buffer), out_(buffer) {}

  void Int64(pbf_tag_type tag, int64_t value) {
    if (value != 0) out_.add_int64(tag, value);
  }
  void Sint32(pbf_tag_type tag, int32_t value) {
    if (value != 0) out_.add_sint32(tag, value);
  }
  void Sint64(pbf_tag_type tag, int64_t value) {
    if (value != 0) out_.add_sint64(tag, value);
  }
  void Uint(pbf_tag_type tag, uint64_t value) {
    if (value != 0) out_.add_uint64(tag, value);
  }
  void Bool(pbf_tag_type tag, bool value) {
    if (value) out_.add_bool(tag, value);
  }
  void Double(pbf_tag_type tag, double value) {
    if (std::bit_cast<uint64_t>(value) != 0) out_.add_double(tag, value);
  }
  void Text(pbf_tag_type tag, std::string_view value) {
    if (!value.empty()) out_.add_bytes(tag, value.data(), value.size());
  }
  // A message within this one, which `write` fills. It is there even if nothing is in it.
  template <typename Write>
  void Message(pbf_tag_type tag, const Write& write) {
    const size_t before = buffer_.size();
    {
      Writer part(*this, tag);
      write(part);
    }
    if (buffer_.size() == before) out_.add_message(tag, "", 0);
  }
  // Also if it has the default value, or is a list.
  protozero::basic_pbf_writer<Buffer>& out() { return out_; }

 private:
  Writer(Writer& parent, pbf_tag_type tag) : buffer_(parent.buffer_), out_(parent.out_, tag) {}

  Buffer& buffer_;
  protozero::basic_pbf_writer<Buffer> out_;
};

std::string TextOf(pbf_reader& from) { return from.get_bytes(); }

// Differences that any bytes may lead to.
int64_t Plus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
int64_t Minus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

// -- Measures ------------------------------------------------------------------------------------

void WriteMeasure(uint64_t key, const MeasureState& from, Writer& to) {
  if (key != 0) to.out().add_fixed64(1, key);
  to.Int64(2, from.first.ms());
  to.Int64(3, from.last.ms());
  to.Uint(4, from.count);
  to.Sint64(5, from.sum_micros);
  to.Uint(6, from.cadence.days);
  to.Sint32(7, from.cadence.last_day);
  to.Double(8, from.cadence.x);
  to.Double(9, from.cadence.s);
  if (from.buckets.empty()) return;
  bool any_sum = false;
  bool any_distinct = false;
  {
    PackedSint32 indexes(to.out(), 10);
    int32_t previous = 0;
    for (const Bucket& bucket : from.buckets) {
      indexes.add_element(bucket.index - previous);
      previous = bucket.index;
      any_sum = any_sum || bucket.sum_micros != 0;
      any_distinct = any_distinct || !bucket.distinct.empty();
    }
  }
  {
    PackedUint32 counts(to.out(), 11);
    for (const Bucket& bucket : from.buckets) counts.add_element(bucket.count);
  }
  if (any_sum) {
    PackedSint64 sums(to.out(), 12);
    for (const Bucket& bucket : from.buckets) sums.add_element(bucket.sum_micros);
  }
  if (!any_distinct) return;
  {
    PackedUint32 sizes(to.out(), 13);
    for (const Bucket& bucket : from.buckets)
      sizes.add_element(static_cast<uint32_t>(bucket.distinct.size()));
  }
  PackedFixed32 hashes(to.out(), 14);
  for (const Bucket& bucket : from.buckets) {
    for (const uint32_t hash : bucket.distinct.hashes()) hashes.add_element(hash);
  }
}

// A measure as it comes, its lists not yet taken apart.
struct MeasureFields {
  uint64_t key = 0;
  MeasureState state;
  decltype(pbf_reader().get_packed_sint32()) indexes;
  decltype(pbf_reader().get_packed_uint32()) counts;
  decltype(pbf_reader().get_packed_sint64()) sums;
  decltype(pbf_reader().get_packed_uint32()) sizes;
  decltype(pbf_reader().get_packed_fixed32()) hashes;
};

MeasureFields ReadFields(pbf_reader from) {
  MeasureFields to;
  MeasureState& state = to.state;
  state.cadence.last_day = 0;
  while (from.next()) {
    switch (from.tag_and_type()) {
      case Fixed64(1):
        to.key = from.get_fixed64();
        break;
      case Varint(2):
        state.first = EventTime(from.get_int64());
        break;
      case Varint(3):
        state.last = EventTime(from.get_int64());
        break;
      case Varint(4):
        state.count = from.get_uint64();
        break;
      case Varint(5):
        state.sum_micros = from.get_sint64();
        break;
      case Varint(6):
        state.cadence.days = from.get_uint32();
        break;
      case Varint(7):
        state.cadence.last_day = from.get_sint32();
        break;
      case Fixed64(8):
        state.cadence.x = from.get_double();
        break;
      case Fixed64(9):
        state.cadence.s = from.get_double();
        break;
      case Bytes(10):
        to.indexes = from.get_packed_sint32();
        break;
      case Bytes(11):
        to.counts = from.get_packed_uint32();
        break;
      case Bytes(12):
        to.sums = from.get_packed_sint64();
        break;
      case Bytes(13):
        to.sizes = from.get_packed_uint32();
        break;
      case Bytes(14):
        to.hashes = from.get_packed_fixed32();
        break;
      default:
        from.skip();
    }
  }
  return to;
}

// False if the lists do not fit each other.
bool ReadBuckets(MeasureFields* from) {
  const size_t n = from->indexes.size();
  const auto fits = [n](const auto& list) { return list.empty() || list.size() == n; };
  const bool sums = !from->sums.empty();
  const bool distincts = !from->sizes.empty();
  if (from->counts.size() != n || !fits(from->sums) || !fits(from->sizes)) return false;
  from->state.buckets.resize(n);
  int64_t index = 0;
  bool first = true;
  for (Bucket& bucket : from->state.buckets) {
    const int32_t step = from->indexes.front();
    from->indexes.drop_front();
    index += step;
    if (index < INT32_MIN || index > INT32_MAX || (!first && step <= 0)) return false;
    first = false;
    bucket.index = static_cast<int32_t>(index);
    bucket.count = from->counts.front();
    from->counts.drop_front();
    if (sums) {
      bucket.sum_micros = from->sums.front();
      from->sums.drop_front();
    }
    if (!distincts) continue;
    const uint32_t hashes = from->sizes.front();
    from->sizes.drop_front();
    if (hashes > Bucket::kDistinctMax) return false;
    for (uint32_t h = 0; h < hashes; ++h) {
      if (from->hashes.empty() || !bucket.distinct.Insert(from->hashes.front())) return false;
      from->hashes.drop_front();
    }
  }
  return from->hashes.empty();
}

// -- Life cycle ----------------------------------------------------------------------------------

void WriteTerm(const Term& from, Writer& to) {
  to.Uint(1, static_cast<uint32_t>(from.type));
  to.Bool(2, from.product);
  to.Text(3, from.plan);
  to.Sint64(4, from.starts_at.ms());
  if (from.ends_at != EventTime::Never())
    to.out().add_sint64(5, Minus(from.ends_at.ms(), from.starts_at.ms()));
  to.Sint64(6, Minus(from.changed_at.ms(), from.starts_at.ms()));
  to.Bool(7, from.cancelled);
  to.Bool(8, from.renewed);
}

bool ReadTerm(pbf_reader from, Term* to) {
  uint32_t type = 0;
  std::optional<int64_t> ends_after_ms;
  int64_t changed_after_ms = 0;
  while (from.next()) {
    switch (from.tag_and_type()) {
      case Varint(1):
        type = from.get_uint32();
        break;
      case Varint(2):
        to->product = from.get_bool();
        break;
      case Bytes(3):
        to->plan = TextOf(from);
        break;
      case Varint(4):
        to->starts_at = EventTime(from.get_sint64());
        break;
      case Varint(5):
        ends_after_ms = from.get_sint64();
        break;
      case Varint(6):
        changed_after_ms = from.get_sint64();
        break;
      case Varint(7):
        to->cancelled = from.get_bool();
        break;
      case Varint(8):
        to->renewed = from.get_bool();
        break;
      default:
        from.skip();
    }
  }
  if (type >= kTermTypeCount) return false;
  to->type = static_cast<TermType>(type);
  if (ends_after_ms) to->ends_at = to->starts_at + Duration(*ends_after_ms);
  to->changed_at = to->starts_at + Duration(changed_after_ms);
  return true;
}

void WriteStanding(const Standing& from, Writer& to) {
  to.Uint(1, static_cast<uint32_t>(from.stage));
  to.Uint(2, static_cast<uint32_t>(from.previous));
  to.Sint64(3, from.since.ms());
  to.Uint(4, from.holds.to_ulong());
  uint32_t ceased = 0;
  for (size_t i = 0; i < kStageCount; ++i) {
    if (from.ceased[i] != EventTime::Never()) ceased |= 1u << i;
  }
  to.Uint(5, ceased);
  if (ceased != 0) {
    PackedSint64 times(to.out(), 6);
    for (const EventTime at : from.ceased) {
      if (at != EventTime::Never()) times.add_element(at.ms());
    }
  }
  to.Bool(7, from.acquired);
  if (from.inspired != EventTime::Min()) to.out().add_sint64(8, from.inspired.ms());
  to.Uint(9, from.types.to_ulong());
  to.Uint(10, from.types_changed.to_ulong());
  if (from.types_changed.any()) {
    PackedSint64 times(to.out(), 11);
    for (size_t i = 0; i < kActiveTypeCount; ++i) {
      if (from.types_changed.test(i)) times.add_element(from.types_since[i].ms());
    }
  }
  to.Uint(12, static_cast<uint32_t>(from.tier));
  if (from.due != EventTime::Never()) to.out().add_sint64(13, from.due.ms());
}

// Fills (*to)[i] from the list for each bit i of the mask. False if they do not fit.
template <typename List, typename Times>
bool ReadTimes(uint32_t mask, List list, Times* to) {
  for (size_t i = 0; i < to->size(); ++i) {
    if ((mask >> i & 1u) == 0) continue;
    if (list.empty()) return false;
    (*to)[i] = EventTime(list.front());
    list.drop_front();
  }
  return list.empty() && mask >> to->size() == 0;
}

bool ReadStanding(pbf_reader from, Standing* to) {
  uint32_t stage = 0, previous = 0, holds = 0, ceased = 0, types = 0, types_changed = 0, tier = 0;
  decltype(from.get_packed_sint64()) ceased_ms, types_since_ms;
  while (from.next()) {
    switch (from.tag_and_type()) {
      case Varint(1):
        stage = from.get_uint32();
        break;
      case Varint(2):
        previous = from.get_uint32();
        break;
      case Varint(3):
        to->since = EventTime(from.get_sint64());
        break;
      case Varint(4):
        holds = from.get_uint32();
        break;
      case Varint(5):
        ceased = from.get_uint32();
        break;
      case Bytes(6):
        ceased_ms = from.get_packed_sint64();
        break;
      case Varint(7):
        to->acquired = from.get_bool();
        break;
      case Varint(8):
        to->inspired = EventTime(from.get_sint64());
        break;
      case Varint(9):
        types = from.get_uint32();
        break;
      case Varint(10):
        types_changed = from.get_uint32();
        break;
      case Bytes(11):
        types_since_ms = from.get_packed_sint64();
        break;
      case Varint(12):
        tier = from.get_uint32();
        break;
      case Varint(13):
        to->due = EventTime(from.get_sint64());
        break;
      default:
        from.skip();
    }
  }
  if (stage >= kStageCount || previous >= kStageCount || holds >> kStageCount != 0 ||
      types >> kActiveTypeCount != 0 || tier >= kValueTierCount)
    return false;
  to->stage = static_cast<Stage>(stage);
  to->previous = static_cast<Stage>(previous);
  to->holds = holds;
  to->types = types;
  to->types_changed = types_changed;
  to->tier = static_cast<ValueTier>(tier);
  return ReadTimes(ceased, ceased_ms, &to->ceased) &&
         ReadTimes(types_changed, types_since_ms, &to->types_since);
}

void WriteLifecycle(const LifecycleState& from, Writer& to) {
  to.Uint(1, static_cast<uint32_t>(from.activity));
  to.Uint(2, static_cast<uint32_t>(from.previous));
  to.Int64(3, from.since.ms());
  to.Sint32(4, from.since_day);
  for (const Term& term : from.terms) to.Message(5, [&](Writer& part) { WriteTerm(term, part); });
  if (from.standing != Standing())
    to.Message(6, [&](Writer& part) { WriteStanding(from.standing, part); });
}

bool ReadLifecycle(pbf_reader from, LifecycleState* to) {
  uint32_t activity = 0, previous = 0;
  int64_t since_ms = 0;
  int32_t since_day = 0;
  bool ok = true;
  while (from.next()) {
    switch (from.tag_and_type()) {
      case Varint(1):
        activity = from.get_uint32();
        break;
      case Varint(2):
        previous = from.get_uint32();
        break;
      case Varint(3):
        since_ms = from.get_int64();
        break;
      case Varint(4):
        since_day = from.get_sint32();
        break;
      case Bytes(5):
        ok = ReadTerm(from.get_message(), &to->terms.emplace_back()) && ok;
        break;
      case Bytes(6):
        ok = ReadStanding(from.get_message(), &to->standing) && ok;
        break;
      default:
        from.skip();
    }
  }
  if (activity >= kActivityCount || previous >= kActivityCount) return false;
  to->activity = static_cast<Activity>(activity);
  if (to->activity != Activity::kNone) {  // without it the rest means nothing
    to->previous = static_cast<Activity>(previous);
    to->since = EventTime(since_ms);
    to->since_day = since_day;
  }
  return ok;
}

// -- Rules ---------------------------------------------------------------------------------------

void WriteEpisode(const Episode& from, Writer& to) {
  to.Text(1, from.key);
  to.Uint(2, static_cast<uint32_t>(from.phase));
  to.Sint64(3, from.starts_at.ms());
  to.Double(4, from.value);
  to.Bool(5, from.muted);
  to.Bool(6, from.instant);
  if (from.clear_since) to.out().add_sint64(7, from.clear_since->ms());
  if (from.last_fired) to.out().add_sint64(8, from.last_fired->ms());
  to.Text(9, from.evidence);
}

bool ReadEpisode(pbf_reader from, Episode* to) {
  uint32_t phase = 0;
  while (from.next()) {
    switch (from.tag_and_type()) {
      case Bytes(1):
        to->key = TextOf(from);
        break;
      case Varint(2):
        phase = from.get_uint32();
        break;
      case Varint(3):
        to->starts_at = EventTime(from.get_sint64());
        break;
      case Fixed64(4):
        to->value = from.get_double();
        break;
      case Varint(5):
        to->muted = from.get_bool();
        break;
      case Varint(6):
        to->instant = from.get_bool();
        break;
      case Varint(7):
        to->clear_since = EventTime(from.get_sint64());
        break;
      case Varint(8):
        to->last_fired = EventTime(from.get_sint64());
        break;
      case Bytes(9):
        to->evidence = TextOf(from);
        break;
      default:
        from.skip();
    }
  }
  to->phase = static_cast<Episode::Phase>(phase);
  return phase <= static_cast<uint32_t>(Episode::Phase::kWaiting);
}

void WriteRule(uint64_t key, const RuleState& from, Writer& to) {
  if (key != 0) to.out().add_fixed64(1, key);
  if (from.due != EventTime::Never()) {
    to.Sint64(2, from.due.ms());
    to.Bool(3, true);
  }
  to.Text(4, from.memory);
  for (const Episode& episode : from.episodes)
    to.Message(5, [&](Writer& part) { WriteEpisode(episode, part); });
}

bool ReadRule(pbf_reader from, uint64_t* key, RuleState* to) {
  int64_t due_ms = 0;
  bool has_due = false;
  bool ok = true;
  while (from.next()) {
    switch (from.tag_and_type()) {
      case Fixed64(1):
        *key = from.get_fixed64();
        break;
      case Varint(2):
        due_ms = from.get_sint64();
        break;
      case Varint(3):
        has_due = from.get_bool();
        break;
      case Bytes(4):
        to->memory = TextOf(from);
        break;
      case Bytes(5):
        ok = ReadEpisode(from.get_message(), &to->episodes.emplace_back()) && ok;
        break;
      default:
        from.skip();
    }
  }
  to->due = has_due ? EventTime(due_ms) : EventTime::Never();
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
                   std::span<const size_t> rule_order, const CustomerState& state, Writer to) {
  to.Int64(1, state.first_seen.ms());
  to.Int64(2, state.last_seen.ms());
  if (state.lifecycle != LifecycleState())
    to.Message(3, [&](Writer& part) { WriteLifecycle(state.lifecycle, part); });
  for (const size_t i : measure_order) {
    if (state.measures[i].empty()) continue;
    to.Message(4,
               [&](Writer& part) { WriteMeasure(rules.measures[i].key, state.measures[i], part); });
  }
  for (const size_t i : rule_order) {
    if (state.rules[i].empty()) continue;
    to.Message(5, [&](Writer& part) { WriteRule(rules.rules[i].key, state.rules[i], part); });
  }
  const std::vector<RecentIds::Entry>& recent = state.recent.entries();
  if (!recent.empty()) {
    {
      PackedFixed64 ids(to.out(), 6);
      for (const RecentIds::Entry& entry : recent) ids.add_element(entry.hash);
    }
    PackedSint64 times(to.out(), 7);
    int64_t previous = 0;
    for (const RecentIds::Entry& entry : recent) {
      times.add_element(Minus(entry.ms, previous));
      previous = entry.ms;
    }
  }
  const EventTime due = state.Due();
  if (due == EventTime::Never()) return;
  to.Sint64(8, due.ms());
  to.Bool(9, true);
}

bool ReadCustomer(const RuleSet& rules, pbf_reader from, CustomerState* state) {
  state->first_seen = EventTime(0);
  state->last_seen = EventTime(0);
  decltype(from.get_packed_fixed64()) ids;
  decltype(from.get_packed_sint64()) times;
  bool ok = true;
  while (from.next()) {
    switch (from.tag_and_type()) {
      case Varint(1):
        state->first_seen = EventTime(from.get_int64());
        break;
      case Varint(2):
        state->last_seen = EventTime(from.get_int64());
        break;
      case Bytes(3):
        ok = ReadLifecycle(from.get_message(), &state->lifecycle) && ok;
        break;
      case Bytes(4): {
        MeasureFields fields = ReadFields(from.get_message());
        if (MeasureState* part = PartOf(rules.measures, fields.key, &state->measures)) {
          ok = ReadBuckets(&fields) && ok;
          *part = std::move(fields.state);
        }
        break;
      }
      case Bytes(5): {
        uint64_t key = 0;
        RuleState rule;
        const bool whole = ReadRule(from.get_message(), &key, &rule);
        if (RuleState* part = PartOf(rules.rules, key, &state->rules)) {
          ok = ok && whole;
          *part = std::move(rule);
        }
        break;
      }
      case Bytes(6):
        ids = from.get_packed_fixed64();
        break;
      case Bytes(7):
        times = from.get_packed_sint64();
        break;
      default:
        from.skip();
    }
  }
  if (!ok || ids.size() != times.size()) return false;
  state->recent.entries().reserve(ids.size());
  int64_t ms = 0;
  for (; !ids.empty(); ids.drop_front(), times.drop_front()) {
    ms = Plus(ms, times.front());
    state->recent.entries().push_back({ids.front(), ms});
  }
  return true;
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

void CustomerCodec::Encode(const CustomerState& state, std::string* bytes) {
  while (true) {
    Buffer buffer(buffer_.data(), buffer_.size());
    try {
      WriteCustomer(rules_, measure_order_, rule_order_, state, Writer(buffer));
      bytes->assign(buffer.data(), buffer.size());
      return;
    } catch (const std::length_error&) {
      buffer_.resize(2 * buffer_.size());
    }
  }
}

Status CustomerCodec::Decode(std::string_view bytes, CustomerState* state) const {
  *state = CustomerState{};
  state->measures.resize(rules_.measures.size());
  state->rules.resize(rules_.rules.size());
  try {
    if (!ReadCustomer(rules_, {bytes.data(), bytes.size()}, state))
      return Fail("a customer's state contradicts itself", ExitCode::kBroken);
  } catch (const protozero::exception&) {
    return NotReadable();
  }
  state->lifecycle_due =
      NextSilence(rules_.lifecycle, state->measures[rules_.pulse], state->lifecycle);
  return {};
}

Result<EventTime> CustomerCodec::DueOf(std::string_view bytes) {
  int64_t due_ms = 0;
  bool has_due = false;
  try {
    pbf_reader from(bytes.data(), bytes.size());
    while (from.next()) {
      switch (from.tag_and_type()) {
        case Varint(8):
          due_ms = from.get_sint64();
          break;
        case Varint(9):
          has_due = from.get_bool();
          break;
        default:
          from.skip();
      }
    }
  } catch (const protozero::exception&) {
    return NotReadable();
  }
  return has_due ? EventTime(due_ms) : EventTime::Never();
}

std::string ChangelogKeyOf(std::string_view customer) { return "c" + std::string(customer); }

std::optional<std::string_view> CustomerOf(std::string_view changelog_key) {
  if (changelog_key.size() < 2 || changelog_key.front() != 'c') return {};
  return changelog_key.substr(1);
}

}  // namespace heartbeatd
