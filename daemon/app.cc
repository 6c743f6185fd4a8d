#include "daemon/app.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/duration.h"
#include "base/settled_clock.h"
#include "daemon/config.h"
#include "daemon/http/server.h"
#include "daemon/state_directory.h"
#include "kafka/admin.h"
#include "kafka/committer.h"
#include "kafka/prober.h"
#include "kafka/source.h"
#include "metrics/metrics.h"
#include "shard/worker.h"
#include "store/rocks_store.h"

namespace heartbeatd {
namespace {

constexpr Duration kPollWait = std::chrono::milliseconds(20);
constexpr Duration kStuckAfter = std::chrono::minutes(2);  // without a round: not alive

std::atomic<bool> g_stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler stores to it");

extern "C" void OnSignal(int) { g_stop.store(true); }

// How the memory budget is shared out, in bytes (docs/architecture.md, "Memory").
struct MemoryPlan {
  // The program, its threads and clients while nothing happens.
  static constexpr size_t kProgram = 64u << 20;
  // librdkafka counts keys and values only; with short messages its own records weigh twice as
  // much. Of the output the worker counts them itself.
  static constexpr size_t kPerQueuedByte = 3;
  // Of input and output queues together: more does not make a worker faster.
  static constexpr size_t kQueuesMax = 24u << 20;
  // What a changed customer or an alert takes in a transaction, with room to spare.
  static constexpr size_t kPerUnit = 512;

  size_t memtables;     // of all workers
  size_t block_cache;   // with the memtables
  size_t input_queue;   // of one worker, as librdkafka counts
  size_t output_queue;  // likewise, but with its own records
  size_t customers;     // of one worker, from here on
  size_t restore;
  size_t commit_events_max;

  MemoryPlan(size_t budget, size_t workers) {
    // A fifth is what the allocator holds back.
    const size_t usable = std::max(budget / 3, (budget - std::min(budget, kProgram)) / 5 * 4);
    block_cache = usable / 6;
    memtables = block_cache / 2;
    const size_t queues = std::min(usable / 4 / workers, kQueuesMax);
    input_queue = queues / 2 / kPerQueuedByte;
    output_queue = queues / 2;
    customers = (usable - block_cache) / workers - queues;
    restore = customers / 4 * 3;  // no customer is in memory then
    commit_events_max = std::max<size_t>(1000, output_queue / kPerUnit);
  }
};

// One worker's thread with all that belongs to it alone.
class WorkerThread {
 public:
  WorkerThread(WorkerOptions options, std::unique_ptr<EventSource> input,
               std::unique_ptr<EventSource> changelog, std::unique_ptr<Committer> committer,
               const Clock& clock, Metrics& metrics, StoreOpener open_store)
      : clock_(clock),
        input_(std::move(input)),
        changelog_(std::move(changelog)),
        committer_(std::move(committer)),
        worker_(std::move(options), WorkerParts{.clock = clock,
                                                .metrics = metrics,
                                                .input = *input_,
                                                .changelog = *changelog_,
                                                .committer = *committer_,
                                                .open_store = std::move(open_store)}) {}

  void Start(std::function<void(const Error&)> on_error) {
    last_round_ms_ = clock_.Monotonic().count();
    thread_ = std::thread([this, on_error = std::move(on_error)] { Run(on_error); });
  }
  void Join() { thread_.join(); }

  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] bool stuck() const {
    return clock_.Monotonic() - Duration(last_round_ms_.load()) > kStuckAfter;
  }

 private:
  void Run(const std::function<void(const Error&)>& on_error) {
    Status status;
    while (status && !g_stop) {
      status = worker_.Step(kPollWait);
      last_round_ms_ = clock_.Monotonic().count();
      ready_ = worker_.IsReady();
    }
    ready_ = false;
    if (status) status = worker_.Stop();
    worker_.Abandon();
    if (!status) on_error(status.error());
  }

  const Clock& clock_;
  std::unique_ptr<EventSource> input_;
  std::unique_ptr<EventSource> changelog_;
  std::unique_ptr<Committer> committer_;
  Worker worker_;
  std::thread thread_;
  std::atomic<bool> ready_{false};
  std::atomic<int64_t> last_round_ms_{0};
};

class Daemon {
 public:
  Daemon(const RunOptions& options, LoadedConfig config)
      : options_(options), config_(std::move(config)) {}

