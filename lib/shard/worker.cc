#include "shard/worker.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/fault.h"
#include "shard/report.h"

namespace heartbeatd {
namespace {

constexpr Duration kEndCheckEvery = std::chrono::milliseconds(50);
constexpr Duration kRestoreSlice = std::chrono::milliseconds(50);
constexpr Duration kRestorePause = std::chrono::seconds(2);  // after one that failed
constexpr Duration kBackoffMin = std::chrono::milliseconds(100);
constexpr Duration kBackoffMax = std::chrono::seconds(5);
// A producer that was fenced waits this long (one heartbeat) to see whether the member is fenced
// too.
constexpr Duration kHeartbeat = std::chrono::seconds(3);
// Messages and timers of a shard between two looks at the clock: where each of them waits for a
// disk, more of them would keep the commit waiting.
constexpr size_t kSlice = 500;
constexpr Duration kPatience = std::chrono::milliseconds(5);
// SIGTERM is waited for; what is not written by then the next start reads from the changelog.
constexpr Duration kStopSaveMax = std::chrono::seconds(10);

// What librdkafka keeps of a record beside its key and value.
constexpr size_t kPerRecord = 320;

// As the metrics call it.
std::string_view NameOf(TxResult::Kind kind) {
  switch (kind) {
    case TxResult::Kind::kOk:
      return "committed";
    case TxResult::Kind::kAbort:
      return "aborted";
    case TxResult::Kind::kAmbiguous:
      return "ambiguous";
    case TxResult::Kind::kFenced:
      return "fenced";
  }
  __builtin_unreachable();
}

}  // namespace

Worker::Worker(WorkerOptions options, WorkerParts parts)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      tail_(options_.commit_tail),
      schedule_(options_.commits),
      write_behind_(options_.write_behind, options_.restore.cluster_id, parts_.clock,
                    parts_.metrics),
      units_max_(options_.commits.events_max) {}

Status Worker::Step(Duration wait) {
  if (Status polled = Poll(wait); !polled) return polled;
  if (phase_ == Phase::kRestoring) {
    if (Status restored = StepRestore(); !restored) return restored;
  }
  if (phase_ == Phase::kRunning) {
    if (Status looked = LookAtCommit(Duration(0)); !looked) return looked;
  }
  if (phase_ == Phase::kRunning) {
    if (Status processed = Process(); !processed) return processed;
    HB_FAULT_POINT("worker.processed");
    if (!tail_.IsRunning() && CommitIsDue()) {
      if (Status started = StartCommit(); !started) return started;
    } else if (MustWait()) {
      if (Status looked = LookAtCommit(kPatience); !looked) return looked;
    }
    if (phase_ == Phase::kRunning) {
      if (Status saved = StepWriteBehind(); !saved) return saved;
    }
  }
  if (parts_.clock.Monotonic() - last_report_ >= kReportEvery) Report();
  return {};
}

Status Worker::Stop() {
  if (phase_ != Phase::kRunning) return {};
  if (Status committed = CommitAndWait(); !committed) return committed;
  if (phase_ != Phase::kRunning) return {};
  const Duration until = parts_.clock.Monotonic() + kStopSaveMax;
  size_t unsaved = 0;
  for (const auto& [partition, shard] : shards_) {
    if (!shard->IsSettled()) continue;
    if (Status saved = write_behind_.SaveAll(shard.get(), until); !saved)
      spdlog::warn("{}", saved.error().message);
    unsaved += shard->customers().unsaved();
    if (Status flushed = write_behind_.Flush(shard.get()); !flushed)
      spdlog::warn("{}", flushed.error().message);
  }
  if (unsaved > 0)
    spdlog::warn(
        "{}: {} customers are not in the local store yet; the next start reads them from the "
        "changelog",
        options_.name, unsaved);
  Report();
  return {};
}

void Worker::Abandon() {
  for (const auto& [partition, shard] : shards_) shard->customers().Abandon();
}

// ---- 1. Poll -----------------------------------------------------------------------------------

Status Worker::Poll(Duration wait) {
  // While there is work left, or none may be taken, messages are only looked for, not waited for.
  Duration timeout = work_left_ ? Duration(0) : wait;
  const size_t batch = work_left_ || MustWait() || HasPlenty() ? 1 : kPollBatch;
  for (size_t i = 0; i < batch; ++i) {
    Polled polled = parts_.input.Poll(timeout);
    if (polled.kind == Polled::Kind::kNothing) break;
    timeout = Duration(0);
    if (Status handled = OnPolled(std::move(polled)); !handled) return handled;
  }
  return {};
}

bool Worker::MustWait() const {
  size_t behind = 0;
  for (const Shard* shard : write_behind_.crowded()) behind += shard->intake().buffered();
  return IsFull() || behind >= kBufferedMax;
}

bool Worker::IsFull(size_t uncommitted_bytes) const {
  return units_ >= units_max_ || uncommitted_bytes >= options_.commits.bytes_max;
}

size_t Worker::UncommittedBytes() const {
  size_t bytes = 0;
  for (const auto& [partition, shard] : shards_) bytes += UncommittedBytes(*shard);
  return bytes;
}

size_t Worker::UncommittedBytes(Shard& shard) const {
  return shard.OutboxBytes() + shard.customers().uncommitted() * change_bytes_;
}

bool Worker::HasPlenty() const {
  if (options_.shard.topics.size() > 1) return false;
  size_t buffered = 0;
  for (const auto& [partition, shard] : shards_) buffered += shard->intake().buffered();
  return buffered >= kBufferedMax;
}

Status Worker::OnPolled(Polled polled) {
  switch (polled.kind) {
    case Polled::Kind::kNothing:
      return {};
    case Polled::Kind::kRecord: {
      const auto it = shards_.find(polled.record.partition);
      if (it == shards_.end()) return {};
      const size_t topic = TopicIndex(polled.record.topic);
      // When a message came matters only beside other topics, which may have to be waited for.
      const Moment now = options_.shard.topics.size() > 1 ? parts_.clock.Read() : Moment();
      it->second->Offer(topic, std::move(polled.record), now);
      return {};
    }
    case Polled::Kind::kEndOfPartition: {
      const auto it = shards_.find(polled.at.at.partition);
      if (it != shards_.end())
        it->second->OnEndOfPartition(TopicIndex(polled.at.at.topic), polled.at.offset);
      return {};
    }
    case Polled::Kind::kAssigned:
      return OnAssigned(std::move(polled));
    case Polled::Kind::kRevoked:
      return OnRevoked();
    case Polled::Kind::kLost:
      return OnLost("the group has given our partitions away");
    case Polled::Kind::kFencedInstance:
      return OnFencedInstance();
    case Polled::Kind::kOffsetOutOfRange:
      if (options_.restore.accept_lost_input) return Resync();
      return Fail(fmt::format("{}. To accept the loss, start once with --accept-lost-input",
                              polled.error.message),
                  ExitCode::kBroken);
    case Polled::Kind::kFailed:
      // A missing right does not come back by itself.
      if (polled.error.code == ExitCode::kConfig) return std::unexpected(std::move(polled.error));
      spdlog::warn("{}: consumer: {}; making a new one", options_.name, polled.error.message);
      DropShards();
      phase_ = Phase::kJoining;
      return parts_.input.Reopen();
  }
  __builtin_unreachable();
}

Status Worker::OnAssigned(Polled polled) {
  DropShards();
  generation_ = std::move(polled.generation);
  std::map<int32_t, size_t> topics_of;
  for (const TopicPartition& at : polled.partitions) ++topics_of[at.partition];
  partitions_.clear();
  for (const auto& [partition, topics] : topics_of) {
    if (topics != options_.shard.topics.size()) {
      return Fail(fmt::format("partition {} was assigned without all input topics: they must have "
                              "the same number of partitions",
                              partition),
                  ExitCode::kConfig);
    }
    partitions_.push_back(partition);
  }
  // Whoever has one of the others now meets its damage by himself, or has rebuilt it.
  std::erase_if(given_up_, [&](int32_t partition) { return !topics_of.contains(partition); });
  spdlog::info("{}: assigned {} partitions [{}]", options_.name, partitions_.size(),
               fmt::join(partitions_, " "));
  HB_FAULT_POINT("group.assigned");
  phase_ = Phase::kRestoring;
  return {};
}

Status Worker::OnRevoked() {
  spdlog::info("{}: giving back {} partitions", options_.name, partitions_.size());
  HB_FAULT_POINT("group.revoked");
  if (tail_.IsRunning()) {
    const TransactionResult ended = tail_.Wait();
    Count(commit_, ended.result);
    if (ended.result.ok()) {
      for (Shard* shard : commit_.shards) shard->OnCommitted();
    } else {
      // Nothing that came after it may be committed.
      spdlog::warn("{}: the last commit before giving back failed: {}", options_.name,
                   ended.result.error.message);
      committer_open_ = false;
      DropShards();
    }
  }
  const std::vector<Shard*> changed = phase_ == Phase::kRunning ? Changed() : std::vector<Shard*>{};
  if (!changed.empty() && parts_.input.IsMember()) {
    Commit commit = Describe(changed);
    Produced produced;
    TxResult result = ProduceShards(changed, options_.topics, parts_.committer, &produced);
    commit.records = produced.records;
    if (result.ok()) result = FinishTransaction(produced, generation_, parts_.committer).result;
    Count(commit, result);
    if (!result.ok()) {
      spdlog::warn("{}: the last commit before giving back failed: {}", options_.name,
                   result.error.message);
      if (result.kind != TxResult::Kind::kAbort || !parts_.committer.Abort().ok())
        committer_open_ = false;
    }
  }
  DropShards();
  partitions_.clear();
  generation_.reset();
  phase_ = Phase::kJoining;
  return parts_.input.Stop();
}

Status Worker::OnLost(const std::string& why) {
  spdlog::warn("{}: {}", options_.name, why);
  DropShards();
  partitions_.clear();
  generation_.reset();
  phase_ = Phase::kJoining;
  return parts_.input.Stop();
}

Status Worker::OnFencedInstance() {
  DropShards();
  partitions_.clear();
  generation_.reset();
  phase_ = Phase::kJoining;
  if (Status struck =
          Strike("another member of the group has this instance's name, or the broker was frozen");
      !struck)
    return struck;
  return parts_.input.Reopen();
}

// ---- 2. Restore --------------------------------------------------------------------------------

Status Worker::StepRestore() {
  if (parts_.clock.Monotonic() < resume_at_) return {};
  if (!committer_open_) {
    // Before reading: whatever an earlier producer of this name left open is finished now.
    if (Status opened = parts_.committer.Open(); !opened) {
      if (opened.error().code == ExitCode::kBroken || opened.error().code == ExitCode::kConfig)
        return opened;
      spdlog::warn("{}: producer: {}; trying again", options_.name, opened.error().message);
      resume_at_ = parts_.clock.Monotonic() + std::chrono::seconds(1);
      return {};
    }
    committer_open_ = true;
  }
  if (!restore_) {
    restore_ =
        std::make_unique<Restore>(options_.restore, parts_.clock, parts_.metrics, parts_.input,
                                  parts_.changelog, parts_.open_store, partitions_, given_up_);
  }
  const Result<bool> done = restore_->Step(kRestoreSlice);
  if (!done) return OnRestoreFailed(done.error());
  if (!*done) return {};

  std::vector<Restored> restored = restore_->Take();
  restore_.reset();
  std::vector<Position> positions;
  bool any_new = false;
  for (Restored& part : restored) {
    ShardOptions shard_options = options_.shard;
    shard_options.partition = part.partition;
    shard_options.cache_bytes_max = options_.cache_bytes_max / restored.size();
    std::vector<int64_t>& next = committed_next_[part.partition];
    next.clear();
    for (const std::string& topic : options_.shard.topics) {
      next.push_back(part.meta.next[topic]);
      positions.push_back({{topic, part.partition}, next.back()});
    }
    auto shard = std::make_unique<Shard>(std::move(shard_options), std::move(part.store),
                                         std::move(part.meta));
    for (const auto& [topic, offset] : poison_[part.partition]) shard->MarkPoison(topic, offset);
    if (part.is_new) shard->MarkNew();
    any_new = any_new || part.is_new;
    write_behind_.Add(shard.get(), part.synced);
    shards_[part.partition] = std::move(shard);
  }
  phase_ = Phase::kRunning;
  first_record_open_ = any_new;
  schedule_.OnBegun(parts_.clock.Monotonic());
  schedule_.OnPositionCommitted(parts_.clock.Monotonic());
  if (Status started = parts_.input.Start(positions); !started) return started;
  return any_new ? StartCommit() : Status();
}

Status Worker::OnRestoreFailed(const Error& error) {
  if (error.code == ExitCode::kTemporary) {
    spdlog::warn("{}: restoring: {}; trying again", options_.name, error.message);
    restore_.reset();
    resume_at_ = parts_.clock.Monotonic() + kRestorePause;
    return {};
  }
  if (error.code == ExitCode::kFailed) return StartAgain(error);
  const std::vector<int32_t> damaged = restore_->Damaged();
  return damaged.empty() ? Status(std::unexpected(error)) : OnDamaged(damaged, error);
}

// ---- 3. Process --------------------------------------------------------------------------------

Status Worker::Process() {
  work_left_ = false;
  if (intake_paused_) return {};
  const Duration now = parts_.clock.Monotonic();
  const bool check_ends = now - last_end_check_ >= kEndCheckEvery;
  if (check_ends) last_end_check_ = now;
  const WallTime wall = parts_.clock.Now();
  std::vector<Shard*> order;
  for (const auto& [partition, shard] : shards_) order.push_back(shard.get());
  if (!order.empty())
    std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(turn_++ % order.size()),
                order.end());
  size_t bytes = UncommittedBytes();
  for (Shard* shard : order) {
    for (size_t i = 0; check_ends && i < options_.shard.topics.size(); ++i) {
      const std::optional<ConfirmedEnd> end =
          parts_.input.LatestEnd({options_.shard.topics[i], shard->options().partition});
      if (end) shard->OnConfirmedEnd(i, *end);
    }
    if (IsFull(bytes)) {
      work_left_ = true;
      break;
    }
    if (write_behind_.IsCrowded(shard)) continue;
    bytes -= UncommittedBytes(*shard);
    const size_t slice = std::min(kSlice, units_max_ - units_);
    const Result<size_t> done = shard->Step(slice, wall);
    if (!done) {
      const int32_t partition = shard->options().partition;
      return done.error().code == ExitCode::kBroken ? OnDamaged({partition}, done.error())
                                                    : Status(std::unexpected(done.error()));
    }
    units_ += *done;
    bytes += UncommittedBytes(*shard);
    work_left_ = work_left_ || *done >= slice;
  }
  return {};
}

