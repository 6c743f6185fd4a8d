#include "alert/record.h"

#include <map>
#include <nlohmann/json.hpp>

#include "given.h"

using namespace heartbeatd;

namespace {

const EventTime kStart = At("2026-03-01T09:00:00Z");

const RuleInfo kRule{.id = "dropping-activity",
                     .detector = "dropping",
                     .severity = "warning",
                     .action = "win-back-offer",
                     .version = "3",
                     .labels = {{"team", "crm"}, {"area", "shop"}},
                     .annotations = {{"summary", "Buys \"less\"."}}};

constexpr std::string_view kEvidence = R"({"observed":{"count":1},"ratio":0.12})";

AlertEdge Edge(const RuleInfo& rule = kRule) {
  return {.app = "heartbeatd",
          .rule = rule,
          .customer = "c42",
          .starts_at = kStart,
          .time = kStart + Hours(2),
          .reason = Reason::kBelowBaseline,
          .evidence = kEvidence,
          .late_by = Ms(61'999),
          .activity = Activity::kActive,
          .first_seen = At("2025-01-01"),
          .last_seen = At("2026-02-27T10:11:12.130Z")};
}

}  // namespace

// python3: uuid.uuid5(uuid.UUID('6f1d2c1e-5b0a-4c57-9a43-8d0b1c7a2e94'),
// ''.join(f'{len(f.encode())}:{f},' for f in (app, rule, customer, key, starts_at in ms, status,
// n)))
TEST_CASE("record: ids as Python's uuid5 gives them") {
  RuleInfo rule = kRule;
  AlertEdge edge = Edge(rule);
  CHECK(AlertId(edge) == "8b4fa9fe-a54a-5651-bf27-4769d4d9ad3e");
  edge.status = AlertStatus::kResolved;
  CHECK(AlertId(edge) == "f296c88f-befb-5c42-bbf7-bf641f3e1049");
  edge.status = AlertStatus::kFiring;
  edge.n = 1;
  CHECK(AlertId(edge) == "2a7e630d-ca4a-50a5-8e5d-9baab01932c4");
  edge.n = 0;
  edge.app = "shop";
  CHECK(AlertId(edge) == "bba4062a-4833-5af8-b9f6-e61b5fc29b4d");
  rule.id = "activity-changed";
  edge.app = "heartbeatd";
  edge.customer = "Zo\xC3\xAB";
  edge.key = "activity:active:at_risk";
  edge.starts_at = kStart + Ms(1);
  CHECK(AlertId(edge) == "8d79126b-6169-5c29-a971-efb1bbd12422");
  rule.id = "r";
  edge.customer = "c";
  edge.key = "";
  edge.starts_at = EventTime(-1);
  CHECK(AlertId(edge) == "107e1ac0-7580-582f-9862-2acee1f9d10e");
}

TEST_CASE("record: the id says what the alert is about, not what the rule says of it") {
  const std::string id = AlertId(Edge());
  RuleInfo edited = kRule;
  edited.version = "4";
  edited.severity = "critical";
  edited.labels.clear();
  AlertEdge same = Edge(edited);
  same.time = kStart + Days(1);
  same.reason = Reason::kSilentTooLong;
  same.evidence = "{}";
  same.late_by = Days(3);
  same.activity = Activity::kLost;
  same.last_seen = kStart;
  CHECK(AlertId(same) == id);
}

TEST_CASE("record: a firing alert, field by field") {
  const AlertEdge edge = Edge();
  const std::string text = ToCloudEvent(edge, AlertId(edge));
  CHECK(text.find('\n') == std::string::npos);
  CHECK(nlohmann::ordered_json::parse(text) == nlohmann::ordered_json::parse(R"({
    "specversion": "1.0", "id": "8b4fa9fe-a54a-5651-bf27-4769d4d9ad3e", "source": "/heartbeatd/heartbeatd",
    "type": "io.heartbeatd.alert.v1", "subject": "c42", "time": "2026-03-01T11:00:00Z", "datacontenttype": "application/json",
    "data": {
      "rule": "dropping-activity", "detector": "dropping", "version": "3", "status": "firing", "severity": "warning",
      "action": "win-back-offer", "customer_id": "c42", "episode": "160a130b-a6e8-51da-b6a0-e1d6182ab674",
      "starts_at": "2026-03-01T09:00:00Z", "ends_at": null, "reason": "below_baseline",
      "observed": {"count": 1}, "ratio": 0.12, "late_by": "61s",
      "customer": {"activity": "active", "first_seen": "2025-01-01T00:00:00Z", "last_seen": "2026-02-27T10:11:12.130Z"},
      "labels": {"area": "shop", "team": "crm"}, "annotations": {"summary": "Buys \"less\"."}}})"));
}

TEST_CASE("record: both edges of an episode share its name") {
  AlertEdge edge = Edge();
  const auto firing = nlohmann::json::parse(ToCloudEvent(edge, AlertId(edge)));
  edge.status = AlertStatus::kResolved;
  edge.reason = Reason::kRecovered;
  edge.time = kStart + Days(2);
  const auto resolved = nlohmann::json::parse(ToCloudEvent(edge, AlertId(edge)));
  CHECK(resolved["data"]["episode"] == firing["data"]["episode"]);
  CHECK(resolved["id"] != firing["id"]);
  CHECK(resolved["data"]["status"] == "resolved");
  CHECK(resolved["data"]["starts_at"] == "2026-03-01T09:00:00Z");
  CHECK(resolved["data"]["ends_at"] == "2026-03-03T09:00:00Z");
  CHECK(resolved["time"] == "2026-03-03T09:00:00Z");
  CHECK(resolved["data"]["reason"] == "recovered");
}

TEST_CASE("record: a change has no episode and ends where it starts") {
  AlertEdge edge = Edge();
  edge.instant = true;
  edge.key = "activity:new:active";
  const auto alert = nlohmann::json::parse(ToCloudEvent(edge, AlertId(edge)));
  CHECK(alert["data"]["episode"].is_null());
  CHECK(alert["data"].contains("episode"));
  CHECK(alert["data"]["status"] == "firing");
  CHECK(alert["data"]["ends_at"] == alert["data"]["starts_at"]);
  CHECK(alert["data"]["key"] == "activity:new:active");
}

TEST_CASE("record: customers and texts of every kind are escaped") {
  AlertEdge edge = Edge();
  edge.customer = "a\"b\\c\n\x01 \xF0\x9F\x92\x93";
  const auto alert = nlohmann::json::parse(ToCloudEvent(edge, AlertId(edge)));
  CHECK(alert["subject"] == "a\"b\\c\n\x01 \xF0\x9F\x92\x93");
  CHECK(alert["data"]["customer_id"] == alert["subject"]);
}

TEST_CASE("record: late_by") {
  for (const auto& [ms, text] : std::map<int64_t, std::string>{{0, "0s"},
                                                               {999, "0s"},
                                                               {1000, "1s"},
                                                               {60'000, "1m"},
                                                               {86'400'000, "1d"},
                                                               {90'000, "90s"}}) {
    AlertEdge edge = Edge();
    edge.late_by = Ms(ms);
    CHECK(nlohmann::json::parse(ToCloudEvent(edge, "x"))["data"]["late_by"] == text);
  }
}
