// Which customers a rule is about (`where`): by activity, stage, active types and value tier.
#pragma once

#include <bitset>

#include "lifecycle/activity.h"

namespace heartbeatd {

// Of each dimension: any of those that are set; none set: all. Dimensions are ANDed. Constant after
// configuration.
struct CustomerMatch {
  std::bitset<kActivityCount> activity;
  std::bitset<kStageCount> stage;
  ActiveTypes active_types;
  std::bitset<kValueTierCount> value_tier;

  [[nodiscard]] bool everybody() const {
    return activity.none() && stage.none() && active_types.none() && value_tier.none();
  }
  [[nodiscard]] bool Matches(const LifecycleState& life) const {
    const Standing& standing = life.standing;
    return (activity.none() || activity.test(static_cast<size_t>(life.activity))) &&
           (stage.none() || stage.test(static_cast<size_t>(standing.stage))) &&
           (active_types.none() || (active_types & standing.types).any()) &&
           (value_tier.none() || value_tier.test(static_cast<size_t>(standing.tier)));
  }
};

}  // namespace heartbeatd