// ---- 4. Commit ---------------------------------------------------------------------------------

std::vector<Shard*> Worker::Changed() {
  std::vector<Shard*> changed;
  for (const auto& [partition, shard] : shards_) {
    if (shard->HasChanges() || shard->HasMoved()) changed.push_back(shard.get());
  }
  return changed;
}

bool Worker::CommitIsDue() const {
  if (IsFull()) return true;
  Uncommitted what;
  for (const auto& [partition, shard] : shards_) {
    what.changed = what.changed || shard->HasChanges();
    what.moved = what.moved || shard->HasMoved();
    // Who is crowded takes nothing before more is committed and saved.
    if (write_behind_.crowded().empty()) what.lag += shard->intake().Lag();
  }
  return schedule_.IsDue(what, parts_.clock.Monotonic());
}

Status Worker::StartCommit() {
  const std::vector<Shard*> changed = Changed();
  const size_t units = std::exchange(units_, 0);
  if (changed.empty() || !parts_.input.IsMember()) return {};
  if (HB_MUTANT("store-before-commit")) {
    for (Shard* shard : changed) (void)write_behind_.SaveAll(shard, Duration::max());
  }
  commit_ = Describe(changed);
  commit_.units = units;
  schedule_.OnBegun(commit_.began.monotonic);
  Produced produced;
  if (TxResult result = ProduceShards(changed, options_.topics, parts_.committer, &produced);
      !result.ok())
    return OnCommitFailed(result);
  commit_.records = produced.records;
  if (produced.records > 0) change_bytes_ = produced.bytes / produced.records + kPerRecord;
  for (Shard* shard : changed) shard->OnProduced();
  tail_.Start(
      [produced = std::move(produced), generation = generation_, &committer = parts_.committer] {
        return FinishTransaction(produced, generation, committer);
      });
  // While the message that breaks transactions is looked for, they come one by one.
  return failures_ > 0 ? CommitAndWait() : Status();
}

