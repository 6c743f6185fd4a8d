#include "shard/intake.h"

#include <algorithm>
#include <utility>

namespace heartbeatd {
namespace {

// A refused message has no time and goes at once.
EventTime TimeOf(const Pending& pending) {
  return pending.refused ? EventTime::Min() : pending.event.time;
}

}  // namespace

Intake::Intake(const EventSchema& schema, std::optional<std::string> currency,
               std::vector<int64_t> next, EventFormat format)
    : decoder_(schema, std::move(currency), std::move(format)), topics_(next.size()) {
  for (size_t i = 0; i < next.size(); ++i) topics_[i].next = topics_[i].expected = next[i];
}

void Intake::Offer(size_t topic, InputRecord record, Moment now) {
  Topic& t = topics_[topic];
  if (record.offset < t.expected) return;
  t.expected = record.offset + 1;
  Pending& pending = t.queue.emplace_back();
  pending.topic = topic;
  pending.received = now.monotonic;
  const std::string_view payload = record.payload.value_or(std::string_view());
  pending.refused = decoder_.wants_headers() ? DecodeWithHeaders(record, payload, &pending.event)
                                             : decoder_.Decode(payload, &pending.event);
  pending.record = std::move(record);
}

std::optional<DeadLetterReason> Intake::DecodeWithHeaders(const InputRecord& record,
                                                          std::string_view payload, Event* event) {
  const std::vector<Header> headers = record.Headers();
  std::vector<MessageHeader> views;
  for (const Header& header : headers) views.push_back({header.key, header.value});
  return decoder_.Decode(payload, views, event);
}

void Intake::OnEndOfPartition(size_t topic, int64_t offset) {
  topics_[topic].end_seen = std::max(topics_[topic].end_seen, offset);
}

void Intake::OnConfirmedEnd(size_t topic, const ConfirmedEnd& end) {
  Topic& t = topics_[topic];
  t.end = std::max(t.end, end.end);
  // The log may end in control records, which are delivered as an end of partition only.
  if (std::max(t.expected, t.end_seen) >= end.end) t.drained_as_of = end.asked;
}

Pending* Intake::Head() {
  const Pending* first = nullptr;
  size_t longest = 0;
  for (size_t i = 0; i < topics_.size(); ++i) {
    const Topic& t = topics_[i];
    longest = std::max(longest, t.queue.size());
    if (t.queue.empty() || (first != nullptr && TimeOf(t.queue.front()) >= TimeOf(*first)))
      continue;
    first = &t.queue.front();
    head_ = i;
  }
  if (first == nullptr || first->refused)
    return first != nullptr ? &topics_[head_].queue.front() : nullptr;
  for (const Topic& t : topics_) {
    if (!t.queue.empty()) continue;
    // Drained after the head was received: whatever was sent to it before would have been seen.
    if (t.drained_as_of && t.drained_as_of->monotonic >= first->received) continue;
    if (longest < kBufferedMax) return nullptr;
    ++overflows_;
  }
  return &topics_[head_].queue.front();
}

void Intake::Pop() {
  Topic& t = topics_[head_];
  t.next = t.queue.front().record.offset + 1;
  t.queue.pop_front();
}

void Intake::NextCustomers(size_t limit, std::vector<std::string_view>* customers) const {
  const std::deque<Pending>& queue = topics_[head_].queue;
  for (size_t i = 0; i < std::min(limit, queue.size()); ++i) {
    if (!queue[i].event.customer_id.empty()) customers->push_back(queue[i].event.customer_id);
  }
}

std::optional<WallTime> Intake::DrainedAsOf() const {
  std::optional<WallTime> as_of;
  for (const Topic& t : topics_) {
    if (!t.queue.empty() || !t.drained_as_of) return {};
    as_of = as_of ? std::min(*as_of, t.drained_as_of->wall) : t.drained_as_of->wall;
  }
  return as_of;
}

int64_t Intake::Lag() const {
  int64_t lag = 0;
  for (const Topic& t : topics_)
    lag += std::max<int64_t>(0, std::max(t.end, t.expected) - std::max(t.next, t.end_seen));
  return lag;
}

size_t Intake::buffered() const {
  size_t total = 0;
  for (const Topic& t : topics_) total += t.queue.size();
  return total;
}

}  // namespace heartbeatd
