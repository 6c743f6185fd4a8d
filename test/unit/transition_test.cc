#include <map>
#include <set>

#include "one_customer.h"

using namespace heartbeatd;

namespace {

// A life cycle of fixed times: at risk after 10 days, dormant after 20, lost after 40.
std::string RuleText(std::string_view fields) {
  return fmt::format(
      "lifecycle: {{at_risk: {{after: 10d}}, dormant: {{after: 20d}}, lost: {{after: 40d}}}}\n"
      "rules:\n  - {{id: life, detector: transition, of: activity{}{}}}\n",
      fields.empty() ? "" : ", ", fields);
}

const EventTime kT = At("2026-03-01T09:00:00Z");

// Everything that can happen to a customer, in two years.
void WholeLife(OneCustomer& customer) {
  for (int day = 0; day < 4; ++day) customer.Purchase(kT + Days(day));  // none > new, new > active
  customer.Purchase(kT + Days(15));                                     // active > at_risk > active
  customer.Purchase(kT + Days(40));    // active > at_risk > dormant > reactivated
  customer.Purchase(kT + Days(41));    // reactivated > active
  customer.Purchase(kT + Days(100));   // ... > lost > reactivated
  customer.AdvanceTo(kT + Days(400));  // > at_risk > dormant > lost
}

// "from>to" of the alerts of the last Take().
Lines Changes(const OneCustomer& customer) {
  Lines out;
  for (const nlohmann::json& alert : customer.taken) {
    CHECK(alert["data"]["dimension"] == "activity");
    out.push_back(alert["data"]["from"].get<std::string>() + ">" +
                  alert["data"]["to"].get<std::string>());
  }
  return out;
}

}  // namespace

TEST_CASE("transition: which changes are told") {
  struct Row {
    const char* fields;
    Lines changes;
  };
  const Row row = GENERATE(values<Row>({
      // Every one but the first sighting.
      {"",
       {"new>active", "active>at_risk", "at_risk>active", "active>at_risk", "at_risk>dormant",
        "dormant>reactivated", "reactivated>active", "active>at_risk", "at_risk>dormant",
        "dormant>lost", "lost>reactivated", "reactivated>at_risk", "at_risk>dormant",
        "dormant>lost"}},
      {"from: none", {"none>new"}},
      {"from: [none, new]", {"none>new", "new>active"}},
      {"to: new", {}},  // a first sighting only where `from` says so
      {"to: lost", {"dormant>lost", "dormant>lost"}},
      {"from: active, to: at_risk", {"active>at_risk", "active>at_risk", "active>at_risk"}},
      {"from: [reactivated, lost]",
       {"reactivated>active", "lost>reactivated", "reactivated>at_risk"}},
      {"to: [active, reactivated]",
       {"new>active", "at_risk>active", "dormant>reactivated", "reactivated>active",
        "lost>reactivated"}},
  }));
  CAPTURE(row.fields);
  OneCustomer customer(RuleText(row.fields));
  WholeLife(customer);
  customer.Take();
  CHECK(Changes(customer) == row.changes);
}

TEST_CASE("transition: one alert per crossing, at its own moment, without an end") {
  OneCustomer customer(RuleText("to: [at_risk, dormant, lost, reactivated]"));
  for (int day = 0; day < 4; ++day) customer.Purchase(kT + Days(day));
  customer.AdvanceTo(kT + Days(50));
  customer.Purchase(kT + Days(50));
  customer.Purchase(kT + Days(50) + Hours(2));
  CHECK(customer.Take() == Lines{"2026-03-14T09:00:00Z life firing activity_changed",
                                 "2026-03-24T09:00:00Z life firing activity_changed",
                                 "2026-04-13T09:00:00Z life firing activity_changed",
                                 "2026-04-20T09:00:00Z life firing activity_changed"});
  std::set<std::string> ids;
  for (const nlohmann::json& alert : customer.taken) {
    const nlohmann::json& data = alert["data"];
    CHECK(data["status"] == "firing");
    CHECK(data["episode"].is_null());
    CHECK(data["ends_at"] == data["starts_at"]);
    CHECK(alert["time"] == data["starts_at"]);
    CHECK(data["customer"]["activity"] == data["to"]);
    CHECK(data["key"] ==
          "activity:" + data["from"].get<std::string>() + ":" + data["to"].get<std::string>());
    ids.insert(alert["id"].get<std::string>());
  }
  CHECK(ids.size() == 4);
}