Status Worker::LookAtCommit(Duration wait) {
  const std::optional<TransactionResult> ended = tail_.Look(wait);
  return ended ? OnCommitEnded(*ended) : Status();
}

Status Worker::CommitAndWait() {
  if (tail_.IsRunning()) {
    if (Status ended = OnCommitEnded(tail_.Wait()); !ended) return ended;
  }
  if (phase_ != Phase::kRunning || Changed().empty()) return {};
  if (Status started = StartCommit(); !started) return started;
  return tail_.IsRunning() ? OnCommitEnded(tail_.Wait()) : Status();
}

Status Worker::OnCommitEnded(const TransactionResult& ended) {
  if (!ended.result.ok()) return OnCommitFailed(ended.result);
  Count(commit_, ended.result);
  for (size_t i = 0; i < commit_.shards.size(); ++i) {
    Shard* shard = commit_.shards[i];
    shard->OnCommitted();
    const int32_t partition = shard->options().partition;
    write_behind_.OnCommitted(partition, {ended.positions[i], commit_.began.wall});
    committed_next_[partition] = commit_.next[i];
  }
  schedule_.OnPositionCommitted(parts_.clock.Monotonic());
  first_record_open_ = false;  // a new shard is in every transaction until it is committed
  failures_ = 0;
  units_max_ = std::min(options_.commits.events_max, units_max_ * 2);
  return {};
}

