// Several production workers in threads of their own, as the daemon runs them: one rule set, one
// registry of metrics, one RocksDB for all, over a simulated broker behind a lock. Workers stop and
// come back, so that partitions move and are restored while others commit; somebody reads the
// metrics all the while. What a subscriber has seen at the end is held against what must be seen,
// and a data race against ThreadSanitizer.
//
//   threads [--seed N]     the seed decides what happens, the threads when
#include <fmt/format.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "metrics/metrics.h"
#include "shard/customers.h"
#include "shard/worker.h"
#include "simulation/broker.h"
#include "simulation/client.h"
#include "simulation/outcome.h"
#include "simulation/random.h"
#include "simulation/workload.h"
#include "store/rocks_store.h"

namespace heartbeatd::sim {
namespace {

constexpr int32_t kPartitions = 4;
constexpr int kWorkers = 3;
constexpr int kMessages = 1200;
constexpr uint64_t kFaultOnceIn = 150;  // calls
constexpr Duration kPollWait = std::chrono::milliseconds(20);
constexpr std::chrono::minutes kDeadline{5};  // real time, far beyond what it takes

[[noreturn]] void Die(const std::string& why) {
  fmt::print(stderr, "threads: {}\n", why);
  std::abort();
}

// Moved by the broker's Pass(). Thread-safe.
class SharedClock final : public Clock {
 public:
  [[nodiscard]] WallTime Now() const override { return WallTime(1'900'000'000'000 + ms_); }
  [[nodiscard]] Duration Monotonic() const override { return Duration(ms_); }
  void Advance(Duration d) {
    ms_ += d.count();
    ms_.notify_all();
  }
  // Returns once the time is not `now` any more.
  void WaitWhile(Duration now) const { ms_.wait(now.count()); }

 private:
  std::atomic<int64_t> ms_{0};
};

// The broker and the clients' insides: everything that is not heartbeatd. One thread at a time.
class Outside final : public Surroundings {
 public:
  explicit Outside(uint64_t seed)
      : random_(seed),
        broker_({.partitions = kPartitions,
                 .topics = {"alerts", "dead", "changelog", "events"},
                 .session_timeout = std::chrono::seconds(6),
                 .rebalance_timeout = std::chrono::seconds(10),
                 .transaction_timeout = std::chrono::seconds(8)},
                clock_),
        workload_({.partitions = kPartitions}, &random_),
        oracle_(kPartitions) {}

  std::unique_lock<std::mutex> Lock() { return std::unique_lock(mutex_); }
  [[nodiscard]] const SharedClock& clock() const { return clock_; }

  // All below: only with the lock.
  Broker& broker() { return broker_; }
  void Join(Member* member) { members_.push_back(member); }
  void Leave(Member* member) { std::erase(members_, member); }
  void Heal() { healing_ = true; }
  void Advance(Duration d) { clock_.Advance(d); }

  void Send(int count) {
    for (; count > 0; --count) {
      const Message message = workload_.Next(clock_.Now());
      oracle_.Apply(message, Append(message), clock_.Now());
    }
  }
  void SendLastTicks() {
    for (int32_t p = 0; p < kPartitions; ++p) Append(workload_.LastTick(0, p));
  }
  [[nodiscard]] bool AllConsumed() {
    if (broker_.HasOpenTransactions()) return false;
    for (int32_t p = 0; p < kPartitions; ++p) {
      const TopicPartition at{"events", p};
      if (broker_.CommittedOffset(at).offset.value_or(0) < broker_.log(at).end()) return false;
    }
    return true;
  }
  EventTime End() const { return workload_.End(); }
  Outcome Expected() { return oracle_.Finish(End()); }

  void Pass(std::string_view /*place*/) override {
    clock_.Advance(Duration(random_.Between(0, 2)));
    for (Member* member : members_) member->Background();
    broker_.Tick(&random_);
  }
  bool Fails(std::string_view /*place*/) override {
    return !healing_ && random_.OneIn(kFaultOnceIn);
  }
  [[nodiscard]] bool Dead() const override { return false; }
  Random& random() override { return random_; }

