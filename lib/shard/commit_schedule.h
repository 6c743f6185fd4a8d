// When a worker begins a transaction. Each costs the broker and the client some milliseconds of
// work, however little is in it: as many as the latency of alerts asks for, and no more.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace heartbeatd {

struct CommitScheduleOptions {
  // Commits begin once an interval, if there is anything to commit, at times that the monotonic
  // clock sets: at multiples of it and, so that workers on the same cores take turns, so much
  // later.
  Duration interval = std::chrono::milliseconds(100);
  Duration offset{0};  // less than the interval
  // What a transaction may have; the worker ends it there.
  size_t events_max = 20'000;    // messages and timers
  size_t bytes_max = 32u << 20;  // that it takes in the producer
  Duration position_age_max =
      std::chrono::seconds(5);  // a moved position is committed at least this often
};

// What would be committed now, and what waits behind it.
struct Uncommitted {
  bool changed = false;  // there are records to send
  bool moved = false;    // a position, at least
  int64_t lag = 0;       // messages on the topics that are not applied yet
};

// Times are of the monotonic clock. Not thread-safe.
class CommitSchedule {
 public:
  // Who has a whole transaction's events still to read is late whatever he does, and is done sooner
  // with fewer, larger transactions: they then come once so many intervals, if those are no longer
  // than kBehindMax together.
  static constexpr int64_t kBehindIntervals = 5;
  static constexpr Duration kBehindMax = std::chrono::seconds(1);

  explicit CommitSchedule(const CommitScheduleOptions& options) : options_(options) {}

  void OnBegun(Duration now) { begun_ = now; }
  void OnPositionCommitted(Duration now) { position_committed_ = now; }

  [[nodiscard]] bool IsDue(const Uncommitted& what, Duration now) const;

 private:
  // The number of the interval that this moment is in.
  [[nodiscard]] int64_t TurnAt(Duration monotonic) const;
  [[nodiscard]] bool IsBehind(int64_t lag) const;

  CommitScheduleOptions options_;
  Duration begun_{0};  // the last one
  Duration position_committed_{0};
};

}  // namespace heartbeatd
