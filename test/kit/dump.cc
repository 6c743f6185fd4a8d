#include <chrono>
#include <cstdio>
#include <map>

#include "commands.h"
#include "text.h"

namespace kit {
namespace {

using SteadyClock = std::chrono::steady_clock;

std::string_view Bytes(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

void AppendHeaders(std::string& out, const rd_kafka_message_t* message) {
  out += "\"headers\":{";
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    for (size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
         ++i) {
      if (i > 0) out += ',';
      AppendJsonField(out, name, Bytes(value, size));
    }
  }
  out += '}';
}

std::string ToJson(const rd_kafka_message_t* message) {
  std::string out = "{\"partition\":" + std::to_string(message->partition) +
                    ",\"offset\":" + std::to_string(message->offset) + ",\"timestamp\":" +
                    std::to_string(rd_kafka_message_timestamp(message, nullptr)) + ",";
  if (message->key == nullptr) {
    out += "\"key\":null";
  } else {
    AppendJsonField(out, "key", Bytes(message->key, message->key_len));
  }
  out += ',';
  AppendHeaders(out, message);
  out += ',';
  if (message->payload == nullptr) {
    out += "\"value\":null";
  } else {
    AppendJsonField(out, "value", Bytes(message->payload, message->len));
  }
  out += '}';
  return out;
}

void Print(const rd_kafka_message_t* message, bool value_only) {
  if (value_only) {
    std::fwrite(message->payload, 1, message->len, stdout);
  } else {
    const std::string line = ToJson(message);
    std::fwrite(line.data(), 1, line.size(), stdout);
  }
  std::fputc('\n', stdout);
}

// partition -> the offset at which it is read; partitions that are done are taken out.
using Pending = std::map<int32_t, int64_t>;

Pending PendingUpTo(const rd_kafka_topic_partition_list_t* begins,
                    const rd_kafka_topic_partition_list_t* ends) {
  Pending pending;
  for (int i = 0; i < ends->cnt; ++i) {
    if (ends->elems[i].offset > begins->elems[i].offset)
      pending[ends->elems[i].partition] = ends->elems[i].offset;
  }
  return pending;
}

void Advance(Pending& pending, int32_t partition, int64_t next_offset) {
  const auto entry = pending.find(partition);
  if (entry != pending.end() && next_offset >= entry->second) pending.erase(entry);
}

}  // namespace

void Dump(const DumpOptions& options) {
  // Asking for the ends needs a handle that sees beyond open transactions; an alert behind one must
  // be waited for.
  const Handle prober = NewConsumer(options.connection, {{"isolation.level", "read_uncommitted"}});
  const Handle consumer = NewConsumer(options.connection, {{"isolation.level", options.isolation},
                                                           {"enable.partition.eof", "true"},
                                                           {"auto.offset.reset", "earliest"},
                                                           {"fetch.wait.max.ms", "50"}});
  // Asked of the consumer itself: one that does not know a topic yet when it is assigned sleeps up
  // to a second first.
  const Partitions partitions = AllPartitions(consumer.get(), {options.topic});
  const Partitions begins = Edges(prober.get(), partitions.get(), Edge::kBegin);
  Pending pending =
      PendingUpTo(begins.get(), Edges(prober.get(), partitions.get(), Edge::kEnd).get());
  rd_kafka_assign(consumer.get(), begins.get());
  const auto deadline = SteadyClock::now() + std::chrono::duration<double>(options.timeout_seconds);
  while (options.follow || !pending.empty()) {
    if (!options.follow && SteadyClock::now() > deadline) {
      Die("not at the end of " + options.topic +
          " in time: is a transaction still open, or the broker down?");
    }
    const Message message(rd_kafka_consumer_poll(consumer.get(), 100));
    if (!message) {
      std::fflush(stdout);
    } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      // Its offset is past control records, which are never delivered as messages.
      Advance(pending, message->partition, message->offset);
      std::fflush(stdout);
    } else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      std::fprintf(stderr, "heartbeatd-kit: %s\n", rd_kafka_message_errstr(message.get()));
    } else {
      // Those written after the start are not printed: the end is the same for all partitions.
      if (options.follow || pending.contains(message->partition))
        Print(message.get(), options.values_only);
      Advance(pending, message->partition, message->offset + 1);
    }
  }
}

}  // namespace kit
