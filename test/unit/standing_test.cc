#include "lifecycle/standing.h"

#include <set>
#include <utility>

#include "one_customer.h"

using namespace heartbeatd;

namespace {

const EventTime kT = At("2026-03-01T09:00:00Z");

// Days of one window each: 10 and 20 days of purchases, 30 of inspiration, a dwell of 5 days.
const char* const kShort = R"(
lifecycle:
  active_types: {recent_purchase: {within: 10d}, loyal: {at_least: 3, within: 20d}, contract: {horizon: 40d}}
  stages: {dwell: 5d, inspire: {within: 30d}}
)";

const char* const kTell = R"(
rules:
  - {id: stage, detector: transition, of: stage, from: [none, reach, acquire, develop, retain, inspire]}
  - {id: type, detector: transition, of: active_type}
)";

// "day from>to" of each alert, in days after kT with at most three decimals.
Lines Changes(OneCustomer& customer, std::string_view rule) {
  customer.Take();
  Lines out;
  for (const nlohmann::json& alert : customer.taken) {
    const nlohmann::json& data = alert["data"];
    if (data["rule"] != rule) continue;
    const double days = static_cast<double>((At(alert["time"].get<std::string>()) - kT).count()) /
                        static_cast<double>(kMsPerDay);
    out.push_back(fmt::format("{:.4g} {}>{}", days, data["from"].get<std::string>(),
                              data["to"].get<std::string>()));
  }
  return out;
}

std::string Contract(const char* status, const char* more = "") {
  return fmt::format(R"("type":"contract","properties":{{"status":"{}"{}}})", status, more);
}

}  // namespace

TEST_CASE("stage: the legal transitions are exactly these") {
  using S = Stage;
  constexpr S kKnown[] = {S::kReach, S::kAcquire, S::kDevelop, S::kRetain, S::kInspire};
  std::set<std::pair<S, S>> legal;
  for (const S to : kKnown) {
    legal.insert({S::kNone, to});
    for (const S from : kKnown) {
      if (from != to) legal.insert({from, to});
    }
  }
  legal.erase({S::kAcquire, S::kReach});  // who was won stays so
  for (size_t from = 0; from < kStageCount; ++from) {
    for (size_t to = 0; to < kStageCount; ++to) {
      CAPTURE(from, to);
      CHECK(IsLegal(static_cast<S>(from), static_cast<S>(to)) ==
            legal.contains({static_cast<S>(from), static_cast<S>(to)}));
    }
  }
}

TEST_CASE("standing: names read back") {
  for (size_t i = 0; i < kStageCount; ++i)
    CHECK(StageOf(NameOf(static_cast<Stage>(i))) == static_cast<Stage>(i));
  for (size_t i = 0; i < kActiveTypeCount; ++i)
    CHECK(ActiveTypeOf(NameOf(static_cast<ActiveType>(i))) == static_cast<ActiveType>(i));
  for (size_t i = 0; i < kValueTierCount; ++i)
    CHECK(ValueTierOf(NameOf(static_cast<ValueTier>(i))) == static_cast<ValueTier>(i));
  CHECK_FALSE(StageOf("won"));
  CHECK_FALSE(ActiveTypeOf("none"));
  CHECK_FALSE(ValueTierOf(""));
}

