// What the tests of measures, detectors and shards begin with: times, rule sets and events from
// text.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/time.h"
#include "catch.h"
#include "event/decoder.h"
#include "event/event.h"
#include "rules/ruleset.h"
#include "rules/yaml.h"

namespace heartbeatd {

// "2026-03-01" (midnight UTC) or RFC 3339.
inline EventTime At(std::string_view text) {
  std::optional<EventTime> t = ParseRfc3339(text);
  if (!t) t = ParseRfc3339(std::string(text) + "T00:00:00Z");
  if (!t) FAIL("no time: " << text);
  return *t;
}

constexpr Duration Days(int64_t n) { return std::chrono::hours(24) * n; }
constexpr Duration Hours(int64_t n) { return std::chrono::hours(n); }
constexpr Duration Ms(int64_t n) { return Duration(n); }

// The rule set of a configuration without mistakes.
inline std::shared_ptr<const RuleSet> RulesOf(const std::string& yaml) {
  const Result<Node> node = LoadYamlText(yaml, "rules.yaml");
  if (!node) FAIL(node.error().message << " in:\n" << yaml);
  Findings findings;
  std::shared_ptr<const RuleSet> rules = Compile(*node, findings);
  if (!findings.ok()) FAIL(findings.errors().front() << " in:\n" << yaml);
  return rules;
}

// An event from the text of its JSON fields: `"type":"purchase","amount":5`. Customer, id and time
// are filled in.
inline std::string JsonOf(std::string_view customer, std::string_view id, EventTime at,
                          std::string_view fields) {
  return fmt::format(R"({{"event_id":"{}","customer_id":"{}","timestamp":{},{}}})", id, customer,
                     at.ms(), fields);
}
inline Event EventOf(const RuleSet& rules, EventTime at, std::string_view fields,
                     std::string_view id = "e") {
  EventDecoder decoder(rules.schema, rules.currency);
  Event event;
  const std::string json = JsonOf("c", id, at, fields);
  if (const auto refused = decoder.Decode(json, &event)) FAIL(NameOf(*refused) << ": " << json);
  return event;
}

}  // namespace heartbeatd

// Values in messages of failed checks.
namespace Catch {
template <>
struct StringMaker<heartbeatd::EventTime> {
  static std::string convert(heartbeatd::EventTime t) {
    if (t == heartbeatd::EventTime::Min()) return "min";
    if (t < heartbeatd::kEventTimeMin ||
        (t > heartbeatd::kEventTimeMax && t != heartbeatd::EventTime::Never()))
      return fmt::format("{} ms", t.ms());
    return heartbeatd::FormatRfc3339(t);
  }
};
template <>
struct StringMaker<heartbeatd::Reason> {
  static std::string convert(heartbeatd::Reason r) { return std::string(heartbeatd::NameOf(r)); }
};
template <>
struct StringMaker<heartbeatd::Activity> {
  static std::string convert(heartbeatd::Activity a) { return std::string(heartbeatd::NameOf(a)); }
};
template <>
struct StringMaker<heartbeatd::Condition> {
  static std::string convert(heartbeatd::Condition c) {
    switch (c) {
      case heartbeatd::Condition::kInsufficient:
        return "insufficient";
      case heartbeatd::Condition::kClear:
        return "clear";
      case heartbeatd::Condition::kFiring:
        return "firing";
    }
    return "?";
  }
};
}  // namespace Catch
