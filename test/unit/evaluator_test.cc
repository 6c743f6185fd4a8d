// One customer's events and deadlines on their way through measures, life cycle, detectors and
// policy.
#include "shard/evaluator.h"

#include <map>
#include <random>
#include <set>
#include <utility>

#include "customer/codec.h"
#include "one_customer.h"

using namespace heartbeatd;

namespace {

const EventTime kT = At("2026-03-01T09:00:00Z");

const char* const kPlain = R"(
measures: {m: {type: purchase, sum: amount, distinct: item}}
rules: [{id: quiet, detector: silence, measure: m, after: 10d, minimum: {days: 1}}]
)";

std::string BytesOf(const OneCustomer& customer) {
  CustomerCodec codec(*customer.rules);
  return std::string(codec.Encode(customer.state));
}

// A rule set whose only rule is a detector made by the test.
struct Custom {
  explicit Custom(std::function<EventTime(const Subject&, std::vector<Verdict>*)> evaluate,
                  Policy policy = {}) {
    auto set = std::make_shared<RuleSet>(*RulesOf("measures: {m: {type: purchase}}"));
    Rule& rule = set->rules.emplace_back();
    rule.info = {
        .id = "custom", .detector = "custom", .severity = "info", .action = "none", .version = "1"};
    rule.policy = std::move(policy);
    rule.detector.evaluate = std::move(evaluate);
    rule.detector.explain = [](const Subject&, const Verdict& verdict, JsonText* to) {
      to->Number("value", verdict.value);
    };
    rule.detector.measures = {0};
    rules = set;
    evaluator = std::make_unique<Evaluator>(*rules);
    state = evaluator->NewState();
  }
  Lines On(EventTime at, std::string_view fields = R"("type":"purchase")") {
    const Event event = EventOf(*rules, at, fields, fmt::format("e{}", ++events));
    evaluator->OnEvent("c42", event, at, at, &state, &alerts);
    return Take();
  }
  Lines Timer(EventTime now) {
    evaluator->OnTimer("c42", now, now, &state, &alerts);
    return Take();
  }
  Lines Take() {
    Lines out;
    ids.clear();
    for (const OutgoingAlert& alert : alerts) {
      const auto data = nlohmann::json::parse(alert.payload)["data"];
      out.push_back(fmt::format("{} {}", data.value("key", ""), data["status"].get<std::string>()));
      ids.push_back(alert.id);
    }
    alerts.clear();
    return out;
  }

  std::shared_ptr<const RuleSet> rules;
  std::unique_ptr<Evaluator> evaluator;
  CustomerState state;
  std::vector<OutgoingAlert> alerts;
  std::vector<std::string> ids;
  int events = 0;
};

Verdict Firing(std::string key, EventTime since) {
  return {.key = std::move(key),
          .condition = Condition::kFiring,
          .reason = Reason::kBelowBaseline,
          .since = since};
}
Verdict Clear(std::string key, EventTime since) {
  return {.key = std::move(key),
          .condition = Condition::kClear,
          .reason = Reason::kRecovered,
          .since = since};
}

}  // namespace

TEST_CASE("evaluator: a repeated event id changes nothing at all") {
  OneCustomer customer(kPlain);
  customer.On(kT, R"("type":"purchase","amount":5)", "same");
  customer.Purchase(kT + Days(1));
  const std::string before = BytesOf(customer);
  const EventEffect effect =
      customer.On(kT + Days(1) + Hours(1), R"("type":"purchase","amount":7)", "same");
  CHECK(effect.duplicate);
  CHECK(BytesOf(customer) == before);
  CHECK(customer.Take() == Lines{});
}

TEST_CASE("evaluator: how many ids are remembered, and for how long") {
  struct Row {
    const char* dedupe;
    int others;  // events between the two
    Duration apart;
    bool duplicate;
  };
  const Row row = GENERATE(values<Row>({
      {"{}", 62, Hours(1), true},
      {"{}", 63, Hours(1), true},
      {"{}", 64, Hours(1), false},
      {"{ids: 5}", 4, Hours(1), true},
      {"{ids: 5}", 5, Hours(1), false},
      {"{}", 1, Hours(48), true},
      {"{}", 1, Hours(48) + Ms(1), false},
      {"{within: 1h}", 1, Hours(1) + Ms(1), false},
      {"{ids: 0}", 0, Ms(1), false},
  }));
  CAPTURE(row.dedupe, row.others, row.apart.count());
  OneCustomer customer(std::string("dedupe: ") + row.dedupe + kPlain);
  customer.On(kT, R"("type":"purchase")", "same");
  // The last of the others comes just before the second one, and makes what is too old forgotten.
  for (int i = 0; i < row.others; ++i) customer.Purchase(kT + row.apart);
  CHECK(customer.On(kT + row.apart, R"("type":"purchase")", "same").duplicate == row.duplicate);
}

