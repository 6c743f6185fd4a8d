#include "customer/codec.h"

#include <functional>
#include <random>

#include "one_customer.h"
#include "state.pb.h"

using namespace heartbeatd;

namespace {

const char* const kRules = R"(
measures:
  purchases: {type: purchase, sum: amount, distinct: item, population_gap: 20d}
  logins: {type: login, population_gap: 5d, resolution: 1h}
  orders: {type: purchase, where: {channel: app}}
rules:
  - {id: dropping, detector: dropping, measure: purchases, window: 7d, ratio: 0.5, hold: 1d, cooldown: 20d, minimum: {baseline_count: 3, observed_for: 14d}}
  - {id: quiet, detector: silence, measure: logins, minimum: {days: 2}}
  - {id: distinct, detector: dropping, measure: purchases, value: distinct, window: 3d, ratio: 0.9, minimum: {baseline_count: 2}}
  - {id: life, detector: transition, of: activity}
)";

bool SameRecent(const RecentIds& a, const RecentIds& b) {
  return std::equal(a.entries().begin(), a.entries().end(), b.entries().begin(), b.entries().end(),
                    [](const auto& x, const auto& y) { return x.hash == y.hash && x.ms == y.ms; });
}

void CheckSame(const CustomerState& a, const CustomerState& b) {
  CHECK(a.first_seen == b.first_seen);
  CHECK(a.last_seen == b.last_seen);
  CHECK((a.lifecycle == b.lifecycle));
  CHECK((a.measures == b.measures));
  REQUIRE(a.rules.size() == b.rules.size());
  for (size_t i = 0; i < a.rules.size(); ++i) {
    CAPTURE(i);
    CHECK(a.rules[i].due == b.rules[i].due);
    CHECK(a.rules[i].memory == b.rules[i].memory);
    CHECK((a.rules[i].episodes == b.rules[i].episodes));
  }
  CHECK(SameRecent(a.recent, b.recent));
  CHECK(a.Due() == b.Due());
}

