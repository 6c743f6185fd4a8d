// The compiled configuration of what is watched: measures, life cycle and rules, from YAML.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "alert/policy.h"
#include "alert/record.h"
#include "base/calendar.h"
#include "base/node.h"
#include "detect/detector.h"
#include "lifecycle/activity.h"
#include "measure/measure.h"

namespace heartbeatd {

struct Rule {
  RuleInfo info;
  uint64_t key = 0;  // hash of the id: names the rule's part of a customer's state
  Detector detector;
  Policy policy;
};

// Constant after Compile; thread-safe except for `calendar`, of which each thread takes a copy.
struct RuleSet {
  std::string app;
  EventSchema schema;
  std::vector<MeasureDef> measures;  // the configured ones, then perhaps the life cycle's own
  size_t named_measures = 0;         // how many of them the configuration names
  size_t pulse = 0;                  // index of the life cycle's measure
  LifecycleConfig lifecycle;
  std::vector<Rule> rules;  // enabled ones only
  Calendar calendar;
  std::optional<std::string> currency;
  size_t dedupe_ids = 64;
  Duration dedupe_within = std::chrono::hours(48);
  uint64_t hash =
      0;  // of all that can change a verdict: another one means that deadlines must be recomputed
};

// Reads the keys `app`, `time.zone`, `currency`, `dedupe`, `lifecycle`, `measures` and `rules` of
// an effective configuration (presets and files merged). Mistakes go to `findings`; the result is
// usable only if there are none. Other keys are the daemon's: it reports the unknown among them.
std::shared_ptr<const RuleSet> Compile(const Node& config, Findings& findings);

}  // namespace heartbeatd