TEST_CASE("evaluator: late events that come twice count once, however late they are") {
  OneCustomer customer(kPlain);
  customer.AdvanceTo(kT + Days(30));
  for (const bool again : {false, true}) {
    for (const char* id : {"late", "later", "latest"})
      CHECK(customer.On(kT, R"("type":"purchase")", id).duplicate == again);
  }
  CHECK(customer.state.measures[0].count == 3);
}

TEST_CASE("evaluator: what an event did is told for counting") {
  OneCustomer customer(
      "measures: {m: {type: purchase, distinct: item}}\n"
      "rules: [{id: r, detector: dropping, measure: m, window: 2d, ratio: 0.5}]\n");
  CHECK_FALSE(customer.Purchase(kT).late);
  CHECK_FALSE(customer.Purchase(kT).late);  // at T is in time
  CHECK(customer.Purchase(kT - Ms(1)).late);
  customer.AdvanceTo(kT + Days(30));
  const EventEffect old = customer.Purchase(kT + Days(30) - Days(9));
  CHECK(old.late);
  CHECK(old.beyond_retention);
  CHECK_FALSE(customer.Purchase(kT + Days(30) - Days(8)).beyond_retention);
  bool saturated = false;
  for (int item = 0; item < 65; ++item) {
    CHECK_FALSE(saturated);
    saturated =
        customer
            .On(kT + Days(31), fmt::format(R"("type":"purchase","properties":{{"item":{}}})", item))
            .distinct_saturated;
  }
  CHECK(saturated);
}

TEST_CASE("evaluator: first and last seen, by any event") {
  OneCustomer customer(kPlain);
  customer.On(kT, R"("type":"support")");
  customer.On(kT + Days(3), R"("type":"refund","amount":1)");
  customer.On(kT - Days(2), R"("type":"opened_app")");
  CHECK(customer.state.first_seen == kT - Days(2));
  CHECK(customer.state.last_seen == kT + Days(3));
}

TEST_CASE(
    "evaluator: the life cycle's pulse is that measure's events, refunds among them only if it "
    "counts them") {
  struct Row {
    const char* types;
    const char* event;
    bool moves;
  };
  const Row row = GENERATE(values<Row>({{"purchase", "purchase", true},
                                        {"purchase", "login", false},
                                        {"purchase", "refund", false},
                                        {"[purchase, refund]", "refund", true}}));
  CAPTURE(row.types, row.event);
  OneCustomer customer(
      fmt::format("measures: {{m: {{type: {}, sum: amount}}}}\nlifecycle: {{measure: m}}\n"
                  "rules: [{{id: life, detector: transition, of: activity}}]\n",
                  row.types));
  customer.On(kT, fmt::format(R"("type":"{}","amount":3)", row.event));
  CHECK((customer.state.lifecycle.activity == Activity::kNew) == row.moves);
  CHECK((customer.state.Due() != EventTime::Never()) == row.moves);
}

TEST_CASE("evaluator: alerts come in the order of the rules, with the customer as of now") {
  OneCustomer customer(R"(
measures: {m: {type: purchase}}
lifecycle: {at_risk: {after: 10d}, dormant: {after: 20d}, lost: {after: 30d}}
rules:
  - {id: b, detector: silence, measure: m, after: 10d, minimum: {days: 1}}
  - {id: a, detector: transition, of: activity, to: at_risk}
  - {id: c, detector: silence, measure: m, after: 10d, minimum: {days: 1}}
)");
  customer.Purchase(kT);
  customer.AdvanceTo(kT + Days(10));
  CHECK(customer.Take() == Lines{"2026-03-11T09:00:00Z b firing silent_too_long",
                                 "2026-03-11T09:00:00Z a firing activity_changed",
                                 "2026-03-11T09:00:00Z c firing silent_too_long"});
  for (const nlohmann::json& alert : customer.taken) {
    CHECK(
        alert["data"]["customer"] ==
        nlohmann::json::parse(
            R"({"activity":"at_risk","first_seen":"2026-03-01T09:00:00Z","last_seen":"2026-03-01T09:00:00Z"})"));
  }
}

