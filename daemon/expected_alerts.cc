#include "daemon/expected_alerts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace heartbeatd {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownMax = 20;  // unexpected alerts of one step

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

bool SameNumber(double a, double b) { return std::abs(a - b) <= 1e-6 * std::max(1.0, std::abs(b)); }

std::optional<double> NumberOf(const Node& node) {
  double value = 0;
  const char* end = node.scalar.data() + node.scalar.size();
  const auto [last, failure] = std::from_chars(node.scalar.data(), end, value);
  if (node.quoted || failure != std::errc() || last != end) return {};
  return value;
}

bool SameValue(const Json& value, const Node& expected, const ReadTime& read_time) {
  if (expected.kind == Node::Kind::kList) {
    const auto same = [&](const Json& item, const Node& node) {
      return SameValue(item, node, read_time);
    };
    return value.is_array() &&
           std::equal(value.begin(), value.end(), expected.list.begin(), expected.list.end(), same);
  }
  if (value.is_null())
    return expected.kind == Node::Kind::kNull || (!expected.quoted && expected.scalar == "null");
  if (expected.kind != Node::Kind::kScalar) return false;
  if (value.is_number()) {
    const std::optional<double> number = NumberOf(expected);
    return number && SameNumber(value.get<double>(), *number);
  }
  const std::string text = TextOf(value);
  if (text == expected.scalar) return true;
  const std::optional<EventTime> time = ParseRfc3339(text);
  return time && read_time(expected.scalar) == time;
}

std::string Show(const Node& expected) {
  if (expected.kind == Node::Kind::kNull) return "null";
  if (expected.kind == Node::Kind::kScalar) return expected.scalar;
  std::string out;
  for (const Node& item : expected.list) out += (out.empty() ? "" : ", ") + Show(item);
  if (expected.kind == Node::Kind::kList) return "[" + out + "]";
  for (const Node::Entry& entry : expected.map) {
    const bool nested = entry.value.kind == Node::Kind::kMap;
    out += fmt::format("{}{}: {}{}{}", out.empty() ? "" : ", ", entry.key, nested ? "{" : "",
                       Show(entry.value), nested ? "}" : "");
  }
  return out;
}

// Appends "path: VALUE, expected ...", where the two differ.
void Compare(const Json* value, const Node& expected, const std::string& path,
             const ReadTime& read_time, std::vector<std::string>* differences) {
  if (expected.kind == Node::Kind::kMap) {
    for (const Node::Entry& entry : expected.map) {
      const Json* child = nullptr;
      if (value != nullptr && value->is_object() && value->contains(entry.key))
        child = &value->at(entry.key);
      Compare(child, entry.value, path.empty() ? entry.key : path + "." + entry.key, read_time,
              differences);
    }
    return;
  }
  if (value != nullptr && SameValue(*value, expected, read_time)) return;
  differences->push_back(fmt::format(
      "{}: {}, expected {}", path, value == nullptr ? "missing" : TextOf(*value), Show(expected)));
}

// Pairs every expectation with an alert of its own if that can be done at all, and as many as
// possible otherwise: augmenting paths. Returns for each expectation its alert, or -1.
std::vector<int> Assign(const std::vector<std::vector<bool>>& fits, size_t alerts) {
  std::vector<int> alert_of(fits.size(), -1);
  std::vector<int> owner(alerts, -1);
  std::vector<bool> tried;
  const std::function<bool(size_t)> place = [&](size_t expectation) {
    for (size_t alert = 0; alert < alerts; ++alert) {
      if (!fits[expectation][alert] || tried[alert]) continue;
      tried[alert] = true;
      if (owner[alert] >= 0 && !place(static_cast<size_t>(owner[alert]))) continue;
      owner[alert] = static_cast<int>(expectation);
      alert_of[expectation] = static_cast<int>(alert);
      return true;
    }
    return false;
  };
  for (size_t i = 0; i < fits.size(); ++i) {
    tried.assign(alerts, false);
    place(i);
  }
  return alert_of;
}

// One alert for people.
std::string Show(const Json& alert) {
  Json shown = alert;
  for (const char* key :
       {"version", "severity", "action", "labels", "annotations", "episode", "key", "late_by",
        "detector", "customer_id", "id", "first_seen", "last_seen"})
    shown.erase(key);
  std::string out;
  for (const auto& [key, value] : shown.items())
    out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", key, TextOf(value));
  return out;
}

}  // namespace

Json FieldsOf(const std::string& payload) {
  Json event = Json::parse(payload);
  Json fields{{"time", event["time"]}, {"customer", event["subject"]}};
  const Json details = event["data"].contains("customer") ? event["data"]["customer"] : Json();
  event["data"].erase("customer");
  fields.update(event["data"]);
  fields["id"] = event["id"];
  if (details.is_object()) fields.update(details);  // stage, activity, ..., last_seen
  return fields;
}

std::optional<std::string> Judge(const std::vector<Json>& alerts, const Node& expected,
                                 const ReadTime& read_time) {
  std::vector<std::vector<std::vector<std::string>>> differences(expected.list.size());
  std::vector<std::vector<bool>> fits(expected.list.size());
  for (size_t i = 0; i < expected.list.size(); ++i) {
    for (const Json& alert : alerts) {
      Compare(&alert, expected.list[i], "", read_time, &differences[i].emplace_back());
      fits[i].push_back(differences[i].back().empty());
    }
  }
  const std::vector<int> alert_of = Assign(fits, alerts.size());
  std::vector<bool> taken(alerts.size(), false);
  for (const int alert : alert_of) {
    if (alert >= 0) taken[static_cast<size_t>(alert)] = true;
  }
  std::string out;
  for (size_t i = 0; i < alert_of.size(); ++i) {
    if (alert_of[i] >= 0) continue;
    out += fmt::format("\n    expected:  {}", Show(expected.list[i]));
    // The nearest of those that nobody else has.
    std::optional<size_t> nearest;
    for (size_t a = 0; a < alerts.size(); ++a) {
      if (!taken[a] && (!nearest || differences[i][a].size() < differences[i][*nearest].size()))
        nearest = a;
    }
    if (!nearest) {
      out += "\n      there is no such alert";
      continue;
    }
    taken[*nearest] = true;
    out += fmt::format("\n      the nearest: {}", Show(alerts[*nearest]));
    for (const std::string& difference : differences[i][*nearest])
      out += fmt::format("\n      {}", difference);
  }
  size_t unexpected = 0;
  for (size_t a = 0; a < alerts.size(); ++a) {
    if (taken[a]) continue;
    if (++unexpected <= kShownMax) out += fmt::format("\n    not expected: {}", Show(alerts[a]));
  }
  if (unexpected > kShownMax)
    out += fmt::format("\n    not expected: {} more", unexpected - kShownMax);
  if (out.empty()) return {};
  return fmt::format("{} alerts, {} expected{}", alerts.size(), expected.list.size(), out);
}

}  // namespace heartbeatd
