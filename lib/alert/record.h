// The alert as it leaves the daemon: a CloudEvents 1.0 record in structured JSON (docs/alerts.md).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "detect/reason.h"
#include "lifecycle/activity.h"

namespace heartbeatd {

enum class AlertStatus : uint8_t { kFiring, kResolved };
std::string_view NameOf(AlertStatus status);

// What every alert of a rule says alike. Constant after configuration.
struct RuleInfo {
  std::string id;
  std::string detector;
  std::string severity;
  std::string action;  // "none": nothing to do
  // Instead of those, for customers of some value tiers.
  std::map<ValueTier, std::string> severity_by_tier;
  std::map<ValueTier, std::string> action_by_tier;
  std::string version;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
};

// One edge of one episode. References live for the call that uses it.
struct AlertEdge {
  std::string_view app;
  const RuleInfo& rule;
  AlertStatus status = AlertStatus::kFiring;
  bool instant = false;  // a change without an end: `episode` is null, `ends_at` = `starts_at`
  std::string_view customer;
  std::string_view key;
  EventTime starts_at;
  EventTime time;  // when this edge was due; a resolved alert's `ends_at`
  int n = 0;       // counts edges that are equal in all of the above within one evaluation
  Reason reason = Reason::kNone;
  std::string_view evidence = "{}";  // the detector's own fields: the text of a JSON object
  Duration late_by{0};               // how long after `time` it was noticed
  Activity activity = Activity::kNone;
  const Standing* standing = nullptr;  // what of it is tracked is told
  EventTime first_seen;
  EventTime last_seen;
};

// UUIDv5 of (app, rule, customer, key, starts_at in ms, status, n): the same crossing has the same
// id in `run`, after any crash, and in `backtest`.
std::string AlertId(const AlertEdge& edge);

// The CloudEvent, one line of JSON. `id` is AlertId(edge).
std::string ToCloudEvent(const AlertEdge& edge, const std::string& id);

}  // namespace heartbeatd
