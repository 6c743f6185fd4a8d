// Reads the sections `lifecycle` and `value_tiers`, and `where` of rules, which speaks of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/node.h"
#include "rules/ruleset.h"

namespace heartbeatd {

// Fills the life cycle's part of a rule set. Keeps references to everything it is given.
class LifecycleReader {
 public:
  LifecycleReader(const Node& config, RuleSet* out, Findings& findings);
  ~LifecycleReader();
  LifecycleReader(const LifecycleReader&) = delete;
  LifecycleReader& operator=(const LifecycleReader&) = delete;

  // After the measures, before the rules. Adds the pulse's measure if none is named.
  // `population_gap_days`: lifecycle.population_gap, read already.
  void Read(std::optional<double> population_gap_days);

  // After the rules have said what is to be tracked: adds the measure of purchases if it is needed
  // and there is none, and raises how many buckets measures keep. `buckets_needed` is parallel to
  // the measures.
  void Finish(std::vector<int32_t>* buckets_needed);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// `where` of a rule; null: everybody. Turns on the tracking of what it speaks of.
CustomerMatch ReadCustomerMatch(const Node* where, const std::string& what, LifecycleConfig* life,
                                Findings& findings);

}  // namespace heartbeatd
