#include "simulation/client.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/fault.h"

namespace heartbeatd::sim {
namespace {

constexpr Duration kAskEvery = std::chrono::seconds(1);  // of the prober

std::unexpected<Error> NoAnswer() { return Fail("no answer", ExitCode::kTemporary); }

std::vector<Header> HeadersOf(const void* entry) {
  return static_cast<const Entry*>(entry)->headers;
}

// A copy, as librdkafka's messages are: compaction may take the original away.
InputRecord RecordOf(const TopicPartition& at, const Entry& entry) {
  auto* const copy = new Entry(entry);
  InputRecord record{.topic = at.topic,
                     .partition = at.partition,
                     .offset = entry.offset,
                     .handle = {copy, [](void* p) { delete static_cast<Entry*>(p); }},
                     .read_headers = HeadersOf};
  if (copy->key) record.key = *copy->key;
  if (copy->value) record.payload = *copy->value;
  return record;
}

std::vector<OffsetRange> RangesOf(Broker* broker, const std::vector<TopicPartition>& of) {
  std::vector<OffsetRange> out;
  for (const TopicPartition& at : of)
    out.push_back({broker->log(at).begin(), broker->log(at).end()});
  return out;
}

}  // namespace

// ---- Reader ------------------------------------------------------------------------------------

void Reader::Start(const std::vector<Position>& positions) {
  started_.clear();
  for (const Position& position : positions) started_[position.at] = {.next = position.offset};
}

Polled Reader::Poll(Random* random) {
  if (started_.empty()) return {};
  const size_t first = random->Below(started_.size());
  for (size_t i = 0; i < started_.size(); ++i) {
    const auto it =
        std::next(started_.begin(), static_cast<std::ptrdiff_t>((first + i) % started_.size()));
    Cursor& cursor = it->second;
    int64_t end = 0;
    if (const Entry* entry = broker_.log(it->first).ReadCommitted(cursor.next, &end)) {
      cursor.next = entry->offset + 1;
      Polled polled{.kind = Polled::Kind::kRecord};
      polled.record = RecordOf(it->first, *entry);
      polled.record.topic = *topics_.insert(it->first.topic).first;
      return polled;
    }
    if (end == cursor.end_told) continue;
    cursor.next = cursor.end_told = end;
    Polled polled{.kind = Polled::Kind::kEndOfPartition};
    polled.at = {it->first, end};
    return polled;
  }
  return {};
}

// ---- ChangelogReader ---------------------------------------------------------------------------

Polled ChangelogReader::Poll(Duration /*timeout*/) {
  world_.Pass("changelog.poll");
  if (world_.Dead() || world_.random().OneIn(8)) return {};  // nothing has arrived yet
  return reader_.Poll(&world_.random());
}

Status ChangelogReader::Start(const std::vector<Position>& positions) {
  reader_.Start(positions);
  return {};
}

Result<std::vector<std::optional<int64_t>>> ChangelogReader::CommittedOffsets(
    const std::vector<TopicPartition>& /*of*/, Duration /*timeout*/) {
  return Fail("the changelog is read without a group", ExitCode::kBroken);
}

Result<std::vector<OffsetRange>> ChangelogReader::Offsets(const std::vector<TopicPartition>& of,
                                                          Duration /*timeout*/) {
  world_.Pass("changelog.ends");
  if (world_.Dead() || world_.Fails("changelog.ends")) return NoAnswer();
  return RangesOf(&broker_, of);
}

std::optional<ConfirmedEnd> ChangelogReader::LatestEnd(const TopicPartition& /*of*/) { return {}; }

// ---- Member ------------------------------------------------------------------------------------

void Member::Background() {
  const Duration now = clock_.Monotonic();
  Group& group = broker_.group();
  switch (state_) {
    case State::kFenced:
      return;
    case State::kOut:
      if (holding_ != Holding::kNothing) return;  // first the worker lets go
      who_.member = group.Join(who_.instance, now);
      state_ = State::kJoining;
      break;
    case State::kJoining:
    case State::kMember:
      break;
  }
  switch (group.Heartbeat(who_, now)) {
    case Group::Answer::kOk:
      break;
    case Group::Answer::kRebalancing:
      if (state_ == State::kMember) TakeBack(Polled::Kind::kRevoked, State::kMember);
      if (holding_ == Holding::kNothing && group.Rejoin(who_, now) == Group::Answer::kOk)
        state_ = State::kJoining;
      return;
    case Group::Answer::kUnknownMember:
      TakeBack(Polled::Kind::kLost, State::kOut);
      who_.member.clear();
      return;
    case Group::Answer::kFencedInstance:
      state_ = State::kFenced;
      events_.push_back({.kind = Polled::Kind::kFencedInstance});
      return;
  }
  if (state_ == State::kJoining && group.IsAssigned(who_.instance)) Assigned();
}

void Member::Assigned() {
  who_.generation = broker_.group().generation();
  state_ = State::kMember;
  holding_ = Holding::kOurs;
  Polled event{.kind = Polled::Kind::kAssigned};
  event.partitions = Partitions();
  event.generation = std::make_shared<const Generation>(Generation{who_, *this});
  events_.push_back(std::move(event));
}

// Tells the worker once that its partitions are no longer its own.
void Member::TakeBack(Polled::Kind kind, State then) {
  state_ = then;
  if (holding_ != Holding::kOurs) return;
  holding_ = Holding::kTakenBack;
  Polled event{.kind = kind};
  event.partitions = Partitions();
  events_.push_back(std::move(event));
}

std::vector<TopicPartition> Member::Partitions() const {
  std::vector<TopicPartition> out;
  for (const int32_t partition : broker_.group().AssignmentOf(who_.instance)) {
    for (const std::string& topic : topics) out.push_back({topic, partition});
  }
  return out;
}

Polled Member::Poll(Duration /*timeout*/) {
  world_.Pass("input.poll");
  if (world_.Dead()) return {};
  if (!events_.empty()) {
    Polled event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  if (world_.random().OneIn(8)) return {};
  return reader_.Poll(&world_.random());
}

Status Member::Start(const std::vector<Position>& positions) {
  if (world_.Dead()) return {};
  if (holding_ == Holding::kNothing)
    return Fail("Start() without assigned partitions", ExitCode::kBroken);
  reader_.Start(positions);
  ends_.clear();
  return {};
}

Status Member::Stop() {
  reader_.Start({});
  ends_.clear();
  if (holding_ == Holding::kTakenBack) holding_ = Holding::kNothing;
  return {};
}

Result<std::vector<std::optional<int64_t>>> Member::CommittedOffsets(
    const std::vector<TopicPartition>& of, Duration /*timeout*/) {
  world_.Pass("group.offsets");
  if (world_.Dead() || world_.Fails("group.offsets")) return NoAnswer();
  std::vector<std::optional<int64_t>> out;
  for (const TopicPartition& at : of) {
    const Broker::Stable stable = broker_.CommittedOffset(at);
    if (stable.pending)
      return Fail("an open transaction may still change it", ExitCode::kTemporary);
    out.push_back(stable.offset);
  }
  return out;
}

Result<std::vector<OffsetRange>> Member::Offsets(const std::vector<TopicPartition>& of,
                                                 Duration /*timeout*/) {
  world_.Pass("input.ends");
  if (world_.Dead() || world_.Fails("input.ends")) return NoAnswer();
  return RangesOf(&broker_, of);
}

std::optional<ConfirmedEnd> Member::LatestEnd(const TopicPartition& of) {
  if (world_.Dead() || !reader_.IsStarted(of)) return {};
  const Duration now = clock_.Monotonic();
  if (now - asked_ >= kAskEvery && !world_.Fails("prober")) {
    asked_ = now;
    for (const std::string& topic : topics) {
      for (const auto& [at, log] : broker_.logs()) {
        if (at.topic == topic && reader_.IsStarted(at)) ends_[at] = {log.end(), clock_.Read()};
      }
    }
  }
  const auto it = ends_.find(of);
  return it == ends_.end() ? std::nullopt : std::optional(it->second);
}

Status Member::Reopen() {
  reader_.Start({});
  ends_.clear();
  events_.clear();
  holding_ = Holding::kNothing;
  state_ = State::kOut;
  return {};
}

// ---- Producer ----------------------------------------------------------------------------------

Status Producer::Open() {
  world_.Pass("producer.open");
  if (world_.Dead() || world_.Fails("producer.open")) return NoAnswer();
  name_ = broker_.InitTransactions(id_);
  return {};
}

TxResult Producer::Begin() {
  world_.Pass("begin");
  queue_.clear();
  changelog_offsets_.clear();
  lost_ = false;
  eager_ = world_.random().OneIn(2);
  if (!name_) return {TxResult::Kind::kAmbiguous, {"not open"}};
  return {};
}

TxResult Producer::Produce(const OutputRecord& record) {
  if (world_.Dead()) return {};
  const int32_t partition = record.partition.value_or(0);
  Record queued{{std::string(record.topic), partition}, {}};
  if (record.key) queued.entry.key = *record.key;
  if (record.value) queued.entry.value = *record.value;
  if (record.headers != nullptr) queued.entry.headers = *record.headers;
  queue_.push_back(std::move(queued));
  if (!eager_) return {};
  world_.Pass("produce");
  return Send(queue_.size());
}

TxResult Producer::Flush() {
  world_.Pass("flush");
  if (world_.Dead()) return {};
  const size_t count = queue_.size();
  if (count > 0 && world_.Fails("flush")) {
    // Some have arrived, and for one of the others time is over.
    if (TxResult sent = Send(world_.random().Below(count)); !sent.ok()) return sent;
    lost_ = true;
    return {TxResult::Kind::kAbort, {"a record was not delivered", ExitCode::kTemporary}};
  }
  TxResult sent = Send(count);
  world_.Pass("flushed");
  return sent;
}

TxResult Producer::Send(size_t count) {
  for (; count > 0; --count) {
    const Record record = std::move(queue_.front());
    queue_.pop_front();
    if (TxResult delivered = Deliver(record); !delivered.ok()) return delivered;
  }
  return {};
}

TxResult Producer::Deliver(const Record& record) {
  if (!name_) return {TxResult::Kind::kAmbiguous, {"not open"}};
  if (record.at.topic == changelog_ && record.entry.key->starts_with(kRefusedKey)) {
    lost_ = true;
    return {TxResult::Kind::kAbort, {"the record is too large", ExitCode::kTemporary}, true};
  }
  int64_t offset = 0;
  TxResult result = Judge(broker_.Produce(*name_, record.at, record.entry, &offset));
  if (result.ok() && record.at.topic == changelog_)
    changelog_offsets_[record.at.partition] = offset;
  return result;
}

std::optional<int64_t> Producer::ChangelogOffset(int32_t partition) {
  const auto it = changelog_offsets_.find(partition);
  return it == changelog_offsets_.end() ? std::nullopt : std::optional(it->second);
}

TxResult Producer::SendOffsets(const std::vector<Position>& next,
                               const GroupGeneration& generation) {
  world_.Pass("send offsets");
  if (world_.Dead()) return {};
  if (!name_ || generation == nullptr) return {TxResult::Kind::kFenced, {"not a member"}};
  if (next.empty()) return {};  // librdkafka asks nobody then
  const auto& taken = *static_cast<const Generation*>(generation.get());
  const bool fails = world_.Fails("send offsets");
  if (fails && world_.random().OneIn(2))
    return {TxResult::Kind::kAbort, {"no coordinator", ExitCode::kTemporary}};
  TxResult result = Judge(broker_.SendOffsets(
      *name_, next, HB_MUTANT("group-metadata-afresh") ? taken.of.who() : taken.who));
  world_.Pass("offsets sent");
  if (fails && result.ok()) return {TxResult::Kind::kAbort, {"no reply", ExitCode::kTemporary}};
  return result;
}

TxResult Producer::Commit() {
  world_.Pass("commit");
  if (world_.Dead()) return {};
  if (!name_ || lost_) return {TxResult::Kind::kAmbiguous, {"not open"}};
  if (!world_.Fails("commit")) {
    TxResult result = Judge(broker_.EndTransaction(*name_, true));
    world_.Pass("committed");
    return result;
  }
  // The request is lost, or its reply, or the request is late.
  const TxResult unknown{TxResult::Kind::kAmbiguous, {"no reply", ExitCode::kTemporary}};
  switch (world_.random().Below(3)) {
    case 0:
      return unknown;
    case 1:
      (void)broker_.EndTransaction(*name_, true);
      return unknown;
    default:
      broker_.DeferCommit(*name_);
      return unknown;
  }
}

TxResult Producer::Abort() {
  world_.Pass("abort");
  if (world_.Dead()) return {};
  if (!name_ || world_.Fails("abort"))
    return {TxResult::Kind::kAmbiguous, {"no reply", ExitCode::kTemporary}};
  queue_.clear();
  lost_ = false;
  const Broker::Answer answer = broker_.EndTransaction(*name_, false);
  return answer == Broker::Answer::kNoTransaction ? TxResult{} : Judge(answer);
}

TxResult Producer::Judge(Broker::Answer answer) {
  switch (answer) {
    case Broker::Answer::kOk:
      return {};
    case Broker::Answer::kFencedProducer:
      return {TxResult::Kind::kFenced, {"a newer producer", ExitCode::kTemporary}};
    case Broker::Answer::kFencedMember:
      return {TxResult::Kind::kFenced, {"not a member any more", ExitCode::kTemporary}};
    case Broker::Answer::kNoTransaction:
      return {TxResult::Kind::kAmbiguous, {"no such transaction", ExitCode::kTemporary}};
  }
  __builtin_unreachable();
}

}  // namespace heartbeatd::sim
