// The heads of a shard's input topics, merged by event time: the smallest head goes first, and a
// topic that has nothing buffered is waited for unless it is confirmed drained.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "event/decoder.h"
#include "event/event.h"
#include "shard/io.h"

namespace heartbeatd {

// One message between poll and application.
struct Pending {
  size_t topic = 0;
  InputRecord record;
  std::optional<DeadLetterReason> refused;
  Event event;           // if it was not refused
  Duration received{0};  // monotonic
};

// Not thread-safe.
class Intake {
 public:
  // Beyond this many buffered messages of one topic its partners are no longer waited for.
  static constexpr size_t kBufferedMax = 500'000;

  // `next[i]`: the next offset of topic i.
  Intake(const EventSchema& schema, std::optional<std::string> currency, std::vector<int64_t> next,
         EventFormat format = FlatFormat());

  // Takes a message of topic `topic`, in the order of its offsets. One below the expected offset
  // has been seen before and is dropped.
  void Offer(size_t topic, InputRecord record, Moment now);
  // Everything below `offset` has been delivered.
  void OnEndOfPartition(size_t topic, int64_t offset);
  void OnConfirmedEnd(size_t topic, const ConfirmedEnd& end);

  // The message to be applied next; null if there is none or one must be waited for.
  [[nodiscard]] Pending* Head();
  // The head has been dealt with.
  void Pop();
  // Customers of messages that probably come next, after Head(); views into them.
  void NextCustomers(size_t limit, std::vector<std::string_view>* customers) const;

  // The moment for which all topics are confirmed drained; nothing if one is not, or has something
  // buffered.
  [[nodiscard]] std::optional<WallTime> DrainedAsOf() const;

  // Next offset to apply, by topic.
  [[nodiscard]] int64_t next(size_t topic) const { return topics_[topic].next; }
  // Next offset to arrive, by topic.
  [[nodiscard]] int64_t expected(size_t topic) const { return topics_[topic].expected; }
  [[nodiscard]] size_t topics() const { return topics_.size(); }
  // Messages between what was applied and the newest known end, all topics.
  [[nodiscard]] int64_t Lag() const;
  // How often a topic was not waited for because another had kBufferedMax messages.
  [[nodiscard]] uint64_t overflows() const { return overflows_; }
  [[nodiscard]] size_t buffered() const;

 private:
  struct Topic {
    std::deque<Pending> queue;
    int64_t next = 0;      // of the head
    int64_t expected = 0;  // of the next message to arrive
    int64_t end_seen = 0;  // from end-of-partition
    int64_t end = 0;       // from the prober
    std::optional<Moment> drained_as_of;
  };

  std::optional<DeadLetterReason> DecodeWithHeaders(const InputRecord& record,
                                                    std::string_view payload, Event* event);

  EventDecoder decoder_;
  std::vector<Topic> topics_;
  size_t head_ = 0;  // topic of the last Head()
  uint64_t overflows_ = 0;
};

}  // namespace heartbeatd
