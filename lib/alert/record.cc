#include "alert/record.h"

#include <fmt/format.h>

#include <chrono>

#include "base/duration.h"
#include "base/id.h"
#include "base/json_text.h"

namespace heartbeatd {
namespace {

void WriteTexts(std::string_view name, const std::map<std::string, std::string>& texts,
                JsonText* to) {
  to->BeginObject(name);
  for (const auto& [label, text] : texts) to->Label(label, text);
  to->EndObject();
}

const std::string& Of(ValueTier tier, const std::map<ValueTier, std::string>& by_tier,
                      const std::string& others) {
  const auto it = by_tier.find(tier);
  return it != by_tier.end() ? it->second : others;
}

// Who the customer is at this moment, as far as it is tracked.
void WriteCustomer(const AlertEdge& edge, JsonText* to) {
  const bool stages = edge.standing != nullptr && edge.standing->stage != Stage::kNone;
  const bool tier = edge.standing != nullptr && edge.standing->tier != ValueTier::kNone;
  if (stages) to->Word("stage", NameOf(edge.standing->stage));
  to->Word("activity", NameOf(edge.activity));
  if (stages) {
    to->BeginArray("active_types");
    for (size_t i = 0; i < kActiveTypeCount; ++i) {
      if (edge.standing->types.test(i)) to->Word(NameOf(static_cast<ActiveType>(i)));
    }
    to->EndArray();
  }
  if (tier) to->Word("value_tier", NameOf(edge.standing->tier));
  to->Word("first_seen", FormatRfc3339(edge.first_seen));
  to->Word("last_seen", FormatRfc3339(edge.last_seen));
}

void WriteData(const AlertEdge& edge, JsonText* to) {
  to->Text("rule", edge.rule.id);
  to->Text("detector", edge.rule.detector);
  to->Text("version", edge.rule.version);
  to->Word("status", NameOf(edge.status));
  const ValueTier tier = edge.standing != nullptr ? edge.standing->tier : ValueTier::kNone;
  to->Text("severity", Of(tier, edge.rule.severity_by_tier, edge.rule.severity));
  to->Text("action", Of(tier, edge.rule.action_by_tier, edge.rule.action));
  to->Text("customer_id", edge.customer);
  if (!edge.key.empty()) to->Text("key", edge.key);
  if (edge.instant) {
    to->Null("episode");
  } else {
    to->Word("episode", UuidOf({edge.app, edge.rule.id, edge.customer, edge.key,
                                fmt::to_string(edge.starts_at.ms())}));
  }
  to->Word("starts_at", FormatRfc3339(edge.starts_at));
  if (edge.instant || edge.status == AlertStatus::kResolved) {
    to->Word("ends_at", FormatRfc3339(edge.instant ? edge.starts_at : edge.time));
  } else {
    to->Null("ends_at");
  }
  to->Word("reason", NameOf(edge.reason));
  to->Members(edge.evidence);
  to->Word("late_by",
           FormatDuration(std::chrono::duration_cast<std::chrono::seconds>(edge.late_by)));
  to->BeginObject("customer");
  WriteCustomer(edge, to);
  to->EndObject();
  WriteTexts("labels", edge.rule.labels, to);
  WriteTexts("annotations", edge.rule.annotations, to);
}

}  // namespace

std::string_view NameOf(AlertStatus status) {
  return status == AlertStatus::kFiring ? "firing" : "resolved";
}

std::string AlertId(const AlertEdge& edge) {
  return UuidOf({edge.app, edge.rule.id, edge.customer, edge.key,
                 fmt::to_string(edge.starts_at.ms()), NameOf(edge.status), fmt::to_string(edge.n)});
}

std::string ToCloudEvent(const AlertEdge& edge, const std::string& id) {
  constexpr size_t kBytesExpected = 1536;
  std::string out;
  out.reserve(kBytesExpected);
  JsonText event(&out);
  event.BeginObject();
  event.Word("specversion", "1.0");
  event.Word("id", id);
  event.Text("source", "/heartbeatd/" + std::string(edge.app));
  event.Word("type", "io.heartbeatd.alert.v1");
  event.Text("subject", edge.customer);
  event.Word("time", FormatRfc3339(edge.time));
  event.Word("datacontenttype", "application/json");
  event.BeginObject("data");
  WriteData(edge, &event);
  event.EndObject();
  event.EndObject();
  return out;
}

}  // namespace heartbeatd
