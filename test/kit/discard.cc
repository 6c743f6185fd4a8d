#include <chrono>
#include <cstdio>
#include <vector>

#include "commands.h"

namespace kit {

void Discard(const DiscardOptions& options) {
  using SteadyClock = std::chrono::steady_clock;
  // Before 2.2 librdkafka sleeps for a second whenever a partition's queue passes
  // queued.min.messages, so that limit is out of reach and the one in kilobytes holds instead.
  const Handle consumer = NewConsumer(options.connection, {{"isolation.level", "read_uncommitted"},
                                                           {"queued.min.messages", "5000000"},
                                                           {"queued.max.messages.kbytes", "131072"},
                                                           {"fetch.wait.max.ms", "10"}});
  const Partitions partitions = AllPartitions(consumer.get(), {options.topic});
  const Partitions begins = Edges(consumer.get(), partitions.get(), Edge::kBegin);
  const Partitions ends = Edges(consumer.get(), partitions.get(), Edge::kEnd);
  std::vector<int64_t> end_of(static_cast<size_t>(ends->cnt));
  int open = 0;
  for (int i = 0; i < ends->cnt; ++i) {
    end_of[static_cast<size_t>(ends->elems[i].partition)] = ends->elems[i].offset;
    open += ends->elems[i].offset > begins->elems[i].offset ? 1 : 0;
  }
  int64_t events = 0;
  int64_t bytes = 0;
  const SteadyClock::time_point start = SteadyClock::now();
  SteadyClock::time_point first = start;
  rd_kafka_assign(consumer.get(), begins.get());
  while (open > 0) {
    const Message message(rd_kafka_consumer_poll(consumer.get(), 10'000));
    if (!message) Die("no message of " + options.topic + " came for 10 s");
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) Die(rd_kafka_message_errstr(message.get()));
    if (events++ == 0) first = SteadyClock::now();
    bytes += static_cast<int64_t>(message->len);
    if (message->offset + 1 == end_of[static_cast<size_t>(message->partition)]) --open;
  }
  const SteadyClock::time_point last = SteadyClock::now();
  const auto rate = [events](SteadyClock::duration time) {
    return static_cast<double>(events) / std::chrono::duration<double>(time).count();
  };
  std::printf(
      "{\"events\":%ld,\"bytes\":%ld,\"seconds\":%.3f,\"events_per_second\":%.0f,\"steady_events_"
      "per_second\":%.0f}\n",
      events, bytes, std::chrono::duration<double>(last - start).count(), rate(last - start),
      rate(last - first));
}

}  // namespace kit
