#include "shard/traffic.h"

#include <algorithm>
#include <utility>

namespace heartbeatd {

Traffic::Traffic(const OutagePolicy& policy, std::vector<int64_t> marks_ms, uint64_t events,
                 EventTime last_event)
    : policy_(policy), marks_ms_(std::move(marks_ms)), events_(events), last_event_(last_event) {}

Duration Traffic::OutageAfter() const {
  if (policy_.after) return *policy_.after;
  if (events_ < OutagePolicy::kEventsMin || marks_ms_.size() < 2) return OutagePolicy::kOff;
  const int64_t span_ms = marks_ms_.back() - marks_ms_.front();
  const int64_t gaps = static_cast<int64_t>((marks_ms_.size() - 1) * kEventsPerMark);
  return std::max(OutagePolicy::kAfterMin,
                  Duration(std::max<int64_t>(0, span_ms) / gaps * OutagePolicy::kMeanGaps));
}

void Traffic::OnEvent(EventTime at, WallTime wall) {
  if (silent_since_) {
    const Duration outage = AsEventTime(wall) - *silent_since_;
    resumes_at_ = wall + policy_.grace.value_or(std::min(outage, OutagePolicy::kGraceMax));
    silent_since_.reset();
  }
  last_event_ = std::max(last_event_, at);
  if (++events_ % kEventsPerMark == 0) {
    marks_ms_.push_back(last_event_.ms());
    if (marks_ms_.size() > kMarksMax) marks_ms_.erase(marks_ms_.begin());
  }
}

EventTime Traffic::OnDrained(WallTime wall) {
  const EventTime limit = ClockLimit(wall);
  const bool grace = resumes_at_ && wall < *resumes_at_;
  if (limit != EventTime::Never() && !grace) silent_since_ = last_event_;
  return limit;
}

EventTime Traffic::ClockLimit(WallTime wall) const {
  if (resumes_at_ && wall < *resumes_at_) return last_event_;
  const Duration after = OutageAfter();
  if (after == OutagePolicy::kOff || last_event_ == EventTime::Min()) return EventTime::Never();
  const EventTime limit = last_event_ + after;
  return limit < AsEventTime(wall) ? limit : EventTime::Never();
}

}  // namespace heartbeatd