// Lived by a customer with these rules.
CustomerState RandomLife(OneCustomer& customer, std::mt19937_64& random) {
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  EventTime now = At("2026-01-01") + Ms(pick(0, 1'000'000'000));
  const int events = pick(1, 80);
  for (int i = 0; i < events; ++i) {
    now = now + Ms(static_cast<int64_t>(std::exponential_distribution<double>(1)(random) *
                                        (pick(0, 9) == 0 ? 2e9 : 4e7)));
    static constexpr const char* kTypes[] = {"purchase", "purchase", "login", "refund",
                                             "opened_app"};
    customer.AdvanceTo(now);
    customer.On(now - Ms(pick(0, 5) == 0 ? pick(0, 1'000'000'000) : 0),
                fmt::format(R"("type":"{}","amount":{},"properties":{{"item":{},"channel":"app"}})",
                            kTypes[pick(0, 4)], pick(0, 90), pick(0, 30)));
  }
  customer.AdvanceTo(now + Hours(pick(0, 2000)));
  return customer.state;
}

// Nonsense, but well-formed.
CustomerState RandomState(const RuleSet& rules, std::mt19937_64& random) {
  const auto number = [&] {
    return static_cast<int64_t>(random() >> (random() % 64)) * (random() % 2 == 0 ? 1 : -1);
  };
  const auto text = [&](size_t max) {
    std::string out(random() % (max + 1), '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
  };
  CustomerState state = Evaluator(rules).NewState();
  const auto time = [&] { return EventTime(number() % (kReachMs + 1)); };
  const auto day = [&] { return static_cast<int32_t>(number() % (1 << 30)); };
  state.first_seen = time();
  state.last_seen = time();
  state.lifecycle = {.activity = static_cast<Activity>(1 + random() % 6),
                     .previous = static_cast<Activity>(random() % 7),
                     .since = time(),
                     .since_day = day()};
  const auto moment = [&] { return kEventTimeMin + Ms(static_cast<int64_t>(random() >> 18)); };
  for (size_t n = random() % 4; n > 0; --n) {
    state.lifecycle.terms.push_back({.type = static_cast<TermType>(random() % kTermTypeCount),
                                     .product = random() % 2 == 0,
                                     .plan = text(20),
                                     .starts_at = moment(),
                                     .ends_at = random() % 2 == 0 ? moment() : EventTime::Never(),
                                     .changed_at = moment(),
                                     .cancelled = random() % 2 == 0,
                                     .renewed = random() % 2 == 0});
  }
  Standing& standing = state.lifecycle.standing;
  if (random() % 2 == 0) {
    standing.stage = static_cast<Stage>(random() % kStageCount);
    standing.previous = static_cast<Stage>(random() % kStageCount);
    standing.since = moment();
    standing.holds = random() % (1u << kStageCount);
    for (EventTime& ceased : standing.ceased) ceased = random() % 2 == 0 ? moment() : ceased;
    standing.acquired = random() % 2 == 0;
    standing.inspired = random() % 2 == 0 ? moment() : standing.inspired;
    standing.types = random() % (1u << kActiveTypeCount);
    standing.types_changed = random() % (1u << kActiveTypeCount);
    for (size_t i = 0; i < kActiveTypeCount; ++i) {
      if (standing.types_changed.test(i)) standing.types_since[i] = moment();
    }
    standing.tier = static_cast<ValueTier>(random() % kValueTierCount);
    standing.due = random() % 2 == 0 ? moment() : standing.due;
  }
  const auto event_time = [&] {
    return kEventTimeMin +
           Ms(static_cast<int64_t>(random() %
                                   static_cast<uint64_t>((kEventTimeMax - kEventTimeMin).count())));
  };
  for (MeasureState& measure : state.measures) {
    if (random() % 4 == 0) continue;
    const auto [first, last] = std::minmax({event_time(), event_time()});
    measure.first = first;
    measure.last = last;
    measure.count = 1 + (random() >> (random() % 64));
    measure.sum_micros = number();
    measure.cadence = {.days = static_cast<uint32_t>(random()),
                       .last_day = day(),
                       .x = std::uniform_real_distribution<double>(0, 10)(random),
                       .s = static_cast<double>(random() % 100'000) / 7};
    int32_t index = static_cast<int32_t>(random() % 100'000) - 50'000;
    for (size_t n = random() % 20; n > 0; --n) {
      Bucket& bucket = measure.buckets.emplace_back();
      bucket.index = index += 1 + static_cast<int32_t>(random() % 5);
      bucket.count = static_cast<uint32_t>(random() >> (random() % 64));
      if (random() % 2 == 0) bucket.sum_micros = number();
      for (size_t h = random() % 3 == 0 ? random() % 65 : 0; h > 0; --h)
        bucket.distinct.Insert(static_cast<uint32_t>(random()));
    }
  }
  for (RuleState& rule : state.rules) {
    if (random() % 2 == 0) rule.due = time();
    if (random() % 2 == 0) rule.memory = text(40);
    for (size_t n = random() % 4; n > 0; --n) {
      Episode& episode = rule.episodes.emplace_back();
      episode.key = fmt::format("{}", 9 - n) + text(10);  // ascending
      episode.phase = static_cast<Episode::Phase>(random() % 4);
      episode.starts_at = time();
      episode.value = static_cast<double>(number()) / 3;
      episode.muted = random() % 2 == 0;
      episode.instant = random() % 2 == 0;
      if (random() % 2 == 0) episode.clear_since = time();
      if (random() % 2 == 0) episode.last_fired = time();
      if (random() % 2 == 0) episode.evidence = R"({"a":1})";
    }
  }
  for (size_t n = random() % 10; n > 0; --n) state.recent.entries().push_back({random(), number()});
  return state;
}

std::string Encoded(CustomerCodec& codec, const CustomerState& state) {
  return std::string(codec.Encode(state));
}

// Protobuf's own code reads every field, and writes the very same bytes.
void CheckAsProtobuf(const std::string& bytes) {
  state::Customer message;
  REQUIRE(message.ParseFromString(bytes));
  CHECK(message.SerializeAsString() == bytes);
}

// As format version 1 wrote it.
std::string EncodedV1(const RuleSet& rules, const CustomerState& state) {
  state::Customer to;
  to.set_first_seen_ms(state.first_seen.ms());
  to.set_last_seen_ms(state.last_seen.ms());
  state::Customer now;  // what is as it was then comes from today's
  CustomerCodec codec(rules);
  REQUIRE(now.ParseFromString(Encoded(codec, state)));
  *to.mutable_lifecycle() = now.lifecycle();
  to.mutable_lifecycle()->clear_since_after_ms();
  to.mutable_lifecycle()->clear_since_days_after();
  to.mutable_lifecycle()->set_since_ms_v1(state.lifecycle.since.ms());
  to.mutable_lifecycle()->set_since_day_v1(state.lifecycle.since_day);
  for (size_t i = 0; i < rules.measures.size(); ++i) {
    const MeasureState& from = state.measures[i];
    if (from.empty()) continue;
    state::MeasureV1* measure = to.add_measures_v1();
    measure->set_key(rules.measures[i].key);
    measure->set_first_ms(from.first.ms());
    measure->set_last_ms(from.last.ms());
    measure->set_count(from.count);
    measure->set_sum_micros(from.sum_micros);
    measure->set_days(from.cadence.days);
    measure->set_last_day(from.cadence.last_day);
    measure->set_x(from.cadence.x);
    measure->set_s(from.cadence.s);
    const auto any = [&](const auto& has) {
      return std::any_of(from.buckets.begin(), from.buckets.end(), has);
    };
    const bool sums = any([](const Bucket& bucket) { return bucket.sum_micros != 0; });
    const bool distincts = any([](const Bucket& bucket) { return !bucket.distinct.empty(); });
    int32_t previous = 0;
    for (const Bucket& bucket : from.buckets) {
      measure->add_bucket_index(bucket.index - std::exchange(previous, bucket.index));
      measure->add_bucket_count(bucket.count);
      if (sums) measure->add_bucket_sum_micros(bucket.sum_micros);
      if (distincts) measure->add_bucket_distinct(static_cast<uint32_t>(bucket.distinct.size()));
      for (const uint32_t hash : bucket.distinct.hashes()) measure->add_distinct(hash);
    }
  }
  for (size_t i = 0; i < rules.rules.size(); ++i) {
    if (state.rules[i].empty()) continue;
    const auto& same = std::find_if(now.rules().begin(), now.rules().end(), [&](const auto& rule) {
      return rule.key() == rules.rules[i].key;
    });
    state::Rule* rule = to.add_rules();
    *rule = *same;
    rule->clear_due_after_ms();
    rule->set_has_due_v1(state.rules[i].due != EventTime::Never());
    if (rule->has_due_v1()) rule->set_due_ms_v1(state.rules[i].due.ms());
  }
  int64_t previous = 0;
  for (const RecentIds::Entry& entry : state.recent.entries()) {
    to.add_recent_ids(entry.hash);
    to.add_recent_ms_v1(
        static_cast<int64_t>(static_cast<uint64_t>(entry.ms) - static_cast<uint64_t>(previous)));
    previous = entry.ms;
  }
  to.set_has_due_v1(state.Due() != EventTime::Never());
  if (to.has_due_v1()) to.set_due_ms_v1(state.Due().ms());
  return to.SerializeAsString();
}

ShardMeta SomeMeta() {
  return {.clock = At("2026-03-01"),
          .next = {{"logins", 7}, {"orders", int64_t{1} << 50}},
          .rules_hash = 0xfedcba9876543210U,
          .changelog_id = "a-b-c",
          .activity_ms = {1, 5, -3, int64_t{1} << 60},
          .events = 12345,
          .last_event = At("2026-02-28"),
          .customers = 99,
          .activity_as_of_touch = true};
}

void CheckSame(const ShardMeta& a, const ShardMeta& b) {
  CHECK(a.clock == b.clock);
  CHECK(a.next == b.next);
  CHECK(a.rules_hash == b.rules_hash);
  CHECK(a.changelog_id == b.changelog_id);
  CHECK(a.activity_ms == b.activity_ms);
  CHECK(a.events == b.events);
  CHECK(a.last_event == b.last_event);
  CHECK(a.customers == b.customers);
  CHECK(a.activity_as_of_touch == b.activity_as_of_touch);
}

}  // namespace

TEST_CASE("codec: what a customer has lived through comes back, and has the same bytes again") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 200; ++i) {
    CAPTURE(i);
    OneCustomer customer(kRules);
    const CustomerState state = RandomLife(customer, random);
    CustomerCodec codec(*customer.rules);
    const std::string bytes = Encoded(codec, state);
    CustomerState back;
    REQUIRE(codec.Decode(bytes, &back));
    CheckSame(back, state);
    CHECK(Encoded(codec, back) == bytes);
    CHECK(*CustomerCodec::DueOf(bytes) == state.Due());
    CheckAsProtobuf(bytes);
  }
}

TEST_CASE("codec: any well-formed state comes back") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto rules = RulesOf(kRules);
  CustomerCodec codec(*rules);
  for (int i = 0; i < 500; ++i) {
    CAPTURE(i);
    CustomerState state = RandomState(*rules, random);
    state.lifecycle_due =
        NextSilence(rules->lifecycle, state.measures[rules->pulse], state.lifecycle);
    const std::string bytes = Encoded(codec, state);
    CustomerState back;
    REQUIRE(codec.Decode(bytes, &back));
    CheckSame(back, state);
    CHECK(Encoded(codec, back) == bytes);
    CheckAsProtobuf(bytes);
    CHECK(*CustomerCodec::DueOf(bytes) == state.Due());
  }
}

TEST_CASE("codec: what format version 1 wrote is read") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto rules = RulesOf(kRules);
  for (int i = 0; i < 400; ++i) {
    CAPTURE(i);
    OneCustomer customer(kRules);
    CustomerState state = i % 2 == 0 ? RandomLife(customer, random) : RandomState(*rules, random);
    state.lifecycle_due =
        NextSilence(rules->lifecycle, state.measures[rules->pulse], state.lifecycle);
    const std::string bytes = EncodedV1(*rules, state);
    CustomerCodec codec(*rules);
    CustomerState back;
    REQUIRE(codec.Decode(bytes, &back));
    CheckSame(back, state);
    CHECK(*CustomerCodec::DueOf(bytes) == state.Due());
    CHECK(Encoded(codec, back) == Encoded(codec, state));
  }
}

TEST_CASE("codec: what follows from something else takes no room") {
  const auto rules = RulesOf(kRules);
  OneCustomer customer(kRules);
  for (int day = 1; day <= 9; ++day)
    customer.On(At(fmt::format("2026-01-0{}", day)), R"("type":"purchase","amount":19.99)");
  state::Customer message;
  CustomerCodec codec(*customer.rules);
  REQUIRE(message.ParseFromString(Encoded(codec, customer.state)));
  for (const state::Measure& measure : message.measures()) {
    CHECK(measure.first_after_ms() == 0);
    CHECK(measure.last_before_ms() == 0);
    CHECK(measure.last_days_after() == 0);
    CHECK_FALSE(measure.has_x());
    CHECK(measure.bucket_count().empty());
    CHECK(measure.bucket_sum_micros().empty());
  }
  // Less than a hundredth of a unit: nothing is rounded.
  customer.On(At("2026-01-10"), R"("type":"purchase","amount":0.001)");
  REQUIRE(message.ParseFromString(Encoded(codec, customer.state)));
  CHECK(std::any_of(message.measures().begin(), message.measures().end(), [](const auto& measure) {
    return !measure.bucket_sum_micros().empty() && measure.bucket_sum_hundredths().empty();
  }));
}

TEST_CASE(
    "codec: equal states have equal bytes, whatever the order of measures and rules in the "
    "configuration") {
  const std::string one = R"(
measures: {a: {type: purchase}, b: {type: login}}
rules:
  - {id: r1, detector: silence, measure: a, after: 10d}
  - {id: r2, detector: silence, measure: b, after: 20d}
)";
  const std::string other = R"(
measures: {b: {type: login}, a: {type: purchase}}
rules:
  - {id: r2, detector: silence, measure: b, after: 20d}
  - {id: r1, detector: silence, measure: a, after: 10d}
)";
  std::string bytes[2];
  for (int i = 0; i < 2; ++i) {
    OneCustomer customer(i == 0 ? one : other);
    customer.On(At("2026-01-01"), R"("type":"purchase")");
    customer.On(At("2026-01-02"), R"("type":"login")");
    CustomerCodec codec(*customer.rules);
    bytes[i] = Encoded(codec, customer.state);
  }
  CHECK(bytes[0] == bytes[1]);
}

TEST_CASE("codec: the state of removed and edited measures and rules goes, the rest stays") {
  const std::string before = R"(
measures:
  kept: {type: purchase}
  edited: {type: login}
  removed: {type: purchase}
rules:
  - {id: kept, detector: silence, measure: kept, after: 10d}
  - {id: removed, detector: silence, measure: kept, after: 5d}
)";
  const std::string after = R"(
measures:
  new: {type: purchase}
  edited: {type: [login, session]}
  kept: {type: purchase}
rules:
  - {id: new, detector: silence, measure: kept, after: 7d}
  - {id: kept, detector: silence, measure: kept, after: 10d}
)";
  OneCustomer customer(before);
  customer.On(At("2026-01-01"), R"("type":"purchase")");
  customer.On(At("2026-01-02"), R"("type":"login")");
  customer.AdvanceTo(At("2026-01-20"));
  CustomerCodec old_codec(*customer.rules);
  const auto rules = RulesOf(after);
  CustomerCodec codec(*rules);
  CustomerState state;
  REQUIRE(codec.Decode(Encoded(old_codec, customer.state), &state));
  REQUIRE(state.measures.size() == rules->measures.size());
  CHECK(state.measures[0].empty());
  CHECK(state.measures[1].empty());
  CHECK((state.measures[2] == customer.state.measures[0]));
  REQUIRE(state.rules.size() == 2);
  CHECK(state.rules[0].empty());
  CHECK((state.rules[1].episodes == customer.state.rules[0].episodes));
  CHECK(state.first_seen == customer.state.first_seen);
  // What was dropped does not come back, and the bytes are those of the new layout.
  const std::string bytes = Encoded(codec, state);
  CustomerState back;
  REQUIRE(codec.Decode(bytes, &back));
  CheckSame(back, state);
  CHECK(bytes.size() < Encoded(old_codec, customer.state).size());
}

