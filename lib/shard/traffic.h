// How much traffic a partition usually has, and whether its silence is an outage upstream rather
// than that of its customers. While it is, the shard's clock must stand still.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"

namespace heartbeatd {

struct OutagePolicy {
  // Silence of this length is an outage; absent: `auto`, kMeanGaps times the usual gap, at least
  // kAfterMin, and never before kEventsMin events were seen. Never(): off, as the largest duration.
  std::optional<Duration> after;
  // How long the clock stands after traffic is back, so that held-back events arrive first; absent:
  // the outage's length, at most kGraceMax.
  std::optional<Duration> grace;

  static constexpr Duration kOff = Duration::max();
  static constexpr int64_t kMeanGaps = 30;
  static constexpr Duration kAfterMin = std::chrono::minutes(15);
  static constexpr uint64_t kEventsMin = 1000;
  static constexpr Duration kGraceMax = std::chrono::hours(1);
};

// Not thread-safe. What it remembers is part of the shard's record.
class Traffic {
 public:
  Traffic(const OutagePolicy& policy, std::vector<int64_t> marks_ms, uint64_t events,
          EventTime last_event);

  // An accepted event; `wall` is when it was handled.
  void OnEvent(EventTime at, WallTime wall);

  // The latest moment to which wall time may move the shard's clock, given that the partition is
  // drained as of `wall`; that makes a long silence an outage, which the next event ends. While
  // there is a backlog there is none, whatever the events' age.
  EventTime OnDrained(WallTime wall);

  // True while the limit holds the clock back at `wall`.
  [[nodiscard]] bool IsOutage(WallTime wall) const { return ClockLimit(wall) < AsEventTime(wall); }

  [[nodiscard]] const std::vector<int64_t>& marks_ms() const { return marks_ms_; }
  [[nodiscard]] uint64_t events() const { return events_; }
  [[nodiscard]] EventTime last_event() const { return last_event_; }

 private:
  static constexpr uint64_t kEventsPerMark = 100;
  static constexpr size_t kMarksMax = 11;  // 1,000 events lie between the first and the last

  [[nodiscard]] Duration OutageAfter() const;
  [[nodiscard]] EventTime ClockLimit(WallTime wall) const;

  OutagePolicy policy_;
  std::vector<int64_t> marks_ms_;  // event times of every kEventsPerMark-th event, newest last
  uint64_t events_ = 0;
  EventTime last_event_;                   // the newest time of any event
  std::optional<EventTime> silent_since_;  // an outage now: the last event before it
  std::optional<WallTime> resumes_at_;  // after an outage: when wall time may move the clock again
};

}  // namespace heartbeatd