 private:
  int64_t Append(const Message& message) {
    Entry entry{.value = message.payload};
    if (!message.key.empty()) entry.key = message.key;
    return broker_.log({"events", message.partition}).Append(std::move(entry));
  }

  std::mutex mutex_;
  SharedClock clock_;
  Random random_;
  Broker broker_;
  Workload workload_;
  Oracle oracle_;
  std::vector<Member*> members_;
  bool healing_ = false;
};

// A source behind the lock.
class LockedSource final : public EventSource {
 public:
  LockedSource(EventSource& inner, Outside& outside) : inner_(inner), outside_(outside) {}

  Polled Poll(Duration timeout) override {
    const auto lock = outside_.Lock();
    return inner_.Poll(timeout);
  }
  Status Start(const std::vector<Position>& positions) override {
    const auto lock = outside_.Lock();
    return inner_.Start(positions);
  }
  Status Stop() override {
    const auto lock = outside_.Lock();
    return inner_.Stop();
  }
  Result<std::vector<std::optional<int64_t>>> CommittedOffsets(
      const std::vector<TopicPartition>& of, Duration timeout) override {
    const auto lock = outside_.Lock();
    return inner_.CommittedOffsets(of, timeout);
  }
  Result<std::vector<OffsetRange>> Offsets(const std::vector<TopicPartition>& of,
                                           Duration timeout) override {
    const auto lock = outside_.Lock();
    return inner_.Offsets(of, timeout);
  }
  std::optional<ConfirmedEnd> LatestEnd(const TopicPartition& of) override {
    const auto lock = outside_.Lock();
    return inner_.LatestEnd(of);
  }
  bool IsMember() override {
    const auto lock = outside_.Lock();
    return inner_.IsMember();
  }
  Status Reopen() override {
    const auto lock = outside_.Lock();
    return inner_.Reopen();
  }

 private:
  EventSource& inner_;
  Outside& outside_;
};

// A producer behind the lock.
class LockedCommitter final : public Committer {
 public:
  LockedCommitter(Committer& inner, Outside& outside) : inner_(inner), outside_(outside) {}

  Status Open() override {
    const auto lock = outside_.Lock();
    return inner_.Open();
  }
  TxResult Begin() override {
    const auto lock = outside_.Lock();
    return inner_.Begin();
  }
  TxResult Produce(const OutputRecord& record) override {
    const auto lock = outside_.Lock();
    return inner_.Produce(record);
  }
  TxResult Flush() override {
    const auto lock = outside_.Lock();
    return inner_.Flush();
  }
  std::optional<int64_t> ChangelogOffset(int32_t partition) override {
    const auto lock = outside_.Lock();
    return inner_.ChangelogOffset(partition);
  }
  TxResult SendOffsets(const std::vector<Position>& next,
                       const GroupGeneration& generation) override {
    const auto lock = outside_.Lock();
    return inner_.SendOffsets(next, generation);
  }
  TxResult Commit() override {
    const auto lock = outside_.Lock();
    return inner_.Commit();
  }
  TxResult Abort() override {
    const auto lock = outside_.Lock();
    return inner_.Abort();
  }