TEST_CASE("evaluator: late_by is how long after its time an alert was noticed") {
  OneCustomer customer(kPlain);
  customer.Purchase(kT);
  customer.evaluator.OnTimer("c42", kT + Days(10), kT + Days(10) + Hours(3), &customer.state,
                             &customer.alerts);
  REQUIRE(customer.Take().size() == 1);
  CHECK(customer.taken[0]["data"]["late_by"] == "3h");
  // Noticed "before" it was due, by a clock that runs behind: not late.
  OneCustomer other(kPlain);
  other.Purchase(kT);
  other.evaluator.OnTimer("c42", kT + Days(10), kT, &other.state, &other.alerts);
  REQUIRE(other.Take().size() == 1);
  CHECK(other.taken[0]["data"]["late_by"] == "0s");
}

TEST_CASE("evaluator: several episodes of one rule live side by side, by their keys") {
  std::vector<Verdict> say;
  Custom custom([&](const Subject&, std::vector<Verdict>* verdicts) {
    *verdicts = say;
    return EventTime::Never();
  });
  say = {Firing("order-2", kT), Firing("order-1", kT)};
  CHECK(custom.On(kT) == Lines{"order-2 firing", "order-1 firing"});
  say = {Firing("order-2", kT), Clear("order-1", kT + Hours(1)), Firing("order-3", kT + Hours(1))};
  CHECK(custom.On(kT + Hours(1)) == Lines{"order-1 resolved", "order-3 firing"});
  // One that the detector says nothing of any more has ended.
  say = {Firing("order-3", kT)};
  CHECK(custom.On(kT + Hours(2)) == Lines{"order-2 resolved"});
  CHECK(custom.state.rules[0].episodes.size() == 1);
}

TEST_CASE("evaluator: equal edges within one evaluation are numbered") {
  Custom custom([&](const Subject& s, std::vector<Verdict>* verdicts) {
    *verdicts = {Firing("", s.now), Clear("", s.now), Firing("", s.now), Clear("", s.now),
                 Firing("", s.now)};
    return EventTime::Never();
  });
  CHECK(custom.On(kT) == Lines{" firing", " resolved", " firing", " resolved", " firing"});
  CHECK(std::set<std::string>(custom.ids.begin(), custom.ids.end()).size() == 5);
  AlertEdge edge{.app = "heartbeatd",
                 .rule = custom.rules->rules[0].info,
                 .customer = "c42",
                 .starts_at = kT,
                 .time = kT,
                 .n = 2};
  CHECK(custom.ids[4] == AlertId(edge));
  edge.n = 0;
  CHECK(custom.ids[0] == AlertId(edge));
}

TEST_CASE("evaluator: a detector's memory is kept, and it is told what is open") {
  std::vector<std::string> seen;
  Custom custom(
      [&](const Subject& s, std::vector<Verdict>* verdicts) {
        std::string open;
        for (const OpenEpisode& episode : s.open)
          open += fmt::format("{}{}", episode.firing ? "firing:" : "pending:", episode.key);
        seen.push_back(*s.memory + "|" + open);
        *s.memory += "x";
        *verdicts = {Firing("k", kT)};
        return EventTime::Never();
      },
      {.hold = Hours(2)});
  custom.On(kT);
  custom.On(kT + Hours(1));
  custom.On(kT + Hours(2));
  custom.On(kT + Hours(3));
  CHECK(seen == Lines{"|", "x|pending:k", "xx|pending:k", "xxx|firing:k"});
}

TEST_CASE("evaluator: a deadline that is not in the future does not stop time") {
  for (const EventTime due : {EventTime::Min(), kT, kT - Days(1)}) {
    Custom custom([&](const Subject&, std::vector<Verdict>*) { return due; });
    custom.On(kT);
    CHECK(custom.state.Due() > kT);
    custom.Timer(kT + Days(1));
    CHECK(custom.state.Due() > kT + Days(1));
  }
}