TEST_CASE("codec: which edits make a measure a new one") {
  const auto key_of = [](const char* definition) {
    return RulesOf(fmt::format("measures: {{m: {}}}", definition))->measures[0].key;
  };
  const uint64_t key = key_of("{type: [a, b], where: {x: [1, 2], y: z}, sum: amount, distinct: d}");
  // The order in which the same things are said.
  CHECK(key == key_of("{distinct: d, sum: amount, where: {y: z, x: [2, 1]}, type: [b, a]}"));
  CHECK(key == key_of("{type: [a, b], where: {x: [1.0, 2], y: [z]}, sum: amount, distinct: d}"));
  // What is read from the state, but not what it holds.
  CHECK(key == key_of("{type: [a, b], where: {x: [1, 2], y: z}, sum: amount, distinct: d, "
                      "population_gap: 9d}"));
  for (const char* other :
       {"{type: a, where: {x: [1, 2], y: z}, sum: amount, distinct: d}",
        "{type: [a, b], where: {x: 1, y: z}, sum: amount, distinct: d}",
        "{type: [a, b], where: {x: [1, 2]}, sum: amount, distinct: d}",
        "{type: [a, b], where: {x: [1, 2], y: z}, sum: d, distinct: d}",
        "{type: [a, b], where: {x: [1, 2], y: z}, distinct: d}",
        "{type: [a, b], where: {x: [1, 2], y: z}, sum: amount}",
        "{type: [a, b], where: {x: [1, 2], y: z}, sum: amount, distinct: d, resolution: 1h}"}) {
    CAPTURE(other);
    CHECK(key != key_of(other));
  }
  CHECK(RulesOf("measures: {m: {type: a}}")->measures[0].key !=
        RulesOf("measures: {n: {type: a}}")->measures[0].key);
}