  Status Run() {
    const DaemonConfig& c = config_.daemon;
    Result<StateDirectory> directory = StateDirectory::Lock(c.state_directory);
    if (!directory) return std::unexpected(std::move(directory.error()));
    Result<std::string> instance =
        c.instance ? Result<std::string>(*c.instance) : directory->InstanceName();
    if (!instance) return std::unexpected(std::move(instance.error()));
    spdlog::info("heartbeatd: app {}, instance {}, {} workers, {} measures, {} rules", c.app,
                 *instance, c.workers, config_.rules->named_measures, config_.rules->rules.size());

    std::unique_ptr<HttpServer> http;
    if (c.http_listen) {
      Result<std::unique_ptr<HttpServer>> started =
          HttpServer::Start(*c.http_listen, {.metrics = metrics_,
                                             .live = [this] { return Live(); },
                                             .ready = [this] { return Ready(); }});
      if (!started) return std::unexpected(std::move(started.error()));
      http = std::move(*started);
      spdlog::info("metrics on port {}", http->port());
    }
    KafkaOptions kafka = KafkaFrom(c, *instance);
    for (const PropertyProblem& warning : PropertyWarnings(kafka.properties))
      spdlog::warn("kafka.properties.{}: {}", warning.key, warning.reason);
    Result<Prepared> prepared = ConnectAndPrepare(kafka, g_stop);
    if (!prepared) return g_stop ? Status() : Status(std::unexpected(std::move(prepared.error())));
    for (const std::string& topic : prepared->created) spdlog::info("created topic {}", topic);

    Result<std::shared_ptr<Prober>> prober = Prober::Make(kafka, settled_clock_);
    if (!prober) return std::unexpected(std::move(prober.error()));
    const MemoryPlan memory(c.memory_bytes, static_cast<size_t>(c.workers));
    Result<std::unique_ptr<Database>> database = Database::Open(
        {.directory = directory->DatabasePath(),
         .block_cache_bytes = memory.block_cache,
         .memtable_bytes = memory.memtables,
         .log = [](const std::string& line) { spdlog::debug("RocksDB: {}", line); }});
    if (!database) return std::unexpected(std::move(database.error()));
    database_ = std::move(*database);
    if (database_->was_damaged()) {
      spdlog::error("local state in {} was damaged: it is made anew from the changelog",
                    directory->DatabasePath());
    }

    for (int i = 0; i < c.workers; ++i) {
      kafka.worker = i;
      if (Status made = AddWorker(kafka, *prepared, memory, *prober); !made) return made;
    }
    return RunWorkers();
  }

 private:
  static KafkaOptions KafkaFrom(const DaemonConfig& c, const std::string& instance) {
    const MemoryPlan memory(c.memory_bytes, static_cast<size_t>(c.workers));
    KafkaOptions kafka;
    kafka.brokers = c.kafka.brokers;
    kafka.properties = c.kafka.properties;
    kafka.app = c.app;
    kafka.instance = instance;
    kafka.input_topics = c.input.topics;
    kafka.changelog_topic = c.output.changelog;
    kafka.output_topics = {c.output.alerts, c.output.dead_letters};
    kafka.session_timeout = c.kafka.session_timeout;
    kafka.startup_timeout = c.kafka.startup_timeout;
    kafka.create_topics = c.create_topics;
    kafka.input_queue_bytes = static_cast<int64_t>(memory.input_queue);
    kafka.restore_queue_bytes = static_cast<int64_t>(memory.input_queue);
    kafka.output_queue_bytes = static_cast<int64_t>(memory.output_queue);
    return kafka;
  }

