#include "kafka/watchdog.h"

namespace heartbeatd {

std::optional<size_t> Watchdog::Tick(const std::vector<Sight>& sights, bool ran_dry) {
  std::optional<size_t> found;
  for (size_t i = 0; i < sights.size() && i < silent_ticks_.size(); ++i) {
    int& ticks = silent_ticks_[i];
    if (sights[i].seen || !sights[i].behind) {
      ticks = 0;
    } else if (ran_dry && ++ticks >= kSilentTicksMax && !found) {
      ticks = 0;
      found = i;
    }
  }
  return found;
}

}  // namespace heartbeatd