TEST_CASE("codec: damaged bytes are refused or read as some customer, never worse") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto rules = RulesOf(kRules);
  CustomerCodec codec(*rules);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    CAPTURE(i);
    std::string bytes = Encoded(codec, RandomState(*rules, random));
    switch (random() % 3) {
      case 0:
        bytes.resize(random() % bytes.size());
        break;
      case 1:
        for (size_t n = 1 + random() % 8; n > 0; --n) {
          char& byte = bytes[random() % bytes.size()];
          byte = static_cast<char>(byte ^ (1 << random() % 8));
        }
        break;
      default:
        bytes.insert(random() % bytes.size(), 1 + random() % 5, static_cast<char>(random()));
        break;
    }
    CustomerState state;
    (void)CustomerCodec::DueOf(bytes);
    const Status read = codec.Decode(bytes, &state);
    if (!read) {
      CHECK(read.error().code == ExitCode::kBroken);
      ++refused;
      continue;
    }
    // Whatever it is now, it can be written and read again.
    const std::string again = Encoded(codec, state);
    CustomerState back;
    REQUIRE(codec.Decode(again, &back));
  }
  CHECK(refused > 300);
  CustomerState state;
  for (size_t n = 0; n < 300; ++n) {
    std::string noise(n, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    (void)codec.Decode(noise, &state);
    (void)DecodeMeta(noise);
    (void)DecodeLocalMeta(noise);
  }
}