Worker::Commit Worker::Describe(const std::vector<Shard*>& shards) const {
  Commit commit{.shards = shards, .began = parts_.clock.Read()};
  for (const Shard* shard : shards) {
    std::vector<int64_t>& next = commit.next.emplace_back();
    for (size_t topic = 0; topic < shard->intake().topics(); ++topic)
      next.push_back(shard->intake().next(topic));
    for (const OutgoingAlert& alert : shard->outbox().alerts)
      ++commit.alerts[{alert.rule, alert.status, alert.reason}];
    for (const DeadLetter& dead : shard->outbox().dead_letters) ++commit.dead_letters[dead.reason];
  }
  return commit;
}

void Worker::ForgetCommit() {
  if (!tail_.IsRunning()) return;
  const TxResult result = tail_.Wait().result;
  Count(commit_, result);
  if (!result.ok()) committer_open_ = false;
}

Status Worker::OnCommitFailed(const TxResult& failed) {
  ++failures_;
  Count(commit_, failed);
  const std::string& why = failed.error.message;
  if (failed.kind == TxResult::Kind::kFenced) {
    return OnProducerFenced(failed.error);
  }
  if (failed.kind == TxResult::Kind::kAbort) {
    spdlog::warn("{}: transaction aborted: {}; going back to the last commit", options_.name, why);
    if (!parts_.committer.Abort().ok()) committer_open_ = false;
    if (failed.bad_record && NarrowDown(commit_.units))
      return Resync();  // at once: waiting makes no record better
  } else {
    spdlog::warn(
        "{}: unknown how a transaction ended: {}; making a new producer and going back to the last "
        "commit",
        options_.name, why);
    committer_open_ = false;
  }
  resume_at_ = parts_.clock.Monotonic() +
               std::min(kBackoffMax, kBackoffMin * (1 << std::min(failures_ - 1, 6)));
  return Resync();
}