TEST_CASE("transition: held, it is told only if the customer stays there so long") {
  OneCustomer customer(RuleText("to: at_risk, hold: 3d"));
  for (int day = 0; day < 4; ++day) customer.Purchase(kT + Days(day));
  customer.Purchase(kT + Days(15));    // at risk from day 13 on, for two days
  customer.Purchase(kT + Days(28));    // at risk from day 25 on, for three days: just long enough
  customer.AdvanceTo(kT + Days(200));  // from day 38 on
  CHECK(customer.Take() == Lines{"2026-03-29T09:00:00Z life firing activity_changed",
                                 "2026-04-11T09:00:00Z life firing activity_changed"});
  CHECK(customer.taken[0]["data"]["starts_at"] == "2026-03-26T09:00:00Z");
}

TEST_CASE("transition: within the cool-down the same change waits, another does not") {
  OneCustomer customer(RuleText("to: [at_risk, active], cooldown: 30d"));
  for (int day = 0; day < 4; ++day) customer.Purchase(kT + Days(day));  // active on day 3
  customer.Purchase(kT + Days(15));    // at_risk on day 13, active on 15 (from another state)
  customer.Purchase(kT + Days(26));    // at_risk on day 25, within 30 days of 13; active again
  customer.AdvanceTo(kT + Days(300));  // at_risk on day 36; waits until day 43
  customer.Take();
  Lines told;
  for (const nlohmann::json& alert : customer.taken) {
    told.push_back(alert["time"].get<std::string>() + " " +
                   alert["data"]["from"].get<std::string>() + ">" +
                   alert["data"]["to"].get<std::string>());
  }
  // The one that waited was still the newest change on day 43 (dormant only on day 46).
  CHECK(told == Lines{"2026-03-04T09:00:00Z new>active", "2026-03-14T09:00:00Z active>at_risk",
                      "2026-03-16T09:00:00Z at_risk>active",
                      "2026-04-13T09:00:00Z active>at_risk"});
}

TEST_CASE("transition: a late event does not bring back a customer who has left") {
  // Dormant since day 23; on day 30 an event of day 2 comes in, which is older than the last one.
  OneCustomer customer(RuleText(""));
  for (int day = 0; day < 4; ++day) customer.Purchase(kT + Days(day));
  customer.AdvanceTo(kT + Days(30));
  REQUIRE(customer.Take().size() == 3);
  REQUIRE(customer.state.lifecycle.activity == Activity::kDormant);
  const LifecycleState before = customer.state.lifecycle;
  customer.Purchase(kT + Days(2));
  CHECK(customer.Take() == Lines{});
  CHECK(customer.state.lifecycle == before);
}

TEST_CASE("transition: a late event from after the step down counts as the return that it was") {
  OneCustomer customer(RuleText(""));
  for (int day = 0; day < 4; ++day) customer.Purchase(kT + Days(day));
  customer.AdvanceTo(kT + Days(30));
  REQUIRE(customer.Take().size() == 3);
  customer.Purchase(kT + Days(28));
  CHECK(customer.Take() == Lines{"2026-03-29T09:00:00Z life firing activity_changed"});
  CHECK(Changes(customer) == Lines{"dormant>reactivated"});
}

TEST_CASE("transition: a late event from before a step down corrects it, as of now") {
  OneCustomer customer(RuleText(""));
  for (int day = 0; day < 4; ++day) customer.Purchase(kT + Days(day));
  customer.AdvanceTo(kT + Days(30));
  REQUIRE(customer.Take().size() == 3);
  // Dormant since day 23, they said; in truth the customer came on day 22.
  customer.Purchase(kT + Days(22));
  customer.AdvanceTo(kT + Days(43));
  customer.Take();
  CHECK(Changes(customer) ==
        Lines{"dormant>reactivated", "reactivated>at_risk", "at_risk>dormant"});
  CHECK(customer.taken[0]["time"] == "2026-03-31T09:00:00Z");  // day 30, when it was learnt
  CHECK(customer.taken[1]["time"] == "2026-04-02T09:00:00Z");
  CHECK(customer.taken[2]["time"] == "2026-04-12T09:00:00Z");
}
