#include "alert/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/duration.h"
#include "base/id.h"

namespace heartbeatd {
namespace {

// Appends one JSON object to a text, member by member. A tree of the whole record (nlohmann's) cost
// more than everything else about an alert together.
class JsonObject {
 public:
  explicit JsonObject(std::string* out) : out_(*out) {
    out_ += '{';
    empty_size_ = out_.size();
  }

  // `value` is whatever somebody has chosen.
  void Text(std::string_view name, std::string_view value) {
    Name(name);
    Quote(value);
  }

  // `value` is ours, and needs no escapes.
  void Word(std::string_view name, std::string_view value) {
    Name(name);
    out_ += '"';
    out_ += value;
    out_ += '"';
  }

  // The user's own name for it.
  void Label(std::string_view name, std::string_view value) {
    Separate();
    Quote(name);
    out_ += ':';
    Quote(value);
  }

  void Null(std::string_view name) {
    Name(name);
    out_ += "null";
  }

  // Whoever asks appends the value.
  std::string* Value(std::string_view name) {
    Name(name);
    return &out_;
  }

  // The members of `object`, the text of a JSON object.
  void Members(std::string_view object) {
    object = object.substr(1, object.size() - 2);
    if (object.empty()) return;
    Separate();
    out_ += object;
  }

  void Finish() { out_ += '}'; }

 private:
  // From the member before.
  void Separate() {
    if (out_.size() > empty_size_) out_ += ',';
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

  std::string& out_;
  size_t empty_size_;
};

void WriteTexts(const std::map<std::string, std::string>& texts, std::string* out) {
  JsonObject object(out);
  for (const auto& [name, text] : texts) object.Label(name, text);
  object.Finish();
}

const std::string& Of(ValueTier tier, const std::map<ValueTier, std::string>& by_tier,
                      const std::string& others) {
  const auto it = by_tier.find(tier);
  return it != by_tier.end() ? it->second : others;
}

void WriteTypes(ActiveTypes types, std::string* out) {
  *out += '[';
  const char* separator = "\"";
  for (size_t i = 0; i < kActiveTypeCount; ++i) {
    if (!types.test(i)) continue;
    *out += std::exchange(separator, ",\"");
    *out += NameOf(static_cast<ActiveType>(i));
    *out += '"';
  }
  *out += ']';
}

// Who the customer is at this moment, as far as it is tracked.
void WriteCustomer(const AlertEdge& edge, std::string* out) {
  const bool stages = edge.standing != nullptr && edge.standing->stage != Stage::kNone;
  const bool tier = edge.standing != nullptr && edge.standing->tier != ValueTier::kNone;
  JsonObject customer(out);
  if (stages) customer.Word("stage", NameOf(edge.standing->stage));
  customer.Word("activity", NameOf(edge.activity));
  if (stages) WriteTypes(edge.standing->types, customer.Value("active_types"));
  if (tier) customer.Word("value_tier", NameOf(edge.standing->tier));
  customer.Word("first_seen", FormatRfc3339(edge.first_seen));
  customer.Word("last_seen", FormatRfc3339(edge.last_seen));
  customer.Finish();
}

void WriteData(const AlertEdge& edge, std::string* out) {
  JsonObject data(out);
  data.Text("rule", edge.rule.id);
  data.Text("detector", edge.rule.detector);
  data.Text("version", edge.rule.version);
  data.Word("status", NameOf(edge.status));
  const ValueTier tier = edge.standing != nullptr ? edge.standing->tier : ValueTier::kNone;
  data.Text("severity", Of(tier, edge.rule.severity_by_tier, edge.rule.severity));
  data.Text("action", Of(tier, edge.rule.action_by_tier, edge.rule.action));
  data.Text("customer_id", edge.customer);
  if (!edge.key.empty()) data.Text("key", edge.key);
  if (edge.instant) {
    data.Null("episode");
  } else {
    data.Word("episode", UuidOf({edge.app, edge.rule.id, edge.customer, edge.key,
                                 fmt::to_string(edge.starts_at.ms())}));
  }
  data.Word("starts_at", FormatRfc3339(edge.starts_at));
  if (edge.instant || edge.status == AlertStatus::kResolved) {
    data.Word("ends_at", FormatRfc3339(edge.instant ? edge.starts_at : edge.time));
  } else {
    data.Null("ends_at");
  }
  data.Word("reason", NameOf(edge.reason));
  if (edge.evidence != nullptr)
    data.Members(
        edge.evidence->dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  data.Word("late_by",
            FormatDuration(std::chrono::duration_cast<std::chrono::seconds>(edge.late_by)));
  WriteCustomer(edge, data.Value("customer"));
  WriteTexts(edge.rule.labels, data.Value("labels"));
  WriteTexts(edge.rule.annotations, data.Value("annotations"));
  data.Finish();
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
  JsonObject event(&out);
  event.Word("specversion", "1.0");
  event.Word("id", id);
  event.Text("source", "/heartbeatd/" + std::string(edge.app));
  event.Word("type", "io.heartbeatd.alert.v1");
  event.Text("subject", edge.customer);
  event.Word("time", FormatRfc3339(edge.time));
  event.Word("datacontenttype", "application/json");
  WriteData(edge, event.Value("data"));
  event.Finish();
  return out;
}

}  // namespace heartbeatd
