#include <utility>

#include "kafka/reader.h"
#include "kafka/source.h"

namespace heartbeatd {
namespace {

constexpr Duration kMetadataTimeout{1'000};

// Not thread-safe.
class ChangelogSource final : public EventSource {
 public:
  ChangelogSource(const KafkaOptions& options, std::shared_ptr<Prober> prober)
      : prober_(std::move(prober)), reader_(options, ClientRole::kChangelog, prober_->asker()) {}

  Polled Poll(Duration timeout) override { return reader_.Poll(timeout); }
  Status Start(const std::vector<Position>& positions) override {
    LearnTopic();
    return reader_.Start(positions);
  }
  Status Stop() override { return reader_.StopAll(Reader::Stop::kGiveBack); }
  Result<std::vector<std::optional<int64_t>>> CommittedOffsets(
      const std::vector<TopicPartition>& /*of*/, Duration /*timeout*/) override {
    return Fail("the changelog is read without a group", ExitCode::kBroken);
  }
  Result<std::vector<OffsetRange>> Offsets(const std::vector<TopicPartition>& of,
                                           Duration timeout) override {
    return prober_->asker()->Ranges(of, timeout);
  }
  std::optional<ConfirmedEnd> LatestEnd(const TopicPartition& /*of*/) override { return {}; }
  bool IsMember() override { return false; }
  Status Reopen() override {
    topic_.reset();
    return reader_.Open();
  }

 private:
  // A client that does not know a topic yet when it is assigned asks at once, and looks at the
  // answer a second later: every restart would take that second longer.
  void LearnTopic() {
    if (topic_ != nullptr) return;
    rd_kafka_t* const rk = reader_.client().get();
    topic_.reset(rd_kafka_topic_new(rk, reader_.options().changelog_topic.c_str(), nullptr));
    const rd_kafka_metadata_t* metadata = nullptr;
    const auto code = rd_kafka_metadata(rk, 0, topic_.get(), &metadata, ToMs(kMetadataTimeout));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) rd_kafka_metadata_destroy(metadata);
  }

  const std::shared_ptr<Prober> prober_;
  Reader reader_;
  TopicPtr topic_;  // of the reader's client, which outlives it
};

}  // namespace

Result<std::unique_ptr<EventSource>> MakeChangelogSource(const KafkaOptions& options,
                                                         std::shared_ptr<Prober> prober) {
  auto source = std::make_unique<ChangelogSource>(options, std::move(prober));
  if (auto opened = source->Reopen(); !opened) return std::unexpected(std::move(opened).error());
  return source;
}

}  // namespace heartbeatd