TEST_CASE("codec: a measure whose times no event can have led to is refused") {
  const auto rules = RulesOf(kRules);
  CustomerCodec codec(*rules);
  const struct {
    const char* name;
    EventTime first;
    EventTime last;
    uint64_t count;
    bool readable;
  } rows[] = {
      {"one moment", At("2026-01-01"), At("2026-01-01"), 1, true},
      {"all of time", kEventTimeMin, kEventTimeMax, 2, true},
      {"last before first", At("2026-01-02"), At("2026-01-01"), 2, false},
      {"too early", kEventTimeMin - Ms(1), kEventTimeMin, 2, false},
      {"too late", kEventTimeMax, kEventTimeMax + Ms(1), 2, false},
      {"times without an event mean nothing", At("2026-01-02"), EventTime(0), 0, true},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CustomerState state = Evaluator(*rules).NewState();
    MeasureState& measure = state.measures[0];
    measure.first = row.first;
    measure.last = row.last;
    measure.count = row.count;
    measure.sum_micros = 1;
    CustomerState back;
    const Status read = codec.Decode(Encoded(codec, state), &back);
    REQUIRE(read.has_value() == row.readable);
    if (!read) CHECK(read.error().code == ExitCode::kBroken);
  }
}

TEST_CASE("codec: times and days a million years away are refused, wherever they are") {
  const auto rules = RulesOf(kRules);
  CustomerCodec codec(*rules);
  const EventTime far(kReachMs + 1);
  using Break = std::function<void(CustomerState*)>;
  const auto term = [](CustomerState* state) -> Term& {
    return state->lifecycle.terms.emplace_back();
  };
  const auto active = [](CustomerState* state) -> LifecycleState& {
    state->lifecycle.activity = Activity::kActive;
    return state->lifecycle;
  };
  const auto episode = [](CustomerState* state) -> Episode& {
    return state->rules[0].episodes.emplace_back();
  };
  const std::pair<const char*, Break> rows[] = {
      {"first seen", [&](CustomerState* s) { s->first_seen = far; }},
      {"last seen", [&](CustomerState* s) { s->last_seen = far; }},
      {"activity since", [&](CustomerState* s) { active(s).since = far; }},
      {"activity since the day", [&](CustomerState* s) { active(s).since_day = INT32_MIN; }},
      {"stage since", [&](CustomerState* s) { s->lifecycle.standing.since = far; }},
      {"ceased", [&](CustomerState* s) { s->lifecycle.standing.ceased[1] = far; }},
      {"inspired", [&](CustomerState* s) { s->lifecycle.standing.inspired = far; }},
      {"type since",
       [&](CustomerState* s) {
         s->lifecycle.standing.types_changed.set(1);
         s->lifecycle.standing.types_since[1] = far;
       }},
      {"term starts", [&](CustomerState* s) { term(s).starts_at = far; }},
      {"term ends", [&](CustomerState* s) { term(s).ends_at = far; }},
      {"term changed", [&](CustomerState* s) { term(s).changed_at = far; }},
      {"episode starts", [&](CustomerState* s) { episode(s).starts_at = far; }},
      {"episode clear", [&](CustomerState* s) { episode(s).clear_since = far; }},
      {"episode fired", [&](CustomerState* s) { episode(s).last_fired = far; }},
      {"activity day",
       [&](CustomerState* s) {
         s->measures[0].sum_micros = 1;
         s->measures[0].cadence.days = 1;
         s->measures[0].cadence.last_day = INT32_MAX;
       }},
      {"bucket",
       [&](CustomerState* s) {
         s->measures[0].buckets.push_back({.index = INT32_MIN, .count = 1});
       }},
  };
  for (const auto& [name, spoil] : rows) {
    CAPTURE(name);
    CustomerState state = Evaluator(*rules).NewState();
    CustomerState back;
    REQUIRE(codec.Decode(Encoded(codec, state), &back));
    spoil(&state);
    const Status read = codec.Decode(Encoded(codec, state), &back);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ExitCode::kBroken);
  }
}