TEST_CASE("evaluator: a rule is looked at when its measure is touched, and at its own deadlines") {
  int looks = 0;
  Custom custom([&](const Subject& s, std::vector<Verdict>*) {
    ++looks;
    return s.now + Days(5);
  });
  custom.On(kT, R"("type":"login")");
  CHECK(looks == 0);
  custom.On(kT);
  CHECK(looks == 1);
  custom.Timer(kT + Days(5) - Ms(1));
  CHECK(looks == 1);
  custom.Timer(kT + Days(5));
  CHECK(looks == 2);
}

TEST_CASE("evaluator: after a change of the rules every rule is judged on what is known") {
  const char* const measures =
      "measures: {m: {type: purchase}}\nlifecycle: {measure: m, at_risk: {after: 100d}, dormant: "
      "{after: 200d}, lost: {after: 300d}}\n";
  OneCustomer before(
      std::string(measures) +
      "rules: [{id: old, detector: silence, measure: m, after: 30d, minimum: {days: 1}}]\n");
  before.Purchase(kT);
  before.AdvanceTo(kT + Days(12));
  OneCustomer after(
      std::string(measures) +
      "rules: [{id: new, detector: silence, measure: m, after: 10d, minimum: {days: 1}},\n"
      "        {id: later, detector: silence, measure: m, after: 20d, minimum: {days: 1}}]\n");
  CustomerCodec old_codec(*before.rules);
  CustomerCodec new_codec(*after.rules);
  REQUIRE(new_codec.Decode(old_codec.Encode(before.state), &after.state));
  after.now = before.now;
  CHECK(after.state.Due() == before.state.Due());  // nobody has looked yet
  after.evaluator.OnRulesChanged("c42", after.now, after.now, &after.state, &after.alerts);
  CHECK(after.Take() == Lines{"2026-03-11T09:00:00Z new firing silent_too_long"});
  after.AdvanceTo(kT + Days(90));
  CHECK(after.Take() == Lines{"2026-03-21T09:00:00Z later firing silent_too_long"});
}

TEST_CASE(
    "evaluator: a rule that gets another detector ends what the old one had begun, whatever it is "
    "called") {
  OneCustomer before(R"(
rules: [{id: r, detector: follow_up, after: {type: cart_updated}, expect: {type: purchase}, within: 1h,
         forget_after: 7d, correlate: cart}]
)");
  before.On(kT, R"("type":"cart_updated","properties":{"cart":"a\"b\u0001:c"})");
  before.AdvanceTo(kT + Hours(2));
  REQUIRE(before.Take().size() == 1);
  OneCustomer after("rules: [{id: r, detector: transition, of: stage}]");
  CustomerCodec old_codec(*before.rules);
  CustomerCodec new_codec(*after.rules);
  REQUIRE(new_codec.Decode(old_codec.Encode(before.state), &after.state));
  after.evaluator.OnRulesChanged("c42", before.now, before.now, &after.state, &after.alerts);
  REQUIRE(after.Take().size() == 1);  // its payload is JSON, too
  CHECK(after.taken[0]["data"]["status"] == "resolved");
  CHECK(after.taken[0]["data"]["key"] == "a\"b\x01:c");
  CHECK(after.taken[0]["data"]["to"] == "a\"b\x01:c");
}