TEST_CASE("stage: what lifts a customer, by the defaults") {
  struct Row {
    Lines events;
    const char* stage;
  };
  const std::string purchase = R"("type":"purchase","amount":5)";
  const auto feedback = [](const char* metric, const char* score) {
    return fmt::format(R"("type":"feedback","properties":{{"metric":"{}","score":{}}})", metric,
                       score);
  };
  const std::vector<Row> rows = {
      {{R"("type":"page_view")"}, "reach"},
      {{R"("type":"refund","amount":5)"}, "reach"},
      {{R"("type":"signup")"}, "acquire"},
      {{R"("type":"login")"}, "acquire"},
      {{purchase}, "acquire"},
      {{purchase, purchase}, "develop"},
      {{Contract("started")}, "develop"},
      {{Contract("started", R"(,"starts_at":"2027-01-01")")}, "reach"},
      {{Contract("started", R"(,"ends_at":"2026-03-01")")}, "reach"},
      {{R"("type":"support","properties":{"ticket":1})"}, "reach"},
      {{R"("type":"support","properties":{"status":"started"})"}, "develop"},
      {{R"("type":"subscription","properties":{"status":"started"})"}, "develop"},
      {{R"("type":"subscription","properties":{"status":"renewed"})"}, "retain"},
      {{Contract("started"), Contract("renewed")}, "retain"},
      {{Contract("renewed"), Contract("cancelled")}, "retain"},  // for the dwell
      {{purchase, purchase, purchase, purchase}, "develop"},
      {{purchase, purchase, purchase, purchase, purchase}, "retain"},
      {{R"("type":"referral")"}, "inspire"},
      {{R"("type":"review")"}, "inspire"},
      {{R"("type":"share")"}, "inspire"},
      {{feedback("nps", "9")}, "inspire"},
      {{feedback("nps", "8.5")}, "reach"},
      {{feedback("nps", "\"9\"")}, "reach"},
      {{feedback("csat", "10")}, "reach"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.events);
    OneCustomer customer("lifecycle: {stages: {}}\n");
    for (const std::string& event : row.events) customer.On(kT, event);
    CHECK(NameOf(customer.state.lifecycle.standing.stage) == row.stage);
  }
}

TEST_CASE("stage: rises at once and falls late, each criterion for itself") {
  OneCustomer customer(std::string(kShort) + kTell);
  customer.On(kT, R"("type":"page_view")");
  customer.Purchase(kT + Days(1));
  customer.On(kT + Days(2), Contract("started", R"(,"ends_at":"2026-03-21T09:00:00Z")"));  // 20
  customer.On(kT + Days(3), R"("type":"share")");                                          // 33
  customer.AdvanceTo(kT + Days(100));
  // The contract ended on day 20, long before sharing did: nothing is left of it on day 38.
  CHECK(Changes(customer, "stage") == Lines{"0 none>reach", "1 reach>acquire", "2 acquire>develop",
                                            "3 develop>inspire", "38 inspire>acquire"});
}

TEST_CASE("stage: of two that end, the lower one is kept for its own dwell") {
  OneCustomer customer(std::string(kShort) + kTell);
  customer.On(kT, R"("type":"share")");                                          // until 30
  customer.On(kT, Contract("started", R"(,"ends_at":"2026-04-03T09:00:00Z")"));  // until 33
  customer.AdvanceTo(kT + Days(100));
  CHECK(Changes(customer, "stage") ==
        Lines{"0 none>inspire", "35 inspire>develop", "38 develop>reach"});
}

TEST_CASE("active types: gained, and lost at their own end") {
  OneCustomer customer(std::string(kShort) + kTell);
  // Ten calendar days, the first included: day 10 at midnight is the first without.
  customer.Purchase(kT);
  customer.AdvanceTo(kT + Days(20));
  CHECK(Changes(customer, "type") == Lines{"0 none>recent_purchase", "9.625 recent_purchase>none"});
  // Three within twenty days: those of days 20, 30 and 39 until day 20 leaves, on day 40.
  customer.Purchase(kT + Days(20));
  customer.Purchase(kT + Days(30));
  customer.Purchase(kT + Days(39));
  customer.AdvanceTo(kT + Days(90));
  CHECK(Changes(customer, "type") == Lines{"20 none>recent_purchase", "29.62 recent_purchase>none",
                                           "30 none>recent_purchase", "39 none>loyal",
                                           "39.62 loyal>none", "48.62 recent_purchase>none"});
}

TEST_CASE("active types: those of terms, from start to end") {
  struct Row {
    const char* type;
    const char* properties;
    Lines changes;
  };
  const Row row = GENERATE(values<Row>({
      {"contract",
       R"("status":"started","ends_at":"2026-03-05T09:00:00Z")",
       {"0 none>contract", "4 contract>none"}},
      {"contract",
       R"("status":"started","starts_at":"2026-03-03T09:00:00Z")",
       {"2 none>contract", "40 contract>none"}},  // nobody says when: the horizon, from the event
      {"support",
       R"("status":"started","ends_at":"2026-03-05T09:00:00Z")",
       {"0 none>support_service", "4 support_service>none"}},
      {"subscription",
       R"("status":"started","kind":"product","ends_at":"2026-03-05T09:00:00Z")",
       {"0 none>product_subscription", "4 product_subscription>none"}},
      {"subscription",
       R"("status":"started","kind":"service","ends_at":"2026-03-05T09:00:00Z")",
       {"0 none>service_subscription", "4 service_subscription>none"}},
      {"subscription",
       R"("status":"started","ends_at":"2026-03-05T09:00:00Z")",
       {"0 none>service_subscription", "4 service_subscription>none"}},
      {"subscription",
       R"("status":"cancelled","ends_at":"2026-03-05T09:00:00Z")",
       {"0 none>service_subscription", "4 service_subscription>none"}},
      {"subscription", R"("status":"cancelled")", {}},
  }));
  CAPTURE(row.type, row.properties);
  OneCustomer customer(std::string(kShort) + kTell);
  customer.On(kT, fmt::format(R"("type":"{}","properties":{{{}}})", row.type, row.properties));
  customer.AdvanceTo(kT + Days(500));
  CHECK(Changes(customer, "type") == row.changes);
}

