#include "base/settled_clock.h"

#include <cstdlib>
#include <utility>

namespace heartbeatd {
namespace {

int64_t OffsetMs(const Moment& now) { return now.wall.ms() - now.monotonic.count(); }

bool Differ(int64_t one_ms, int64_t other_ms) {
  return std::abs(one_ms - other_ms) > SettledClock::kStepMax.count();
}

}  // namespace

SettledClock::SettledClock(const Clock& system, std::function<void(Duration by)> on_jump)
    : system_(system), on_jump_(std::move(on_jump)), offset_ms_(OffsetMs(system.Read())) {}

WallTime SettledClock::Now() const {
  const Moment now = system_.Read();
  const int64_t offset_ms = OffsetMs(now);
  if (Differ(offset_ms, offset_ms_.load())) return InDoubt(now, offset_ms);
  offset_ms_.store(offset_ms);  // clocks drift
  if (in_doubt_.load()) {
    const std::lock_guard lock(mutex_);
    jump_.reset();
    in_doubt_.store(false);
  }
  return now.wall;
}

WallTime SettledClock::InDoubt(const Moment& now, int64_t offset_ms) const {
  const std::lock_guard lock(mutex_);
  const int64_t believed_ms = offset_ms_.load();
  if (!jump_ || Differ(offset_ms, jump_->offset_ms)) {
    jump_ = Jump{offset_ms, now.monotonic};
    in_doubt_.store(true);
    on_jump_(Duration(offset_ms - believed_ms));
  }
  if (now.monotonic - jump_->since < kProbation)
    return WallTime(believed_ms + now.monotonic.count());
  offset_ms_.store(offset_ms);
  jump_.reset();
  in_doubt_.store(false);
  return now.wall;
}

}  // namespace heartbeatd
