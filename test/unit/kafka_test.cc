// The kafka room against librdkafka's mock cluster, which injects errors at will but knows neither
// read_committed nor the Admin API: what these need is tested against a broker.
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>  // needs the one above

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "kafka/admin.h"
#include "kafka/admin_client.h"
#include "kafka/client.h"
#include "kafka/committer.h"
#include "kafka/handle.h"
#include "kafka/prober.h"
#include "kafka/source.h"
#include "kafka/watchdog.h"

using namespace heartbeatd;
using namespace std::chrono_literals;
using Kind = Polled::Kind;
using Tx = TxResult::Kind;

namespace {

// Kafka's request types.
constexpr int16_t kProduce = 0;
constexpr int16_t kFetch = 1;
constexpr int16_t kOffsetFetch = 9;
constexpr int16_t kHeartbeat = 12;
constexpr int16_t kInitProducerId = 22;
constexpr int16_t kAddPartitions = 24;
constexpr int16_t kAddOffsets = 25;
constexpr int16_t kEndTxn = 26;
constexpr int16_t kTxnOffsetCommit = 28;

// One broker, in this process, with the topics of Options().
class MockCluster {
 public:
  MockCluster() {
    std::array<char, 256> text{};
    owner_ = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text.data(), text.size());
    cluster_ = rd_kafka_mock_cluster_new(owner_, 1);
    for (const char* topic : {"in", "alerts", "changelog"}) {
      rd_kafka_mock_topic_create(cluster_, topic, 2, 1);
    }
  }
  ~MockCluster() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(owner_);
  }
  MockCluster(const MockCluster&) = delete;
  MockCluster& operator=(const MockCluster&) = delete;

  [[nodiscard]] KafkaOptions Options() const {
    KafkaOptions options;
    options.brokers = rd_kafka_mock_cluster_bootstraps(cluster_);
    options.app = "shop";
    options.instance = "a";
    options.input_topics = {"in"};
    options.output_topics = {"alerts"};
    options.changelog_topic = "changelog";
    options.startup_timeout = 5s;
    options.properties = {{"heartbeat.interval.ms", "100"}};
    return options;
  }

  // The next `times` answers to such requests are this error.
  void Inject(int16_t request, rd_kafka_resp_err_t error, int times = 1) {
    const std::vector<rd_kafka_resp_err_t> errors(static_cast<size_t>(times), error);
    rd_kafka_mock_push_request_errors_array(cluster_, request, errors.size(), errors.data());
  }
  // The next such requests are answered after this time only.
  void Delay(int16_t request, Duration by) {
    rd_kafka_mock_broker_push_request_error_rtts(
        cluster_, 1, request, 2, RD_KAFKA_RESP_ERR_NO_ERROR, static_cast<int>(by.count()),
        RD_KAFKA_RESP_ERR_NO_ERROR, static_cast<int>(by.count()));
  }
  void SetDown() { rd_kafka_mock_broker_set_down(cluster_, 1); }

 private:
  rd_kafka_t* owner_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

// The prober's thread reads it while the test moves it.
class SharedClock final : public Clock {
 public:
  [[nodiscard]] WallTime Now() const override { return WallTime(1'000'000 + now_); }
  [[nodiscard]] Duration Monotonic() const override { return Duration(now_); }
  void Advance(Duration d) { now_ += d.count(); }

 private:
  std::atomic<int64_t> now_{0};
};

// A worker's view of one mock cluster.
struct Parts {
  explicit Parts(const KafkaOptions& the_options, Duration probe_interval = 50ms)
      : options(the_options),
        prober(*Prober::Make(options, clock, probe_interval)),
        source(*MakeGroupSource(options, prober, clock)),
        committer(MakeCommitter(options)) {}

  // Polls until something of this kind comes; records on the way go to `records`.
  Polled Until(Kind kind, Duration patience = 10s) {
    const SystemClock real;
    const Duration end = real.Monotonic() + patience;
    while (real.Monotonic() < end) {
      Polled polled = source->Poll(20ms);
      if (polled.kind == kind) return polled;
      if (polled.kind == Kind::kRecord) records.push_back(polled.record.offset);
    }
    return {};
  }

  Polled Join() {
    Polled assigned = Until(Kind::kAssigned);
    REQUIRE(assigned.kind == Kind::kAssigned);
    generation = assigned.generation;
    return assigned;
  }