TEST_CASE("codec: an empty value is a customer of whom nothing is known") {
  const auto rules = RulesOf(kRules);
  CustomerCodec codec(*rules);
  CustomerState state;
  REQUIRE(codec.Decode("", &state));
  CHECK(state.measures.size() == rules->measures.size());
  CHECK(state.rules.size() == rules->rules.size());
  CHECK(state.Due() == EventTime::Never());
  CHECK(*CustomerCodec::DueOf("") == EventTime::Never());
}

TEST_CASE("codec: of a life cycle that has not begun nothing is kept") {
  const auto rules = RulesOf(kRules);
  CustomerCodec codec(*rules);
  CustomerState state;
  REQUIRE(codec.Decode("\x1a\x02\x20\x04", &state));  // lifecycle {since_day: 2}
  CHECK((state.lifecycle == LifecycleState{}));
  CHECK(Encoded(codec, state).empty());
}

TEST_CASE("codec: the shard's record comes back") {
  const ShardMeta meta = SomeMeta();
  const std::string bytes = EncodeMeta(meta);
  CheckSame(*DecodeMeta(bytes), meta);
  CHECK(EncodeMeta(*DecodeMeta(bytes)) == bytes);
  CheckSame(*DecodeMeta(EncodeMeta({})), {});

  const LocalMeta local{.meta = meta, .synced = {77, WallTime(123)}, .cluster_id = "xyz"};
  const Result<LocalMeta> back = DecodeLocalMeta(EncodeLocalMeta(local));
  REQUIRE(back);
  CheckSame(back->meta, meta);
  CHECK(back->synced.position == 77);
  CHECK(back->synced.at == WallTime(123));
  CHECK(back->cluster_id == "xyz");
}

