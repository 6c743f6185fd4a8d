#include "kafka/offsets.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
namespace heartbeatd {
namespace {

constexpr Duration kRetryPause{50};

// The first partition without an answer, for the error text.
std::string FirstMissing(const std::vector<TopicPartition>& of, const std::vector<std::optional<int64_t>>& answers) {
  const auto missing = std::ranges::find_if(answers, [](const auto& one) { return !one.has_value(); });
  return ToString(of[static_cast<size_t>(missing - answers.begin())]);
}

}  // namespace

Result<std::vector<std::optional<int64_t>>> AskLogEdge(rd_kafka_t* rk, const std::vector<TopicPartition>& of,
                                                       LogEdge edge, Duration timeout) {
  std::vector<std::optional<int64_t>> answers(of.size());
  if (of.empty()) return answers;
  const auto list = MakePartitions(of, static_cast<int64_t>(edge));
  const auto code = rd_kafka_offsets_for_times(rk, list.get(), ToMs(timeout));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (auto right = MissingRight(code, "Describe", of.front().topic)) return std::unexpected(std::move(*right));
    return Fail(fmt::format("asking for the offsets of {}: {}", ToString(of.front()), ToString(code)),
                ExitCode::kTemporary);
  }
  for (size_t i = 0; i < of.size(); ++i) {
    // What was not answered still holds the question, which is negative.
    const auto& got = list->elems[i];
    if (got.err == RD_KAFKA_RESP_ERR_NO_ERROR && got.offset >= 0) answers[i] = got.offset;
  }
  return answers;
}

Result<std::shared_ptr<OffsetAsker>> OffsetAsker::Make(const KafkaOptions& options) {
  auto client = Client::Make(options, ClientRole::kAsk);
  if (!client) return std::unexpected(std::move(client).error());
  return std::shared_ptr<OffsetAsker>(new OffsetAsker(std::move(*client)));
}

Result<std::vector<std::optional<int64_t>>> OffsetAsker::Ends(const std::vector<TopicPartition>& of,
                                                              Duration timeout) const {
  return AskLogEdge(client_->get(), of, LogEdge::kEnd, timeout);
}

Result<std::vector<OffsetRange>> OffsetAsker::Ranges(const std::vector<TopicPartition>& of, Duration timeout) const {
  const Deadline deadline(timeout);
  const auto ask = [&](LogEdge edge) -> Result<std::vector<int64_t>> {
    for (;;) {
      auto answers = AskLogEdge(client_->get(), of, edge, std::max(deadline.Left(), kRetryPause));
      const bool whole = answers && std::ranges::all_of(*answers, [](const auto& one) { return one.has_value(); });
      if (whole) {
        std::vector<int64_t> offsets;
        for (const auto& one : *answers) offsets.push_back(*one);
        return offsets;
      }
      if (deadline.Left() <= kRetryPause) {
        if (!answers) return std::unexpected(std::move(answers).error());
        return Fail(fmt::format("no leader told the offsets of {} in time", FirstMissing(of, *answers)),
                    ExitCode::kTemporary);
      }
      std::this_thread::sleep_for(kRetryPause);
    }
  };
  // The end last: what is written meanwhile shall not be missed.
  const auto begins = ask(LogEdge::kBegin);
  if (!begins) return std::unexpected(begins.error());
  const auto ends = ask(LogEdge::kEnd);
  if (!ends) return std::unexpected(ends.error());
  std::vector<OffsetRange> ranges;
  for (size_t i = 0; i < of.size(); ++i) ranges.push_back({(*begins)[i], (*ends)[i]});
  return ranges;
}

void OffsetAsker::Serve() const { rd_kafka_poll(client_->get(), 0); }

}  // namespace heartbeatd
