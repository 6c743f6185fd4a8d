#include "kafka/group_source.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <thread>
#include <utility>

#include "kafka/source.h"

namespace heartbeatd {
namespace {

// How many records pass between two looks at the clock.
constexpr int kPollsPerCheck = 1024;
// An answer of the prober that is older says nothing about whether the leader answers now.
constexpr Duration kFreshAnswer{5'000};
constexpr Duration kStableEndTimeout{2'000};
constexpr Duration kCommittedPause{20};

bool WorthRetrying(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT:  // an open transaction may still change the
                                                    // offset
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
      return true;
    default:
      return false;
  }
}

// The call's error, or the first of a partition.
rd_kafka_resp_err_t FirstError(rd_kafka_resp_err_t call,
                               const rd_kafka_topic_partition_list_t& list) {
  for (int i = 0; i < list.cnt && call == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) call = list.elems[i].err;
  return call;
}

}  // namespace

GroupSource::GroupSource(const KafkaOptions& options, std::shared_ptr<Prober> prober,
                         const Clock& clock)
    : prober_(std::move(prober)),
      clock_(clock),
      reader_(options, ClientRole::kGroup, prober_->asker()) {}

GroupSource::~GroupSource() { StopWatching(); }

Status GroupSource::Reopen() {
  StopWatching();
  events_.clear();
  failed_.reset();
  holding_ = Holding::kNothing;
  ClientCallbacks callbacks{.owner = this};
  callbacks.rebalance = [](void* owner, rd_kafka_resp_err_t what,
                           rd_kafka_topic_partition_list_t* partitions) {
    static_cast<GroupSource*>(owner)->OnRebalance(what, *partitions);
  };
  if (auto opened = reader_.Open(callbacks); !opened) return opened;

  std::vector<TopicPartition> topics;
  for (const auto& topic : reader_.options().input_topics)
    topics.push_back({topic, RD_KAFKA_PARTITION_UA});
  const auto list = MakePartitions(topics, RD_KAFKA_OFFSET_INVALID);
  const auto code = rd_kafka_subscribe(reader_.client().get(), list.get());
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  return Fail(fmt::format("subscribing to the input topics: {}", ToString(code)),
              ExitCode::kTemporary);
}

Polled GroupSource::Poll(Duration timeout) {
  if (failed_) return {.kind = Polled::Kind::kFailed, .error = *failed_};
  if (events_.empty()) {
    Polled polled = reader_.Poll(timeout);
    if (polled.kind == Polled::Kind::kNothing || --polls_until_check_ <= 0) {
      polls_until_check_ = kPollsPerCheck;
      failed_ = CheckFetchers();
    }
    if (polled.kind != Polled::Kind::kNothing || events_.empty()) {
      if (polled.kind == Polled::Kind::kNothing && failed_)
        return {.kind = Polled::Kind::kFailed, .error = *failed_};
      return polled;
    }
  }
  Polled event = std::move(events_.front());
  events_.pop_front();
  return event;
}

void GroupSource::OnRebalance(rd_kafka_resp_err_t what,
                              const rd_kafka_topic_partition_list_t& partitions) {
  if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    OnAssign(partitions);
  } else {
    OnRevoke(partitions);
  }
  rd_kafka_yield(reader_.client().get());  // let Poll() return at once with what was queued
}

// The generation is taken before the assignment is acknowledged: until then it cannot change.
void GroupSource::OnAssign(const rd_kafka_topic_partition_list_t& partitions) {
  rd_kafka_t* const rk = reader_.client().get();
  const std::string member = MemberId();
  GroupGeneration generation(rd_kafka_consumer_group_metadata(rk), [](const void* metadata) {
    // The shared_ptr holds const void; librdkafka made it and takes it back.
    rd_kafka_consumer_group_metadata_destroy(
        static_cast<rd_kafka_consumer_group_metadata_t*>(const_cast<void*>(metadata)));
  });
  // Empty, not the partitions: nothing may be fetched before Start() has the offsets.
  if (auto kept = reader_.StopAll(Reader::Stop::kKeep); !kept)
    spdlog::warn("kafka: {}", kept.error().message);

  // Metadata with an empty member id fences nobody. If membership was lost meanwhile, librdkafka
  // revokes and joins again by itself.
  if (generation == nullptr || member.empty() || member != MemberId()) {
    spdlog::warn("kafka {}: membership was lost while partitions were assigned",
                 reader_.client().name());
    return;
  }
  holding_ = Holding::kOurs;
  Polled event{.kind = Polled::Kind::kAssigned};
  event.partitions = ToPartitions(partitions);
  event.generation = std::move(generation);
  events_.push_back(std::move(event));
}

void GroupSource::OnRevoke(const rd_kafka_topic_partition_list_t& partitions) {
  if (holding_ != Holding::kOurs) {  // the worker was never told of them
    if (auto gone = reader_.StopAll(Reader::Stop::kGiveBack); !gone)
      spdlog::warn("kafka: {}", gone.error().message);
    return;
  }
  holding_ = Holding::kTakenBack;
  const bool lost = rd_kafka_assignment_lost(reader_.client().get()) != 0;
  Polled event{.kind = lost ? Polled::Kind::kLost : Polled::Kind::kRevoked};
  event.partitions = ToPartitions(partitions);
  events_.push_back(std::move(event));
}

Status GroupSource::Start(const std::vector<Position>& positions) {
  if (holding_ != Holding::kOurs)
    return Fail("Start() without assigned partitions", ExitCode::kBroken);
  StopWatching();
  if (auto started = reader_.Start(positions); !started) return started;
  for (const auto& position : positions) watched_.push_back(position.at);
  first_round_ = prober_->Watch(watched_);
  watchdog_.Reset(positions.size());
  next_tick_ = clock_.Monotonic() + Watchdog::kTick;
  return {};
}

Status GroupSource::Stop() {
  if (holding_ == Holding::kNothing) return {};
  StopWatching();
  const bool give_back = holding_ == Holding::kTakenBack;
  if (give_back) holding_ = Holding::kNothing;
  return reader_.StopAll(give_back ? Reader::Stop::kGiveBack : Reader::Stop::kKeep);
}

void GroupSource::StopWatching() {
  if (!watched_.empty()) prober_->Unwatch(watched_);
  watched_.clear();
}

Result<std::vector<std::optional<int64_t>>> GroupSource::CommittedOffsets(
    const std::vector<TopicPartition>& of, Duration timeout) {
  std::vector<std::optional<int64_t>> offsets(of.size());
  if (of.empty()) return offsets;
  const Deadline deadline(timeout);
  const auto list = MakePartitions(of, RD_KAFKA_OFFSET_INVALID);
  for (;;) {
    const auto call = rd_kafka_committed(reader_.client().get(), list.get(), ToMs(deadline.Left()));
    const auto code = FirstError(call, *list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) break;
    if (auto right = MissingRight(code, "Describe", GroupId(reader_.options())))
      return std::unexpected(std::move(*right));
    if (!WorthRetrying(code) || deadline.Passed()) {
      return Fail(fmt::format("asking for the committed offsets of group '{}': {}",
                              GroupId(reader_.options()), ToString(code)),
                  ExitCode::kTemporary);
    }
    std::this_thread::sleep_for(kCommittedPause);
  }
  for (size_t i = 0; i < of.size(); ++i) {
    if (list->elems[i].offset >= 0) offsets[i] = list->elems[i].offset;
  }
  return offsets;
}

Result<std::vector<OffsetRange>> GroupSource::Offsets(const std::vector<TopicPartition>& of,
                                                      Duration timeout) {
  return prober_->asker()->Ranges(of, timeout);
}

std::optional<ConfirmedEnd> GroupSource::LatestEnd(const TopicPartition& of) {
  const auto answer = prober_->Latest(of);
  if (!answer || answer->round < first_round_ || watched_.empty()) return {};
  return answer->confirmed;
}

bool GroupSource::IsMember() { return !reader_.dead() && !failed_ && !MemberId().empty(); }

std::string GroupSource::MemberId() {
  rd_kafka_t* const rk = reader_.client().get();
  char* const id = rd_kafka_memberid(rk);
  if (id == nullptr) return {};
  std::string copy(id);
  rd_kafka_mem_free(rk, id);
  return copy;
}

std::optional<Error> GroupSource::CheckFetchers() {
  auto& started = reader_.started();
  const Duration now = clock_.Monotonic();
  if (started.empty() || now < next_tick_) return {};
  next_tick_ = now + Watchdog::kTick;

  std::vector<Watchdog::Sight> sights;
  sights.reserve(started.size());
  for (auto& one : started) sights.push_back({std::exchange(one.seen, false), Behind(one)});
  const auto silent = watchdog_.Tick(sights, reader_.TakeRanDry());
  if (!silent || PinnedByTransaction(started[*silent])) return {};
  const auto& one = started[*silent];
  return Error{fmt::format("{}: nothing came from offset {} on for {} s although its leader has "
                           "more; the consumer is "
                           "made anew",
                           ToString(one.at), one.next, Watchdog::kSilentTicksMax),
               ExitCode::kTemporary};
}

bool GroupSource::Behind(const Reader::Started& started) const {
  const auto answer = prober_->Latest(started.at);
  return answer && answer->round >= first_round_ && started.next < answer->confirmed.end &&
         clock_.Monotonic() - answer->confirmed.asked.monotonic < kFreshAnswer;
}

// An upstream's open transaction lets nobody read beyond it: silence, but no fault of the fetcher.
// Asked through a client of its own, since ours is under suspicion; without an answer it is
// believed.
bool GroupSource::PinnedByTransaction(const Reader::Started& started) {
  const auto asker = OffsetAsker::Make(reader_.options(), ClientRole::kAskStable);
  if (!asker) return true;
  const auto stable = (*asker)->Ends({started.at}, kStableEndTimeout);
  return !stable || !stable->front() || started.next >= *stable->front();
}

Result<std::unique_ptr<EventSource>> MakeGroupSource(const KafkaOptions& options,
                                                     std::shared_ptr<Prober> prober,
                                                     const Clock& clock) {
  auto source = std::make_unique<GroupSource>(options, std::move(prober), clock);
  if (auto opened = source->Reopen(); !opened) return std::unexpected(std::move(opened).error());
  return source;
}

}  // namespace heartbeatd