// A record is at fault. The second time, and every time after, transactions are halved, until the
// one message that leads to it is found. `units`: messages and timers of the one that failed.
// False: it is a single timer, and there is nothing to leave out.
bool Worker::NarrowDown(size_t units) {
  if (failures_ < 2) return true;
  if (units > 1 && units_max_ > 1) {
    units_max_ = std::max<size_t>(1, std::min(units, units_max_) / 2);
    return true;
  }
  bool found = false;
  for (const auto& [partition, shard] : shards_) {
    const std::vector<int64_t>& next = committed_next_[partition];
    for (size_t topic = 0; topic < next.size(); ++topic) {
      if (shard->intake().next(topic) == next[topic]) continue;
      const int64_t offset = shard->intake().next(topic) - 1;  // not next[topic]: offsets have gaps
      spdlog::error(
          "{}: {}[{}] offset {} leads to a record that the broker refuses: it goes to the "
          "dead-letter topic",
          options_.name, options_.shard.topics[topic], partition, offset);
      poison_[partition].emplace_back(topic, offset);
      found = true;
    }
  }
  return found;
}

Status Worker::OnProducerFenced(const Error& error) {
  committer_open_ = false;
  if (Status struck = Strike(fmt::format("the producer was fenced: {}", error.message)); !struck)
    return struck;
  resume_at_ = parts_.clock.Monotonic() + kHeartbeat;
  return Resync();
}