  Status AddWorker(const KafkaOptions& kafka, const Prepared& prepared, const MemoryPlan& memory,
                   const std::shared_ptr<Prober>& prober) {
    const DaemonConfig& c = config_.daemon;
    WorkerOptions worker{
        .name = fmt::format("worker {}", kafka.worker),
        .shard = {.topics = c.input.topics,
                  .rules = config_.rules,
                  .format = config_.daemon.input.format,
                  .time_source = c.time_source,
                  .delay = c.time_delay,
                  .future_skew = c.future_skew,
                  .outage = c.outage},
        .restore = {.topics = c.input.topics,
                    .changelog = c.output.changelog,
                    .cluster_id = prepared.cluster_id,
                    .from_latest = c.input.from_latest,
                    .accept_lost_input = options_.accept_lost_input,
                    .delete_retention = prepared.changelog_delete_retention,
                    .buffer_bytes_max = memory.restore},
        .topics = {.alerts = c.output.alerts,
                   .dead_letters = c.output.dead_letters,
                   .changelog = c.output.changelog,
                   .dead_letter_payload = c.output.dead_letter_payload},
        .commits = {.interval = c.commit_interval,
                    .offset = c.commit_interval * kafka.worker / c.workers,
                    .events_max = std::min(c.commit_max_events, memory.commit_events_max),
                    .bytes_max = memory.output_queue},
        .write_behind = {.interval = c.flush_interval},
        .cache_bytes_max = memory.customers};
    Result<std::unique_ptr<EventSource>> input = MakeGroupSource(kafka, prober, clock_);
    if (!input) return std::unexpected(std::move(input.error()));
    Result<std::unique_ptr<EventSource>> changelog = MakeChangelogSource(kafka, prober);
    if (!changelog) return std::unexpected(std::move(changelog.error()));
    workers_.push_back(std::make_unique<WorkerThread>(
        std::move(worker), std::move(*input), std::move(*changelog), MakeCommitter(kafka), clock_,
        metrics_, [this](int32_t p) { return database_->OpenShard(p); }));
    return {};
  }

  Status RunWorkers() {
    std::mutex mutex;
    std::optional<Error> first;  // guarded by mutex
    for (const auto& worker : workers_) {
      worker->Start([&](const Error& error) {
        const std::lock_guard lock(mutex);
        if (!first) first = error;
        g_stop = true;  // the others end too
      });
    }
    started_ = true;
    for (const auto& worker : workers_) worker->Join();
    spdlog::info("stopped");
    return first ? Status(std::unexpected(*first)) : Status();
  }

  Health Live() {
    for (const auto& worker : Workers()) {
      if (worker->stuck()) return {false, "a worker has not finished a round for too long"};
    }
    return {true, "ok"};
  }

  Health Ready() {
    if (!started_) return {false, "connecting to Kafka"};
    for (const auto& worker : Workers()) {
      if (!worker->ready()) return {false, "joining or restoring"};
    }
    return {true, "ok"};
  }

  // Complete and constant once started_ is set.
  [[nodiscard]] const std::vector<std::unique_ptr<WorkerThread>>& Workers() const {
    static const std::vector<std::unique_ptr<WorkerThread>> kNone;
    return started_ ? workers_ : kNone;
  }

  const RunOptions& options_;
  LoadedConfig config_;
  SystemClock system_clock_;
  // What moves the shards' clocks. Timestamps are judged by the later of both: a jump may be right.
  SettledClock settled_clock_{
      system_clock_, [](Duration by) {
        spdlog::warn("the machine's clock jumped by {:+} s: for {} time goes on as before",
                     by.count() / 1000, FormatDuration(SettledClock::kProbation));
      }};
  LaterClock clock_{system_clock_, settled_clock_};
  Metrics metrics_;
  std::unique_ptr<Database> database_;  // outlives the workers' stores
  std::vector<std::unique_ptr<WorkerThread>> workers_;
  std::atomic<bool> started_{false};
};

}  // namespace

Status RunDaemon(const RunOptions& options) {
  std::signal(SIGTERM, OnSignal);
  std::signal(SIGINT, OnSignal);
  std::signal(SIGPIPE, SIG_IGN);
  Result<LoadedConfig> config = LoadConfig(options.configs, ConfigUse::kRun);
  if (!config) return std::unexpected(std::move(config.error()));
  for (const std::string& warning : config->warnings) spdlog::warn("{}", warning);
  return Daemon(options, std::move(*config)).Run();
}

}  // namespace heartbeatd