 private:
  Committer& inner_;
  Outside& outside_;
};

// One worker's thread with all that belongs to it alone.
class WorkerThread {
 public:
  WorkerThread(int number, Outside& outside, Metrics& metrics, Database& database)
      : outside_(outside),
        member_(fmt::format("w{}", number), outside.broker(), outside.clock(), outside),
        changelog_(outside.broker(), outside),
        producer_(fmt::format("w{}", number), "changelog", outside.broker(), outside),
        locked_member_(member_, outside),
        locked_changelog_(changelog_, outside),
        locked_producer_(producer_, outside),
        worker_({.name = fmt::format("w{}", number),
                 .shard = {.topics = {"events"},
                           .rules = Rules(),
                           .time_source = TimeSource::kEvent,
                           .outage = {.after = OutagePolicy::kOff}},
                 .restore = {.topics = {"events"}, .changelog = "changelog", .cluster_id = "c"},
                 .topics = {.alerts = "alerts", .dead_letters = "dead", .changelog = "changelog"},
                 .commits = {.events_max = 50},
                 .write_behind = {.interval = std::chrono::milliseconds(300),
                                  .interval_max = std::chrono::seconds(1),
                                  .store_flush_interval = std::chrono::seconds(1)},
                 .cache_bytes_max = 4096},
                {.clock = outside.clock(),
                 .metrics = metrics,
                 .input = locked_member_,
                 .changelog = locked_changelog_,
                 .committer = locked_producer_,
                 .open_store = [&database](int32_t p) { return database.OpenShard(p); }}) {
    member_.topics = {"events"};
    const auto lock = outside_.Lock();
    outside_.Join(&member_);
  }
  ~WorkerThread() {
    const auto lock = outside_.Lock();
    outside_.Leave(&member_);
  }
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  void Start() {
    thread_ = std::thread([this] { Run(); });
  }
  // As SIGTERM does.
  void Stop() {
    stop_ = true;
    thread_.join();
    // Three times fenced within a minute: the process ends, to be started again.
    if (!status_ && status_.error().code != ExitCode::kTemporary)
      Die("a worker gave up: " + status_.error().message);
  }
  // The worker has ended by itself.
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  void Run() {
    while (status_ && !stop_) status_ = worker_.Step(kPollWait);
    if (status_) status_ = worker_.Stop();
    ended_ = true;
    const auto lock = outside_.Lock();
    outside_.Advance(Duration(1));  // wakes whoever waits for time that no worker moves any more
  }

  Outside& outside_;
  Member member_;
  ChangelogReader changelog_;
  Producer producer_;
  LockedSource locked_member_;
  LockedSource locked_changelog_;
  LockedCommitter locked_producer_;
  Worker worker_;
  Status status_;  // the thread's, until it is joined
  std::atomic<bool> stop_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

class Process {
 public:
  Process(uint64_t seed, const std::string& directory)
      : outside_(seed), random_(seed + 1), workers_(kWorkers) {
    Result<std::unique_ptr<Database>> opened = Database::Open({.directory = directory});
    if (!opened) Die(opened.error().message);
    database_ = std::move(*opened);
  }

  std::vector<std::string> Run() {
    std::atomic<bool> over{false};
    std::thread reader([&] {
      while (!over) {
        const std::string text = metrics_.Text();
        if (!text.empty() && !text.starts_with("# HELP ")) Die("no metrics: " + text);
      }
    });
    Churn();
    const bool consumed = Finish();
    for (std::unique_ptr<WorkerThread>& worker : workers_) End(&worker);
    over = true;
    reader.join();
    if (!consumed) return {"not everything was consumed"};
    return Judge();
  }

 private:
  // Messages come, workers come and go; one always stays, for without one no time passes.
  void Churn() {
    for (int sent = 0; sent < kMessages;) {
      const int count = static_cast<int>(random_.Between(1, 20));
      {
        const auto lock = outside_.Lock();
        outside_.Send(count);
      }
      sent += count;
      if (random_.OneIn(3)) {
        std::unique_ptr<WorkerThread>& worker =
            workers_[1 + random_.Below(static_cast<uint64_t>(kWorkers - 1))];
        if (worker) {
          End(&worker);
        } else {
          Begin(&worker);
        }
      }
      Pause(Duration(random_.Between(1, 2500)), 1);
    }
  }

  // Nothing goes wrong any more, and all workers run until everything is consumed.
  bool Finish() {
    {
      const auto lock = outside_.Lock();
      outside_.Heal();
      outside_.SendLastTicks();
    }
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (std::chrono::steady_clock::now() < deadline) {
      Pause(std::chrono::milliseconds(100), kWorkers);
      const auto lock = outside_.Lock();
      if (outside_.AllConsumed()) return true;
    }
    return false;
  }

