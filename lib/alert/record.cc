#include "alert/record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/duration.h"
#include "base/id.h"

namespace heartbeatd {

std::string_view NameOf(AlertStatus status) { return status == AlertStatus::kFiring ? "firing" : "resolved"; }

std::string AlertId(const AlertEdge& edge) {
  return UuidOf({edge.app, edge.rule.id, edge.customer, edge.key, fmt::format("{}", edge.starts_at.ms()),
                 NameOf(edge.status), fmt::format("{}", edge.n)});
}

std::string ToCloudEvent(const AlertEdge& edge, const std::string& id) {
  using Json = nlohmann::ordered_json;
  Json data;
  data["rule"] = edge.rule.id;
  data["detector"] = edge.rule.detector;
  if (!edge.rule.version.empty()) data["version"] = edge.rule.version;
  data["status"] = NameOf(edge.status);
  data["severity"] = edge.rule.severity;
  data["action"] = edge.rule.action;
  data["customer_id"] = edge.customer;
  if (!edge.key.empty()) data["key"] = edge.key;
  data["episode"] = edge.instant ? Json()
                                 : Json(UuidOf({edge.app, edge.rule.id, edge.customer, edge.key,
                                                fmt::format("{}", edge.starts_at.ms())}));
  data["starts_at"] = FormatRfc3339(edge.starts_at);
  const bool ended = edge.instant || edge.status == AlertStatus::kResolved;
  data["ends_at"] = ended ? Json(FormatRfc3339(edge.instant ? edge.starts_at : edge.time)) : Json();
  data["reason"] = NameOf(edge.reason);
  if (edge.evidence != nullptr) data.update(*edge.evidence);
  data["late_by"] = FormatDuration(std::chrono::duration_cast<std::chrono::seconds>(edge.late_by));
  data["customer"] = {{"activity", NameOf(edge.activity)},
                      {"first_seen", FormatRfc3339(edge.first_seen)},
                      {"last_seen", FormatRfc3339(edge.last_seen)}};
  data["labels"] = Json::object();
  for (const auto& [name, value] : edge.rule.labels) data["labels"][name] = value;
  data["annotations"] = Json::object();
  for (const auto& [name, value] : edge.rule.annotations) data["annotations"][name] = value;

  Json event;
  event["specversion"] = "1.0";
  event["id"] = id;
  event["source"] = fmt::format("/heartbeatd/{}", edge.app);
  event["type"] = "io.heartbeatd.alert.v1";
  event["subject"] = edge.customer;
  event["time"] = FormatRfc3339(edge.time);
  event["datacontenttype"] = "application/json";
  event["data"] = std::move(data);
  return event.dump();
}

}  // namespace heartbeatd