TEST_CASE("active types: who has two keeps the type until both are over") {
  OneCustomer customer(std::string(kShort) + kTell);
  customer.On(kT, Contract("started", R"(,"plan":"a","ends_at":"2026-03-05T09:00:00Z")"));
  customer.On(kT + Days(2), Contract("started", R"(,"plan":"b","ends_at":"2026-03-08T09:00:00Z")"));
  customer.AdvanceTo(kT + Days(5));
  CHECK(Changes(customer, "type") == Lines{"0 none>contract"});
  customer.On(kT + Days(6), Contract("cancelled", R"(,"plan":"b")"));
  CHECK(Changes(customer, "type") == Lines{"6 contract>none"});
  customer.On(kT + Days(6), Contract("renewed", R"(,"plan":"b")"));
  CHECK(Changes(customer, "type") == Lines{"6 none>contract"});
}

TEST_CASE("active types: one event may gain several, one alert each") {
  OneCustomer customer(
      "lifecycle: {active_types: {loyal: {at_least: 1}}}\n"
      "rules: [{id: type, detector: transition, of: active_type, to: [loyal, contract]}]\n");
  customer.Purchase(kT);
  CHECK(Changes(customer, "type") == Lines{"0 none>loyal"});
  OneCustomer both("lifecycle: {active_types: {loyal: {at_least: 1}}}\n" + std::string(kTell));
  both.Purchase(kT);
  CHECK(Changes(both, "type") == Lines{"0 none>recent_purchase", "0 none>loyal"});
  CHECK(both.taken[1]["id"] != both.taken[2]["id"]);
}

TEST_CASE("active types: a late purchase counts for its own day, as of now") {
  OneCustomer customer(std::string(kShort) + kTell);
  customer.Purchase(kT + Days(10));
  customer.Purchase(kT + Days(11));
  customer.Take();
  customer.Purchase(kT);  // the third, on day 11; it leaves on day 19.6
  customer.AdvanceTo(kT + Days(25));
  CHECK(Changes(customer, "type") ==
        Lines{"11 none>loyal", "19.62 loyal>none", "20.62 recent_purchase>none"});
}

TEST_CASE("value tier: by the money of the window, at its very edges") {
  struct Row {
    Lines amounts;  // one purchase a day from kT on; a minus is a refund
    int day;        // looked at, at 09:00
    const char* tier;
  };
  const Row row = GENERATE(values<Row>({
      {{}, 0, "low"},
      {{"99.999999"}, 0, "low"},
      {{"100"}, 0, "middle"},
      {{"499.999999"}, 0, "middle"},
      {{"250", "250"}, 1, "high"},
      {{"250", "250", "-0.000001"}, 2, "middle"},
      {{"250", "250"}, 9, "high"},  // days 0 to 9 are ten
      {{"250", "250"}, 10, "middle"},
      {{"250", "250"}, 11, "low"},
      {{"-400", "500"}, 1, "middle"},
      {{"-400", "500"}, 10, "high"},  // the refund leaves first
      {{"-400", "500"}, 11, "low"},
  }));
  CAPTURE(row.amounts, row.day);
  OneCustomer customer("value_tiers: {high: 500, middle: 100, within: 10d}\n");
  customer.On(kT, R"("type":"login")");
  for (size_t i = 0; i < row.amounts.size(); ++i) {
    const bool refund = row.amounts[i].front() == '-';
    customer.On(kT + Days(static_cast<int64_t>(i)),
                fmt::format(R"("type":"{}","amount":{})", refund ? "refund" : "purchase",
                            row.amounts[i].substr(refund ? 1 : 0)));
  }
  customer.AdvanceTo(kT + Days(row.day));
  CHECK(NameOf(customer.state.lifecycle.standing.tier) == row.tier);
}