Status Worker::Strike(const std::string& why) {
  const Duration now = parts_.clock.Monotonic();
  std::erase_if(strikes_, [&](Duration at) { return now - at > kFencedWithin; });
  strikes_.push_back(now);
  spdlog::warn("{}: {} ({} of {} times a minute)", options_.name, why, strikes_.size(), kFencedMax);
  if (strikes_.size() < kFencedMax) return {};
  return Fail(
      fmt::format(
          "{}: {}. Another process seems to run with the same 'instance': give each its own",
          options_.name, why),
      ExitCode::kTemporary);
}

Status Worker::Resync() {
  DropShards();
  phase_ = Phase::kRestoring;
  return parts_.input.Start({});
}

// ---- 5. Write behind ---------------------------------------------------------------------------

Status Worker::StepWriteBehind() {
  if (intake_paused_ && parts_.clock.Monotonic() < retry_save_at_) return {};
  // Of a new shard nothing is committed that a pass could write down.
  const WriteBehind::Pace pace = first_record_open_ ? WriteBehind::Pace::kHold
                                 : intake_paused_   ? WriteBehind::Pace::kHurry
                                                    : WriteBehind::Pace::kSteady;
  const WriteBehind::Round round = write_behind_.Step(pace);
  if (round.failure) return OnStoreFailed(round.failure->partition, round.failure->error);
  return round.pass_ended && intake_paused_ ? ResumeIntake() : Status();
}

