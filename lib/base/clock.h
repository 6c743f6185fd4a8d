// The one place where wall time comes from. Only the worker loop and the daemon read it: everything
// below the shard loop takes `now` as an argument.
#pragma once

#include "base/time.h"

namespace heartbeatd {

// One moment by both clocks. Moments of one process are ordered by `monotonic`: the wall clock may
// jump between them.
struct Moment {
  WallTime wall;
  Duration monotonic{0};
};

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual WallTime Now() const = 0;
  // A clock that never jumps, for deadlines and intervals; its zero is arbitrary.
  [[nodiscard]] virtual Duration Monotonic() const = 0;
  [[nodiscard]] Moment Read() const { return {Now(), Monotonic()}; }
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] WallTime Now() const override;
  [[nodiscard]] Duration Monotonic() const override;
};

// A clock that only the test moves. Not thread-safe.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime now) : now_(now) {}
  [[nodiscard]] WallTime Now() const override { return now_; }
  [[nodiscard]] Duration Monotonic() const override { return monotonic_; }
  void Advance(Duration d) {
    now_ = now_ + d;
    if (d > Duration(0)) monotonic_ += d;
  }
  // A jump of the wall clock (NTP, a leap, an operator): monotonic time does not see it.
  void Jump(Duration d) { now_ = now_ + d; }

 private:
  WallTime now_;
  Duration monotonic_{0};
};

}  // namespace heartbeatd