TEST_CASE("codec: a record of a newer format, or of none, is refused") {
  std::string bytes = EncodeMeta(SomeMeta());
  // Field 1, varint: the format's version.
  REQUIRE(bytes.substr(0, 2) == std::string({8, static_cast<char>(kFormatVersion)}));
  ++bytes[1];
  const Result<ShardMeta> newer = DecodeMeta(bytes);
  REQUIRE_FALSE(newer);
  CHECK(newer.error().code == ExitCode::kBroken);
  CHECK(newer.error().message.find("newer") != std::string::npos);
  for (const std::string& none : {std::string(), bytes.substr(2), std::string("\x08\x00", 2)}) {
    const Result<ShardMeta> refused = DecodeMeta(none);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ExitCode::kBroken);
  }
  CHECK_FALSE(DecodeLocalMeta(""));
}

TEST_CASE("codec: changelog keys, for customers called anything") {
  for (const std::string& customer : {std::string("c42"), std::string("m"), std::string("cm"),
                                      std::string("\0", 1), std::string("\xff\xfe")}) {
    const std::string key = ChangelogKeyOf(customer);
    CHECK(key != kChangelogMetaKey);
    REQUIRE(CustomerOf(key));
    CHECK(*CustomerOf(key) == customer);
  }
  CHECK_FALSE(CustomerOf(kChangelogMetaKey));
  CHECK_FALSE(CustomerOf(""));
  CHECK_FALSE(CustomerOf("c"));
  CHECK_FALSE(CustomerOf("x1"));
}

TEST_CASE("codec: the newest event ids") {
  RecentIds recent;
  CHECK_FALSE(recent.Contains(1));
  for (uint64_t i = 1; i <= 4; ++i) recent.Add({i, static_cast<int64_t>(i * 100)}, 3, 0);
  CHECK_FALSE(recent.Contains(1));  // three at most: the oldest goes first
  CHECK(recent.Contains(2));
  CHECK(recent.Contains(4));
  recent.Add({5, 500}, 3, 350);  // and those older than 350
  CHECK_FALSE(recent.Contains(3));
  CHECK(recent.Contains(4));
  CHECK(recent.Contains(5));
  recent.Add({6, 600}, 0, 0);  // none at all
  CHECK(recent.entries().empty());
}