// An activity that no rule watches costs no deadlines, and is the same whenever somebody looks.
TEST_CASE("evaluator: an activity that nobody watches is what it would be if somebody did") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  size_t alerts = 0;
  size_t transitions = 0;
  for (int round = 0; round < 100; ++round) {
    const int within = pick(1, 90);
    std::string yaml = fmt::format(
        "measures: {{m: {{type: purchase, sum: amount, population_gap: {}d}}}}\n"
        "lifecycle: {{measure: m, population_gap: {}d{}}}\n"
        "value_tiers: {{measure: m, high: 20, middle: 5, within: {}d}}\n"
        "rules:\n  - {{id: quiet, detector: silence, measure: m, after: {}h, minimum: {{days: "
        "1}}}}\n"
        "  - {{id: poor, detector: threshold, measure: m, value: sum, window: {}d, below: 3}}\n",
        pick(1, 20), pick(1, 20),
        pick(0, 1) == 0 ? ""
                        : fmt::format(", at_risk: {{after: {}h}}, dormant: {{after: {}h}}, lost: "
                                      "{{after: {}h}}",
                                      pick(1, 200), pick(200, 400), pick(400, 900)),
        within, pick(10, 2000), within);
    CAPTURE(round, yaml);
    OneCustomer unwatched(yaml);
    OneCustomer watched(yaml + "  - {id: life, detector: transition, of: activity}\n");
    CHECK_FALSE(unwatched.rules->lifecycle.watched);
    CHECK(watched.rules->lifecycle.watched);
    EventTime now = kT;
    for (int i = 0; i < 40; ++i) {
      now = now + Hours(static_cast<int64_t>(std::exponential_distribution<double>(1)(random) *
                                             (pick(0, 4) == 0 ? 1500 : 80)));
      const EventTime at = now - (pick(0, 5) == 0 ? Hours(pick(0, 300)) : Hours(0));
      const bool purchase = pick(0, 3) != 0;
      for (OneCustomer* customer : {&unwatched, &watched}) {
        customer->AdvanceTo(now);
        customer->On(at, purchase ? R"("type":"purchase","amount":4)" : R"("type":"login")");
      }
      CHECK((unwatched.state.lifecycle == watched.state.lifecycle));
      CHECK(unwatched.state.lifecycle_due == EventTime::Never());
      const size_t before = alerts;
      unwatched.Take();
      watched.Take();
      size_t other = 0;
      for (const nlohmann::json& alert : watched.taken) {
        if (alert["data"]["rule"] == "life") {
          ++transitions;
          continue;
        }
        REQUIRE(other < unwatched.taken.size());
        CHECK(alert == unwatched.taken[other++]);  // it names the activity
        ++alerts;
      }
      CHECK(alerts - before == unwatched.taken.size());
    }
  }
  CHECK(alerts > 500);
  CHECK(transitions > 500);
}

TEST_CASE(
    "evaluator: of what an activity became before anybody watched it a new rule hears the newest") {
  const std::string life =
      "lifecycle: {at_risk: {after: 10d}, dormant: {after: 20d}, lost: {after: 40d}}\n";
  const bool unwatched = GENERATE(true, false);
  CAPTURE(unwatched);
  OneCustomer before(life);
  before.Purchase(kT);
  OneCustomer after(life + "rules: [{id: life, detector: transition, of: activity}]\n");
  CustomerCodec old_codec(*before.rules);
  CustomerCodec new_codec(*after.rules);
  REQUIRE(new_codec.Decode(old_codec.Encode(before.state), &after.state));
  after.now = kT + Days(25);
  after.evaluator.OnRulesChanged("c42", after.now, after.now, &after.state, &after.alerts,
                                 unwatched);
  CHECK(after.state.lifecycle.activity == Activity::kDormant);
  const Lines steps = {"2026-03-11T09:00:00Z life firing activity_changed",
                       "2026-03-21T09:00:00Z life firing activity_changed"};
  CHECK(after.Take() == (unwatched ? Lines{steps[1]} : steps));
  after.AdvanceTo(kT + Days(50));
  CHECK(after.Take() == Lines{"2026-04-10T09:00:00Z life firing activity_changed"});
}

