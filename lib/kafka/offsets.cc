#include "kafka/offsets.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
namespace heartbeatd {
namespace {

constexpr Duration kRetryPause{50};

bool Whole(const OffsetAsker::Answers& answers) {
  return std::ranges::all_of(answers, [](const auto& one) { return one.has_value(); });
}

}  // namespace

Result<std::shared_ptr<OffsetAsker>> OffsetAsker::Make(const KafkaOptions& options,
                                                       ClientRole role) {
  auto client = Client::Make(options, role);
  if (!client) return std::unexpected(std::move(client).error());
  return std::shared_ptr<OffsetAsker>(new OffsetAsker(std::move(*client)));
}

Result<OffsetAsker::Answers> OffsetAsker::Ask(const std::vector<TopicPartition>& of, LogEdge edge,
                                              Duration timeout) {
  Answers answers(of.size());
  if (of.empty()) return answers;
  const auto list = MakePartitions(of, static_cast<int64_t>(edge));
  const auto code = rd_kafka_offsets_for_times(client_->get(), list.get(), ToMs(timeout));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (auto right = MissingRight(code, "Describe", of.front().topic))
      return std::unexpected(std::move(*right));
    return Fail(
        fmt::format("asking for the offsets of {}: {}", ToString(of.front()), ToString(code)),
        ExitCode::kTemporary);
  }
  for (size_t i = 0; i < of.size(); ++i) {
    // What was not answered still holds the question, which is negative.
    const auto& got = list->elems[i];
    if (got.err == RD_KAFKA_RESP_ERR_NO_ERROR && got.offset >= 0) answers[i] = got.offset;
  }
  return answers;
}

// offsets_for_times goes to the leaders that it has once learned, even if they have moved or do not
// answer, and does not learn new ones by itself.
void OffsetAsker::LearnLeaders(const std::vector<TopicPartition>& of, Duration timeout) {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& at : of) {
      auto& topic = topics_[at.topic];
      if (topic == nullptr)
        topic.reset(rd_kafka_topic_new(client_->get(), at.topic.c_str(), nullptr));
    }
  }
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(client_->get(), 0, nullptr, &metadata, ToMs(timeout)) ==
      RD_KAFKA_RESP_ERR_NO_ERROR) {
    rd_kafka_metadata_destroy(metadata);
  }
}

Result<OffsetAsker::Answers> OffsetAsker::Ends(const std::vector<TopicPartition>& of,
                                               Duration timeout) {
  auto answers = Ask(of, LogEdge::kEnd, timeout * 3 / 4);
  if (!answers || !Whole(*answers)) LearnLeaders(of, timeout / 4);  // for the next time
  return answers;
}

Result<std::vector<int64_t>> OffsetAsker::Insist(const std::vector<TopicPartition>& of,
                                                 LogEdge edge, const Deadline& deadline) {
  for (;;) {
    auto answers = Ask(of, edge, std::max(deadline.Left() / 2, kRetryPause));
    if (answers && Whole(*answers)) {
      std::vector<int64_t> offsets;
      offsets.reserve(of.size());
      for (const auto& one : *answers) offsets.push_back(*one);
      return offsets;
    }
    if (deadline.Left() <= kRetryPause) {
      if (!answers) return std::unexpected(std::move(answers).error());
      return Fail(
          fmt::format("no leader tells the offsets of {} and its like", ToString(of.front())),
          ExitCode::kTemporary);
    }
    LearnLeaders(of, deadline.Left() / 2);
    std::this_thread::sleep_for(kRetryPause);
  }
}

Result<std::vector<OffsetRange>> OffsetAsker::Ranges(const std::vector<TopicPartition>& of,
                                                     Duration timeout) {
  const Deadline deadline(timeout);
  // The end last: what is written meanwhile shall not be missed.
  const auto begins = Insist(of, LogEdge::kBegin, deadline);
  if (!begins) return std::unexpected(begins.error());
  const auto ends = Insist(of, LogEdge::kEnd, deadline);
  if (!ends) return std::unexpected(ends.error());
  std::vector<OffsetRange> ranges;
  ranges.reserve(of.size());
  for (size_t i = 0; i < of.size(); ++i) ranges.push_back({(*begins)[i], (*ends)[i]});
  return ranges;
}

void OffsetAsker::Serve() { rd_kafka_poll(client_->get(), 0); }

}  // namespace heartbeatd