  void Fill(int count) {
    REQUIRE(committer->Open());
    REQUIRE(committer->Begin().ok());
    for (int i = 0; i < count; ++i) {
      REQUIRE(
          committer->Produce({.topic = "in", .partition = 0, .key = "c1", .value = "event"}).ok());
    }
    REQUIRE(committer->Flush().ok());
    REQUIRE(committer->Commit().ok());
  }

  KafkaOptions options;
  SharedClock clock;
  std::shared_ptr<Prober> prober;
  std::unique_ptr<EventSource> source;
  std::unique_ptr<Committer> committer;
  GroupGeneration generation;
  std::vector<int64_t> records;
};

const std::vector<Position> kStart{{{"in", 0}, 0}, {{"in", 1}, 0}};
const TopicPartition kFirst{"in", 0};

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("kafka: properties that the protocol needs are not the user's") {
  struct Row {
    const char* key;
    const char* value;
    const char* reason;  // a part of it; empty: allowed
  };
  const Row row = GENERATE(values<Row>({
      {"socket.timeout.ms", "5000", ""},
      {"compression.type", "zstd", ""},
      {"enable.auto.commit", "true", "exactly-once"},
      {"topic.acks", "1", "exactly-once"},
      {"isolation.level", "read_uncommitted", "exactly-once"},
      {"group.id", "x", "`app`"},
      {"bootstrap.servers", "x:1", "kafka.brokers"},
      {"session.timeout.ms", "1", "kafka.session_timeout"},
      {"partition.assignment.strategy", "roundrobin", "range"},
      {"auto.offset.reset", "latest", "input.start"},
      {"no.such.thing", "1", "no such property"},
      {"socket.timeout.ms", "soon", "refuses"},
  }));
  CAPTURE(row.key);
  const auto problems = CheckProperties({{row.key, row.value}});
  REQUIRE(problems.size() == (std::string(row.reason).empty() ? 0U : 1U));
  if (problems.empty()) return;
  CHECK(problems[0].key == row.key);
  CHECK(Contains(problems[0].reason, row.reason));
}

TEST_CASE("kafka: a poll interval below the usual session suits every client") {
  KafkaOptions options;
  options.brokers = "127.0.0.1:1";
  options.session_timeout = 2s;
  options.properties = {{"max.poll.interval.ms", "3000"}};
  for (const ClientRole role :
       {ClientRole::kGroup, ClientRole::kChangelog, ClientRole::kAsk, ClientRole::kAskStable}) {
    const auto client = Client::Make(options, role);
    INFO("role " << static_cast<int>(role) << ": " << (client ? "" : client.error().message));
    CHECK(client.has_value());
  }
}

TEST_CASE("kafka: SCRAM is warned of below librdkafka 2.6.1") {
  const std::map<std::string, std::string> scram{{"sasl.mechanisms", "SCRAM-SHA-512"}};
  CHECK(PropertyWarnings(scram, 0x020002ff).size() == 1);
  CHECK(PropertyWarnings(scram, 0x020600ff).size() == 1);
  CHECK(PropertyWarnings(scram, 0x020601ff).empty());
  CHECK(PropertyWarnings({{"sasl.mechanism", "PLAIN"}}, 0x020002ff).empty());
}

TEST_CASE("kafka: a missing right names itself") {
  const auto topic = MissingRight(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "Read", "orders");
  REQUIRE(topic);
  CHECK(topic->code == ExitCode::kConfig);
  CHECK(Contains(topic->message, "--operation Read --topic orders"));
  CHECK(MissingRight(RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, "Read", "shop"));
  CHECK_FALSE(MissingRight(RD_KAFKA_RESP_ERR__TRANSPORT, "Read", "shop"));
}

TEST_CASE("watchdog: only silence in spite of more to come counts") {
  struct Row {
    const char* what;
    Watchdog::Sight sight;
    bool ran_dry;
    bool barks;
  };
  const Row row = GENERATE(values<Row>({
      {"dead", {.seen = false, .behind = true}, true, true},
      {"alive", {.seen = true, .behind = true}, true, false},
      {"at the end", {.seen = false, .behind = false}, true, false},
      {"behind other partitions' records", {.seen = false, .behind = true}, false, false},
  }));
  CAPTURE(row.what);
  Watchdog watchdog;
  watchdog.Reset(2);
  std::optional<size_t> found;
  for (int i = 0; i < Watchdog::kSilentTicksMax; ++i) {
    CHECK_FALSE(found);
    found = watchdog.Tick({{.seen = true, .behind = true}, row.sight}, row.ran_dry);
  }
  CHECK(found == (row.barks ? std::optional<size_t>(1) : std::nullopt));
}

