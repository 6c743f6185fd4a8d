#include <utility>

#include "kafka/reader.h"
#include "kafka/source.h"

namespace heartbeatd {
namespace {

// Not thread-safe.
class ChangelogSource final : public EventSource {
 public:
  ChangelogSource(const KafkaOptions& options, std::shared_ptr<Prober> prober)
      : prober_(std::move(prober)), reader_(options, ClientRole::kChangelog, prober_->asker()) {}

  Polled Poll(Duration timeout) override { return reader_.Poll(timeout); }
  Status Start(const std::vector<Position>& positions) override { return reader_.Start(positions); }
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
  Status Reopen() override { return reader_.Open(); }

 private:
  const std::shared_ptr<Prober> prober_;
  Reader reader_;
};

}  // namespace

Result<std::unique_ptr<EventSource>> MakeChangelogSource(const KafkaOptions& options,
                                                         std::shared_ptr<Prober> prober) {
  auto source = std::make_unique<ChangelogSource>(options, std::move(prober));
  if (auto opened = source->Reopen(); !opened) return std::unexpected(std::move(opened).error());
  return source;
}

}  // namespace heartbeatd
