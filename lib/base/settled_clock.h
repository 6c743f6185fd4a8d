// A wall clock that is not believed at once when it jumps.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

#include "base/clock.h"

namespace heartbeatd {

// The system's wall clock without its jumps: time goes on as before one until the new time has
// stood for kProbation. So neither a wrong correction of the clock nor its end lets anything fall
// due. Must be read now and then, or a jump that has ended may count as one that has lasted.
// Thread-safe; `system` must outlive it.
class SettledClock final : public Clock {
 public:
  static constexpr Duration kStepMax = std::chrono::seconds(10);  // less is a correction, no jump
  static constexpr Duration kProbation = std::chrono::minutes(15);

  // `on_jump` is told of each jump and its size, on the thread that happened to look.
  SettledClock(const Clock& system, std::function<void(Duration by)> on_jump);

  [[nodiscard]] WallTime Now() const override;
  [[nodiscard]] Duration Monotonic() const override { return system_.Monotonic(); }

 private:
  struct Jump {
    int64_t offset_ms = 0;
    Duration since{0};  // monotonic
  };
  WallTime InDoubt(const Moment& now, int64_t offset_ms) const;

  const Clock& system_;
  const std::function<void(Duration by)> on_jump_;
  mutable std::atomic<int64_t> offset_ms_;  // wall time - monotonic time, as far as it is believed
  mutable std::atomic<bool> in_doubt_{false};
  mutable std::mutex mutex_;
  mutable std::optional<Jump> jump_;  // guarded by mutex_
};

// The later of two wall clocks. Thread-safe; both must outlive it.
class LaterClock final : public Clock {
 public:
  LaterClock(const Clock& one, const Clock& other) : one_(one), other_(other) {}
  [[nodiscard]] WallTime Now() const override { return std::max(one_.Now(), other_.Now()); }
  [[nodiscard]] Duration Monotonic() const override { return one_.Monotonic(); }

 private:
  const Clock& one_;
  const Clock& other_;
};

}  // namespace heartbeatd