TEST_CASE("watchdog: ticks that tell nothing do not end a silence, a record does") {
  Watchdog watchdog;
  watchdog.Reset(1);
  const Watchdog::Sight silent{.seen = false, .behind = true};
  for (int i = 0; i < Watchdog::kSilentTicksMax - 1; ++i)
    CHECK_FALSE(watchdog.Tick({silent}, true));
  for (int i = 0; i < 100; ++i) CHECK_FALSE(watchdog.Tick({silent}, false));
  CHECK(watchdog.Tick({silent}, true));
  for (int i = 0; i < Watchdog::kSilentTicksMax - 1; ++i)
    CHECK_FALSE(watchdog.Tick({silent}, true));
  CHECK_FALSE(watchdog.Tick({{.seen = true, .behind = true}}, true));
  CHECK_FALSE(watchdog.Tick({silent}, true));
}

// Joining takes the mock cluster three seconds, hence few and long tests.
TEST_CASE("group source: assigned, started, read to the end, committed, reopened") {
  MockCluster cluster;
  Parts parts(cluster.Options());
  parts.Fill(3);
  CHECK_FALSE(parts.source->Start(kStart));  // nothing assigned yet
  const Polled assigned = parts.Join();
  CHECK(assigned.partitions == std::vector<TopicPartition>{{"in", 0}, {"in", 1}});
  CHECK(parts.source->IsMember());
  CHECK_FALSE(parts.source->LatestEnd(kFirst));

  auto offsets = parts.source->CommittedOffsets(assigned.partitions, 5s);
  REQUIRE(offsets);
  CHECK(*offsets == std::vector<std::optional<int64_t>>(2));
  const auto ranges = parts.source->Offsets(assigned.partitions, 5s);
  REQUIRE(ranges);
  CHECK((*ranges)[0].end == 3);
  CHECK((*ranges)[1].end == 0);

  REQUIRE(parts.source->Start({{kFirst, 1}}));
  CHECK(parts.Until(Kind::kEndOfPartition).at == Position{kFirst, 3});
  CHECK(parts.records == std::vector<int64_t>{1, 2});  // not 0: below the position

  REQUIRE(parts.committer->Begin().ok());
  REQUIRE(parts.committer->Produce({.topic = "changelog", .partition = 1, .key = "m", .value = ""})
              .ok());
  REQUIRE(parts.committer->Flush().ok());
  CHECK(parts.committer->ChangelogOffset(1) == 0);
  CHECK_FALSE(parts.committer->ChangelogOffset(0));
  REQUIRE(parts.committer->SendOffsets({{kFirst, 3}}, parts.generation).ok());
  REQUIRE(parts.committer->Commit().ok());
  cluster.Inject(kOffsetFetch, RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, 2);
  offsets = parts.source->CommittedOffsets({kFirst}, 5s);
  CHECK(offsets);  // the mock cluster does not keep a transaction's offsets

  REQUIRE(parts.source->Stop());
  CHECK(parts.source->IsMember());
  REQUIRE(parts.source->Start({{kFirst, 10}}));
  const Polled gone = parts.Until(Kind::kOffsetOutOfRange);
  REQUIRE(gone.kind == Kind::kOffsetOutOfRange);
  CHECK(gone.at == Position{kFirst, 10});
  CHECK(Contains(gone.error.message, "in [0]: offset 10"));
  CHECK(Contains(gone.error.message, "0 to 3"));

  REQUIRE(parts.source->Start(kStart));
  const Polled held = parts.Until(Kind::kRecord);
  REQUIRE(held.kind == Kind::kRecord);
  REQUIRE(parts.source->Reopen());
  parts.source.reset();
  CHECK(held.record.payload == "event");  // records may outlive their client
}

