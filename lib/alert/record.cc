#include "alert/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/duration.h"
#include "base/id.h"

namespace heartbeatd {
namespace {

// Writes one JSON object, member by member. A tree of the whole record (nlohmann's) cost more than
// everything else about an alert together.
class JsonObject {
 public:
  explicit JsonObject(size_t bytes_expected = 0) { out_.reserve(bytes_expected); }

  void Text(std::string_view name, std::string_view value) {
    Name(name);
    Quote(value);
  }

  // The user's own name for it.
  void Label(std::string_view name, std::string_view value) {
    Separate();
    Quote(name);
    out_ += ':';
    Quote(value);
  }

  // `value` is JSON already.
  void Raw(std::string_view name, std::string_view value) {
    Name(name);
    out_ += value;
  }

  // The members of `object`, the text of a JSON object.
  void Members(std::string_view object) {
    object = object.substr(1, object.size() - 2);
    if (object.empty()) return;
    Separate();
    out_ += object;
  }

  std::string Finish() { return std::move(out_) + "}"; }

 private:
  // From the member before.
  void Separate() {
    if (out_.size() > 1) out_ += ',';
  }

  // Names are ours and need no escapes.
  void Name(std::string_view name) {
    Separate();
    out_ += '"';
    out_ += name;
    out_ += "\":";
  }

  void Quote(std::string_view text) {
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
      return c >= ' ' && c <= '~' && c != '"' && c != '\\';
    });
    if (plain) {
      out_ += '"';
      out_ += text;
      out_ += '"';
    } else {
      out_ += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
  }

  std::string out_ = "{";
};

std::string TextsOf(const std::map<std::string, std::string>& texts) {
  JsonObject object;
  for (const auto& [name, text] : texts) object.Label(name, text);
  return object.Finish();
}

const std::string& Of(ValueTier tier, const std::map<ValueTier, std::string>& by_tier,
                      const std::string& others) {
  const auto it = by_tier.find(tier);
  return it != by_tier.end() ? it->second : others;
}

// Who the customer is at this moment, as far as it is tracked.
std::string CustomerOf(const AlertEdge& edge) {
  const bool stages = edge.standing != nullptr && edge.standing->stage != Stage::kNone;
  const bool tier = edge.standing != nullptr && edge.standing->tier != ValueTier::kNone;
  JsonObject customer(256);
  if (stages) customer.Text("stage", NameOf(edge.standing->stage));
  customer.Text("activity", NameOf(edge.activity));
  if (stages) {
    std::string types;
    for (size_t i = 0; i < kActiveTypeCount; ++i) {
      if (!edge.standing->types.test(i)) continue;
      types += types.empty() ? "\"" : ",\"";
      types += NameOf(static_cast<ActiveType>(i));
      types += '"';
    }
    customer.Raw("active_types", "[" + types + "]");
  }
  if (tier) customer.Text("value_tier", NameOf(edge.standing->tier));
  customer.Text("first_seen", FormatRfc3339(edge.first_seen));
  customer.Text("last_seen", FormatRfc3339(edge.last_seen));
  return customer.Finish();
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
  JsonObject data(1024);
  data.Text("rule", edge.rule.id);
  data.Text("detector", edge.rule.detector);
  data.Text("version", edge.rule.version);
  data.Text("status", NameOf(edge.status));
  const ValueTier tier = edge.standing != nullptr ? edge.standing->tier : ValueTier::kNone;
  data.Text("severity", Of(tier, edge.rule.severity_by_tier, edge.rule.severity));
  data.Text("action", Of(tier, edge.rule.action_by_tier, edge.rule.action));
  data.Text("customer_id", edge.customer);
  if (!edge.key.empty()) data.Text("key", edge.key);
  if (edge.instant) {
    data.Raw("episode", "null");
  } else {
    data.Text("episode", UuidOf({edge.app, edge.rule.id, edge.customer, edge.key,
                                 fmt::to_string(edge.starts_at.ms())}));
  }
  data.Text("starts_at", FormatRfc3339(edge.starts_at));
  if (edge.instant || edge.status == AlertStatus::kResolved) {
    data.Text("ends_at", FormatRfc3339(edge.instant ? edge.starts_at : edge.time));
  } else {
    data.Raw("ends_at", "null");
  }
  data.Text("reason", NameOf(edge.reason));
  if (edge.evidence != nullptr)
    data.Members(
        edge.evidence->dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  data.Text("late_by",
            FormatDuration(std::chrono::duration_cast<std::chrono::seconds>(edge.late_by)));
  data.Raw("customer", CustomerOf(edge));
  data.Raw("labels", TextsOf(edge.rule.labels));
  data.Raw("annotations", TextsOf(edge.rule.annotations));

  JsonObject event(1536);
  event.Text("specversion", "1.0");
  event.Text("id", id);
  event.Text("source", "/heartbeatd/" + std::string(edge.app));
  event.Text("type", "io.heartbeatd.alert.v1");
  event.Text("subject", edge.customer);
  event.Text("time", FormatRfc3339(edge.time));
  event.Text("datacontenttype", "application/json");
  event.Raw("data", data.Finish());
  return event.Finish();
}

}  // namespace heartbeatd