  // Lets time pass, and keeps the first `count` workers running meanwhile.
  void Pause(Duration d, int count) {
    const SharedClock& clock = outside_.clock();
    const Duration until = clock.Monotonic() + d;
    for (Duration now = clock.Monotonic(); now < until; now = clock.Monotonic()) {
      KeepAlive(count);
      clock.WaitWhile(now);
    }
  }
  // As whatever runs the daemon does.
  void KeepAlive(int count) {
    for (int i = 0; i < kWorkers; ++i) {
      std::unique_ptr<WorkerThread>& worker = workers_[static_cast<size_t>(i)];
      if (worker && worker->ended()) End(&worker);
      if (i < count && !worker) Begin(&worker);
    }
  }
  void Begin(std::unique_ptr<WorkerThread>* worker) {
    const auto number = static_cast<int>(worker - workers_.data());
    *worker = std::make_unique<WorkerThread>(number, outside_, metrics_, *database_);
    (*worker)->Start();
  }
  static void End(std::unique_ptr<WorkerThread>* worker) {
    if (!*worker) return;
    (*worker)->Stop();
    worker->reset();
  }

  std::vector<std::string> Judge() {
    const auto lock = outside_.Lock();
    const Outcome expected = outside_.Expected();
    const Outcome seen = SeenIn(outside_.broker().logs(), outside_.End());
    std::vector<std::string> complaints = DifferentRecords(expected, seen);
    for (std::string& difference : DifferentStates(expected, seen))
      complaints.push_back(std::move(difference));
    for (int32_t p = 0; p < kPartitions; ++p) JudgeStore(p, seen, &complaints);
    if (expected.alerts.empty()) complaints.emplace_back("a life without any alert");
    return complaints;
  }

  // What the local store holds of a shard that was saved at the end is what the changelog says.
  void JudgeStore(int32_t partition, const Outcome& seen, std::vector<std::string>* complaints) {
    const auto store = database_->OpenShard(partition);
    if (!store) Die(store.error().message);
    const auto record = (*store)->LocalMeta();
    const auto customers = (*store)->Customers("", SIZE_MAX);
    if (!record || !customers) Die("the local store cannot be read");
    const int64_t end = outside_.broker().log({"changelog", partition}).end();
    if (!*record || DecodeLocalMeta(**record)->synced.position < end - 1) return;
    std::map<std::string, std::string> states;
    for (const auto& [customer, value] : *customers)
      states[customer] = CustomerTable::ParseStored(value)->encoded;
    if (states != seen.states.at(partition))
      complaints->push_back(
          fmt::format("the local store of partition {} is not as the changelog", partition));
  }

  Outside outside_;
  Random random_;  // of this thread
  Metrics metrics_;
  std::unique_ptr<Database> database_;
  std::vector<std::unique_ptr<WorkerThread>> workers_;
};

int Main(int argc, char** argv) {
  CLI::App app("Production workers in threads, over one simulated broker");
  uint64_t seed = std::random_device()();
  app.add_option("--seed", seed, "What happens; default: something new");
  CLI11_PARSE(app, argc, argv);
  // What is logged is formatted, though nobody reads it.
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("none", std::make_shared<spdlog::sinks::null_sink_mt>()));
  std::string directory = std::filesystem::temp_directory_path() / "heartbeatd-threads-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) Die("no folder for temporary files");
  const std::vector<std::string> complaints = Process(seed, directory).Run();
  std::filesystem::remove_all(directory);
  fmt::print("seed {}: {}\n", seed, complaints.empty() ? "all is well" : "failed");
  for (const std::string& complaint : complaints) fmt::print("  {}\n", complaint);
  return complaints.empty() ? 0 : 1;
}

}  // namespace
}  // namespace heartbeatd::sim

int main(int argc, char** argv) { return heartbeatd::sim::Main(argc, argv); }