TEST_CASE("group source: what the group does to a member") {
  struct Case {
    rd_kafka_resp_err_t heartbeat;
    Kind kind;
    MockCluster cluster = {};
    Parts parts{cluster.Options()};
  };
  Case cases[] = {
      {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, Kind::kRevoked},
      {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, Kind::kLost},
      {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, Kind::kLost},
      {RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, Kind::kFencedInstance},
  };
  for (auto& [heartbeat, kind, cluster, parts] : cases) {  // they all join meanwhile
    CAPTURE(rd_kafka_err2name(heartbeat));
    parts.Join();
    REQUIRE(parts.source->Start(kStart));
    cluster.Inject(kHeartbeat, heartbeat);
    const Polled polled = parts.Until(kind);
    REQUIRE(polled.kind == kind);
    if (kind == Kind::kFencedInstance) {
      CHECK_FALSE(parts.source->IsMember());
      CHECK(parts.source->Poll(1ms).kind == Kind::kFencedInstance);  // until reopened
      REQUIRE(parts.source->Reopen());
      CHECK(parts.source->Poll(1ms).kind == Kind::kNothing);
      continue;
    }
    CHECK(polled.partitions.size() == 2);
    CHECK_FALSE(parts.source->Start(kStart));  // they are not ours any more
    CHECK(parts.source->Poll(100ms).kind == Kind::kNothing);
    CHECK(parts.source->Stop());
  }
}

TEST_CASE("group source: a fetcher that died silently is noticed") {
  MockCluster cluster;
  KafkaOptions options = cluster.Options();
  options.properties["fetch.wait.max.ms"] = "10";
  Parts parts(options, 10ms);
  parts.Join();
  cluster.Delay(kFetch, 60s);
  REQUIRE(parts.source->Start(kStart));
  parts.Fill(1);
  Polled polled;
  for (int i = 0; i < 60 && polled.kind == Kind::kNothing; ++i) {
    std::this_thread::sleep_for(20ms);  // for a new answer of the prober
    parts.clock.Advance(Watchdog::kTick);
    polled = parts.source->Poll(1ms);
  }
  REQUIRE(polled.kind == Kind::kFailed);
  CHECK(Contains(polled.error.message, "in [0]: nothing came from offset 0 on"));
  CHECK(parts.source->Poll(1ms).kind == Kind::kFailed);
  REQUIRE(parts.source->Reopen());
}

TEST_CASE("prober: answers are younger than the Watch(), and none come from a dead broker") {
  MockCluster cluster;
  SharedClock clock;
  const auto prober = *Prober::Make(cluster.Options(), clock, 20ms);
  // The answer of a round that is not older than `round`.
  const auto wait_for = [&](uint64_t round) {
    std::optional<Prober::Answer> answer;
    for (int i = 0; i < 500 && (!answer || answer->round < round); ++i) {
      std::this_thread::sleep_for(10ms);
      answer = prober->Latest(kFirst);
    }
    REQUIRE(answer);
    return *answer;
  };
  CHECK_FALSE(prober->Latest(kFirst));
  const auto first = wait_for(prober->Watch({kFirst}));
  CHECK(first.confirmed.end == 0);
  CHECK(first.confirmed.asked.wall == clock.Now());

  clock.Advance(5s);
  const uint64_t next = prober->Watch({kFirst});
  CHECK(next > first.round);
  CHECK(wait_for(next).confirmed.asked.wall == clock.Now());
  prober->Unwatch({kFirst});
  CHECK(prober->Latest(kFirst));  // the first to watch still does

  cluster.SetDown();
  std::this_thread::sleep_for(100ms);  // an answer may still be under way
  clock.Advance(5s);
  std::this_thread::sleep_for(300ms);
  CHECK(prober->Latest(kFirst)->confirmed.asked.wall < clock.Now());
  prober->Unwatch({kFirst});
  CHECK_FALSE(prober->Latest(kFirst));
}

