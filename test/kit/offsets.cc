#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "commands.h"
#include "text.h"

namespace kit {
namespace {

constexpr int kAnswerTimeoutMs = 10'000;

// Lists with the same partitions in the same order.
struct View {
  Partitions begins;
  Partitions stable;  // null unless asked for
  Partitions ends;
  Partitions committed;  // null without a group; an offset below 0: none
};

View Look(rd_kafka_t* handle, const rd_kafka_topic_partition_list_t* partitions, bool with_group) {
  View view{Edges(handle, partitions, Edge::kBegin), nullptr, nullptr, nullptr};
  if (with_group) {
    view.committed.reset(rd_kafka_topic_partition_list_copy(partitions));
    const rd_kafka_resp_err_t error =
        rd_kafka_committed(handle, view.committed.get(), kAnswerTimeoutMs);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
      Die(std::string("cannot ask for committed offsets: ") + rd_kafka_err2str(error));
  }
  view.ends = Edges(handle, partitions, Edge::kEnd);
  return view;
}

void PrintEach(const View& view) {
  for (int i = 0; i < view.ends->cnt; ++i) {
    const rd_kafka_topic_partition_t& end = view.ends->elems[i];
    const int64_t begin = view.begins->elems[i].offset;
    std::printf("{\"topic\":\"%s\",\"partition\":%d,\"begin\":%ld,\"stable\":%ld,\"end\":%ld",
                end.topic, end.partition, begin, view.stable->elems[i].offset, end.offset);
    if (view.committed) {
      const int64_t committed = view.committed->elems[i].offset;
      if (committed >= 0) {
        std::printf(",\"committed\":%ld,\"lag\":%ld", committed, end.offset - committed);
      } else {
        std::printf(",\"committed\":null,\"lag\":%ld", end.offset - begin);
      }
    }
    std::printf("}\n");
  }
}

// Prints the sums over all partitions, begin counted as 0. Returns whether nothing is left.
bool PrintSums(const View& view) {
  int64_t done = 0;
  int64_t all = 0;
  for (int i = 0; i < view.ends->cnt; ++i) {
    const int64_t begin = view.begins->elems[i].offset;
    all += view.ends->elems[i].offset - begin;
    done += std::max<int64_t>(0, view.committed->elems[i].offset - begin);
  }
  std::printf("{\"time_ms\":%ld,\"committed\":%ld,\"end\":%ld}\n", NowMs(), done, all);
  std::fflush(stdout);
  return done >= all;
}

}  // namespace

void Offsets(const OffsetsOptions& options) {
  Properties properties{{"isolation.level", "read_uncommitted"}};
  if (!options.group.empty()) properties["group.id"] = options.group;
  const Handle handle = NewConsumer(options.connection, properties);
  const Partitions partitions = AllPartitions(handle.get(), options.topics);
  if (options.wait_seconds <= 0) {
    // A read_committed handle is told the last stable offset instead of the high watermark. Asked
    // first: what is stable then cannot lie beyond the end as of later.
    const Handle reader = NewConsumer(options.connection, {{"isolation.level", "read_committed"}});
    Partitions stable = Edges(reader.get(), partitions.get(), Edge::kEnd);
    View view = Look(handle.get(), partitions.get(), !options.group.empty());
    view.stable = std::move(stable);
    PrintEach(view);
    return;
  }
  if (options.group.empty()) Die("--wait needs --group");
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(options.wait_seconds);
  while (!PrintSums(Look(handle.get(), partitions.get(), true))) {
    if (std::chrono::steady_clock::now() > deadline)
      Die("the group " + options.group + " has not consumed all in time");
    std::this_thread::sleep_for(std::chrono::milliseconds(options.interval_ms));
  }
}

}  // namespace kit