// Looking at a customer more often than asked shows nothing else, for all detectors and policies
// together, with late events and refunds.
TEST_CASE("evaluator: the alerts do not depend on how often somebody looks") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  const auto chance = [&](double p) { return std::bernoulli_distribution(p)(random); };
  const auto policy = [&] {
    std::string out;
    if (chance(0.4)) out += fmt::format(", hold: {}h", pick(1, 100));
    if (chance(0.4)) out += fmt::format(", cooldown: {}h", pick(1, 2000));
    if (chance(0.3)) out += fmt::format(", resolve: {{hold: {}h}}", pick(1, 100));
    if (chance(0.1)) out += ", reentry: once";
    if (chance(0.1)) out += ", active_from: 2026-04-01";
    if (chance(0.2)) {
      static constexpr const char* kWhere[] = {
          "stage: [develop, retain]",   "stage: inspire",
          "active_type: loyal",         "active_type: [recent_purchase, contract]",
          "value_tier: [middle, high]", "value_tier: low, activity: [active, at_risk, new]"};
      out += fmt::format(", where: {{{}}}", kWhere[pick(0, 5)]);
    }
    return out;
  };
  size_t alerts = 0;
  for (int round = 0; round < 150; ++round) {
    std::string yaml = fmt::format(
        "time: {{zone: {}}}\nmeasures: {{m: {{type: purchase, sum: amount, population_gap: "
        "{}d}}}}\n",
        chance(0.5) ? "UTC" : "America/New_York", pick(1, 20));
    yaml += fmt::format(
        "lifecycle: {{population_gap: {}d, active_types: {{recent_purchase: {{within: {}d}}, "
        "loyal: "
        "{{at_least: {}, within: {}d}}}}, stages: {{dwell: {}h, inspire: {{within: {}h}}}}}}\n"
        "value_tiers: {{high: 20, middle: 5, within: {}d}}\nrules:\n",
        pick(1, 20), pick(1, 40), pick(1, 6), pick(1, 40), pick(0, 200), pick(1, 900), pick(1, 60));
    yaml += fmt::format(
        "  - {{id: silence, detector: silence, measure: m, false_alerts: 0.{}, minimum: {{days: "
        "{}}}{}}}\n",
        pick(1, 9), pick(1, 5), policy());
    yaml += fmt::format("  - {{id: after, detector: silence, measure: m, after: {}h{}}}\n",
                        pick(10, 900), policy());
    yaml += fmt::format("  - {{id: life, detector: transition, of: activity{}}}\n", policy());
    yaml += fmt::format(
        "  - {{id: drop, detector: dropping, measure: m, window: {}d, ratio: 0.{}, minimum: "
        "{{baseline_count: {}}}{}}}\n",
        pick(1, 7), pick(1, 9), pick(1, 8), policy());
    yaml += fmt::format("  - {{id: stage, detector: transition, of: stage{}}}\n", policy());
    yaml += fmt::format("  - {{id: type, detector: transition, of: active_type{}}}\n", policy());
    static constexpr const char* kInhibitors[] = {"life", "drop", "[stage, after]", "type"};
    yaml += fmt::format(
        "  - {{id: inhibited, detector: silence, measure: m, after: {}h, inhibited_by: {}{}}}\n",
        pick(10, 900), kInhibitors[pick(0, 3)], policy());
    CAPTURE(round, yaml);
    OneCustomer sparse(yaml);
    OneCustomer dense(yaml);
    const auto look = [&] {
      dense.evaluator.OnRulesChanged("c42", dense.now, dense.now, &dense.state, &dense.alerts);
    };
    const auto advance_dense = [&](EventTime t) {
      while (dense.now != EventTime::Min() && dense.now + Hours(7) < t) {
        dense.AdvanceTo(dense.now + Hours(7));
        look();
      }
      dense.AdvanceTo(t);
    };
    EventTime now = kT;
    double pace_hours = 24;
    for (int i = 0; i < 60; ++i) {
      if (chance(0.2)) pace_hours = std::exp(std::uniform_real_distribution<double>(0, 7)(random));
      now = now + Ms(static_cast<int64_t>(
                      std::exponential_distribution<double>(1 / pace_hours)(random) * 3.6e6));
      const EventTime at = chance(0.15) ? now - Hours(pick(1, 1000)) : now;
      std::string event = fmt::format(R"("type":"{}","amount":{})",
                                      chance(0.1) ? "refund" : "purchase", pick(0, 9));
      if (chance(0.1)) {
        static constexpr const char* kStatus[] = {"started", "renewed", "cancelled", "expired"};
        event = fmt::format(R"("type":"contract","properties":{{"status":"{}","ends_at":{}}})",
                            kStatus[pick(0, 3)], (now + Hours(pick(-100, 900))).ms());
      } else if (chance(0.1)) {
        event = R"("type":"share")";
      }
      for (OneCustomer* customer : {&sparse, &dense}) {
        customer == &dense ? advance_dense(now) : sparse.AdvanceTo(now);
        customer->On(at, event, fmt::format("e{}", i));
      }
    }
    advance_dense(now + Days(400));
    sparse.AdvanceTo(now + Days(400));
    const Lines sparse_lines = sparse.Take();
    const Lines dense_lines = dense.Take();
    REQUIRE(Difference(sparse_lines, dense_lines) == Lines{});
    std::set<std::string> ids;
    for (const nlohmann::json& alert : sparse.taken) ids.insert(alert["id"].get<std::string>());
    CHECK(ids.size() == sparse.taken.size());  // never the same alert twice
    alerts += sparse_lines.size();
  }
  CHECK(alerts > 1000);
}