TEST_CASE("committer: what errors make of a transaction") {
  struct Row {
    int16_t request;
    rd_kafka_resp_err_t error;
    const char* step;  // the call that fails; empty: none
    Tx kind;
    bool bad_record;
  };
  const Row row = GENERATE(values<Row>({
      {kProduce, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "flush", Tx::kAbort, true},
      {kProduce, RD_KAFKA_RESP_ERR_INVALID_RECORD, "flush", Tx::kAbort, true},
      {kProduce, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, "", Tx::kOk, false},
      {kAddPartitions, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "flush", Tx::kAbort, false},
      {kAddPartitions, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, "flush", Tx::kFenced, false},
      {kAddOffsets, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, "offsets", Tx::kAbort, false},
      {kTxnOffsetCommit, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, "", Tx::kOk, false},
      {kTxnOffsetCommit, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, "offsets", Tx::kFenced, false},
      {kTxnOffsetCommit, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, "offsets", Tx::kFenced, false},
      {kTxnOffsetCommit, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, "offsets", Tx::kFenced, false},
      {kEndTxn, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, "", Tx::kOk, false},
      {kEndTxn, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, "", Tx::kOk, false},
      {kEndTxn, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, "commit", Tx::kFenced, false},
      {kEndTxn, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, "commit", Tx::kAmbiguous, false},
      {kEndTxn, RD_KAFKA_RESP_ERR_UNKNOWN, "commit", Tx::kAmbiguous, false},
  }));
  CAPTURE(row.request, rd_kafka_err2name(row.error));
  MockCluster cluster;
  const auto owner = MakeCommitter(cluster.Options());
  Committer& committer = *owner;
  const GroupGeneration generation(
      rd_kafka_consumer_group_metadata_new("shop"), [](const void* metadata) {
        rd_kafka_consumer_group_metadata_destroy(
            static_cast<rd_kafka_consumer_group_metadata_t*>(const_cast<void*>(metadata)));
      });
  REQUIRE(committer.Open());
  const auto run = [&](std::string* failed_at) {
    TxResult result = committer.Begin();
    *failed_at = "begin";
    if (result.ok())
      result = committer.Produce({.topic = "alerts", .key = "c1", .value = "alert"}),
      *failed_at = "produce";
    if (result.ok()) result = committer.Flush(), *failed_at = "flush";
    if (result.ok())
      result = committer.SendOffsets({{kFirst, 1}}, generation), *failed_at = "offsets";
    if (result.ok()) result = committer.Commit(), *failed_at = "commit";
    if (result.ok()) failed_at->clear();
    return result;
  };
  cluster.Inject(row.request, row.error);
  std::string failed_at;
  TxResult result = run(&failed_at);
  CAPTURE(result.error.message);
  CHECK(failed_at == row.step);
  CHECK(result.kind == row.kind);
  CHECK(result.bad_record == row.bad_record);

  if (result.kind == Tx::kAbort) CHECK(committer.Abort().ok());
  if (result.kind == Tx::kAmbiguous || result.kind == Tx::kFenced) REQUIRE(committer.Open());
  result = run(&failed_at);  // the next one is none the worse
  CHECK(failed_at.empty());
}

TEST_CASE("committer: misuse and missing rights") {
  MockCluster cluster;
  const auto committer = MakeCommitter(cluster.Options());
  CHECK(committer->Begin().kind == Tx::kAmbiguous);  // not open
  cluster.Inject(kInitProducerId, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
  const Status refused = committer->Open();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ExitCode::kConfig);
  CHECK(Contains(refused.error().message, "right Write on the transactional id 'shop-a-0'"));
  REQUIRE(committer->Open());
  REQUIRE(committer->Begin().ok());
  CHECK(committer->SendOffsets({{kFirst, 1}}, nullptr).kind == Tx::kFenced);
}

TEST_CASE("admin: no broker, and a stop while waiting") {
  KafkaOptions options;
  options.brokers = "127.0.0.1:1";  // nobody listens there
  options.app = "shop";
  options.instance = "a";
  options.startup_timeout = 300ms;
  std::atomic<bool> stop{false};
  auto prepared = ConnectAndPrepare(options, stop);
  REQUIRE_FALSE(prepared);
  CHECK(prepared.error().code == ExitCode::kTemporary);
  CHECK(Contains(prepared.error().message, "no Kafka broker answers at 127.0.0.1:1"));

  options.startup_timeout = 60s;
  stop = true;
  prepared = ConnectAndPrepare(options, stop);
  REQUIRE_FALSE(prepared);
  CHECK(Contains(prepared.error().message, "stopped"));
}

TEST_CASE("admin: the command that makes a topic") {
  KafkaOptions options;
  options.brokers = "b:9092";
  CHECK(
      CreateCommand(options, {"letters", 6, {{"cleanup.policy", "compact"}}}) ==
      "kafka-topics.sh --bootstrap-server b:9092 --create --topic letters --partitions 6 --config "
      "cleanup.policy=compact");
  CHECK(CreateCommand(options, {"in", -1, {}}) ==
        "kafka-topics.sh --bootstrap-server b:9092 --create --topic in");
}