TEST_CASE("value tier: in the customer's own calendar days") {
  OneCustomer customer("time: {zone: America/New_York}\nvalue_tiers: {within: 7d}\n");
  customer.Purchase(At("2026-03-06T03:00:00Z"),
                    5000);  // the 5th in New York; DST begins on the 8th
  const auto tier_at = [&](const char* t) {
    customer.AdvanceTo(At(t));
    return NameOf(customer.state.lifecycle.standing.tier);
  };
  CHECK(tier_at("2026-03-12T03:59:59.999Z") == "high");
  CHECK(tier_at("2026-03-12T04:00:00Z") == "low");
}

TEST_CASE("standing: what nobody asks for is not remembered, and needs no timer") {
  struct Row {
    const char* yaml;
    bool terms, stage, tier;
  };
  const Row row = GENERATE(values<Row>({
      {"{}", false, false, false},
      {"rules: [{id: r, detector: transition, of: activity, where: {activity: lost}}]", false,
       false, false},
      {"rules: [{id: r, detector: transition, of: stage, enabled: false}]", false, false, false},
      {"rules: [{id: r, detector: transition, of: stage}]", true, true, false},
      {"rules: [{id: r, detector: transition, of: active_type}]", true, true, false},
      {"lifecycle: {stages: {}}", true, true, false},
      {"lifecycle: {active_types: {}}", true, true, false},
      {"rules: [{id: r, detector: transition, of: activity, where: {stage: reach}}]", true, true,
       false},
      {"rules: [{id: r, detector: transition, of: activity, where: {active_type: loyal}}]", true,
       true, false},
      {"value_tiers: {}", false, false, true},
      {"rules: [{id: r, detector: transition, of: activity, where: {value_tier: low}}]", false,
       false, true},
      {"rules: [{id: r, detector: transition, of: activity, severity: {high: critical}}]", false,
       false, true},
      {"rules: [{id: r, detector: transition, of: activity, action: {low: none}}]", false, false,
       true},
      {"rules: [{id: r, detector: transition, of: activity, enabled: false, action: {low: none}, "
       "where: {stage: reach, value_tier: low}}]",
       false, false, false},
  }));
  CAPTURE(row.yaml);
  OneCustomer customer(row.yaml);
  customer.Purchase(kT, 5000);
  customer.On(kT, Contract("started"));
  const LifecycleState& life = customer.state.lifecycle;
  CHECK(life.terms.empty() == !row.terms);
  CHECK((life.standing.stage != Stage::kNone) == row.stage);
  CHECK(life.standing.types.any() == row.stage);
  CHECK((life.standing.tier != ValueTier::kNone) == row.tier);
  CHECK((life.standing.due != EventTime::Never()) == (row.stage || row.tier));
  // One measure of purchases serves all; without any there is none.
  CHECK(customer.rules->measures.size() == (row.stage || row.tier ? 2 : 1));
}

TEST_CASE("standing: the measure of purchases is one that is there, or the one that is named") {
  const auto same = RulesOf(
      "measures: {apps: {type: purchase, where: {channel: app}}, all: {type: purchase, sum: "
      "amount}}\n"
      "lifecycle: {stages: {}}\nvalue_tiers: {}\n");
  CHECK(same->measures.size() == 3);  // and the pulse
  CHECK(same->lifecycle.standing.purchases == 1);
  CHECK(same->lifecycle.standing.money == 1);
  CHECK(same->measures[1].buckets_kept == 365);
  const auto named = RulesOf(
      "measures: {visits: {type: visit}, paid: {type: visit, sum: fee, resolution: 1h}}\n"
      "lifecycle: {purchases: visits, active_types: {loyal: {within: 28d}, recent_purchase: "
      "{within: 7d}}}\n"
      "value_tiers: {measure: paid, within: 48h}\n");
  CHECK(named->measures.size() == 3);
  CHECK(named->measures[0].buckets_kept == 28);
  CHECK(named->measures[1].buckets_kept == 48);
}