Status Worker::OnStoreFailed(int32_t partition, const Error& error) {
  if (error.code == ExitCode::kTemporary) return PauseIntake(error);
  if (error.code == ExitCode::kBroken) return OnDamaged({partition}, error);
  return StartAgain(error);
}

Status Worker::StartAgain(const Error& error) {
  return Fail(
      fmt::format("{}; what was not written is in the changelog: start again", error.message),
      ExitCode::kTemporary);
}

// Back to the last commit, and these shards from the changelog alone.
Status Worker::OnDamaged(const std::vector<int32_t>& partitions, const Error& why) {
  const Duration now = parts_.clock.Monotonic();
  for (const int32_t partition : partitions) {
    std::vector<Duration>& rebuilds = rebuilds_[partition];
    std::erase_if(rebuilds, [&](Duration at) { return now - at > kRebuildsWithin; });
    if (rebuilds.size() >= kRebuildsMax) {
      return Fail(
          fmt::format("{}: partition {}: {}. It has been rebuilt {} times within an hour: the "
                      "disk or the memory of this machine seems to be broken",
                      options_.name, partition, why.message, kRebuildsMax),
          ExitCode::kBroken);
    }
    rebuilds.push_back(now);
    given_up_.insert(partition);
    spdlog::error("{}: partition {}: {}", options_.name, partition, why.message);
  }
  return Resync();
}

// What is committed but not written stays in memory; nothing new is taken until there is room
// again.
Status Worker::PauseIntake(const Error& why) {
  retry_save_at_ = parts_.clock.Monotonic() + std::chrono::seconds(1);
  if (intake_paused_) return {};
  spdlog::error("{}: {}; taking no events until it can be written", options_.name, why.message);
  intake_paused_ = true;
  return parts_.input.Start({});
}

Status Worker::ResumeIntake() {
  spdlog::info("{}: local state can be written again", options_.name);
  intake_paused_ = false;
  std::vector<Position> positions;
  for (const auto& [partition, shard] : shards_) {
    for (size_t i = 0; i < options_.shard.topics.size(); ++i) {
      positions.push_back({{options_.shard.topics[i], partition}, shard->intake().expected(i)});
    }
  }
  return parts_.input.Start(positions);
}

// ---- Reports -----------------------------------------------------------------------------------

void Worker::DropShards() {
  ForgetCommit();
  Report();
  write_behind_.Clear();
  restore_.reset();
  for (const int32_t partition : partitions_) parts_.metrics.DropShard(partition);
  shards_.clear();
  reported_.clear();
  committed_next_.clear();
  units_ = 0;
  work_left_ = false;
  intake_paused_ = false;
}

void Worker::Count(const Commit& commit, const TxResult& result) {
  parts_.metrics.OnCommit(NameOf(result.kind), parts_.clock.Monotonic() - commit.began.monotonic,
                          commit.records);
  if (!result.ok()) return;
  for (const auto& [reason, n] : commit.dead_letters)
    parts_.metrics.AddDeadLetters(NameOf(reason), n);
  for (const auto& [what, n] : commit.alerts) {
    const auto& [rule, status, reason] = what;
    parts_.metrics.AddAlerts(options_.shard.rules->rules[rule].info.id, NameOf(status),
                             NameOf(reason), n);
  }
}

void Worker::Report() {
  last_report_ = parts_.clock.Monotonic();
  const WallTime now = parts_.clock.Now();
  for (const auto& [partition, shard] : shards_)
    ReportShard(*shard, now, &reported_[partition], &parts_.metrics);
  if (!restore_) return;
  for (const auto& [partition, remaining] : restore_->Remaining()) {
    parts_.metrics.SetShard(partition,
                            {.clock_state = "restoring", .restore_remaining = remaining});
  }
}

size_t Worker::TopicIndex(std::string_view topic) const {
  const auto& topics = options_.shard.topics;
  return static_cast<size_t>(std::find(topics.begin(), topics.end(), topic) - topics.begin());
}

}  // namespace heartbeatd
