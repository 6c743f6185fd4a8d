#include "simulation/machine.h"

#include <spdlog/spdlog.h>

#include "faulty/fault.h"

namespace heartbeatd::sim {
namespace {

constexpr Duration kPollWait = std::chrono::milliseconds(20);
constexpr Duration kSecond = std::chrono::seconds(1);
constexpr Duration kSlowWrite = std::chrono::seconds(4);

}  // namespace

struct World::Machine::Process {
  Member input;
  ChangelogReader changelog;
  Producer committer;
  std::unique_ptr<Worker> worker;
};

void World::Machine::Start() {
  spdlog::info("{} starts", name_);
  World& world = world_;
  dead_ = false;
  process_ = std::make_shared<Process>(
      Process{.input = Member(name_, world.broker_, world.clock_, *this),
              .changelog = ChangelogReader(world.broker_, *this),
              .committer = Producer(name_, "changelog", world.broker_, *this)});
  process_->input.topics = world.shape_.topics;
  WorkerOptions options{
      .name = name_,
      .shard = {.topics = world.shape_.topics,
                .rules = Rules(),
                .time_source = world.shape_.time_source,
                .delay = Duration(world.random_.OneIn(2) ? 0 : 1000),
                .outage = {.after = OutagePolicy::kOff}},
      .restore = {.topics = world.shape_.topics,
                  .changelog = "changelog",
                  .cluster_id = "cluster",
                  .delete_retention = World::kDeleteRetention},
      .topics = {.alerts = "alerts", .dead_letters = "dead", .changelog = "changelog"},
      .commits = {.events_max = world.random_.OneIn(2) ? size_t{20'000} : size_t{7}},
      .write_behind = {.interval = std::chrono::milliseconds(300),
                       .interval_max = kSecond,
                       .unsaved_max = world.random_.OneIn(2) ? size_t{50'000} : size_t{3},
                       .store_flush_interval = kSecond},
      // Sometimes so little that every customer is read from the disk again.
      .cache_bytes_max = world.random_.OneIn(2) ? size_t{64} << 20 : size_t{4096},
      .commit_tail = CommitTail::Where::kNextLook};
  process_->worker = std::make_unique<Worker>(
      std::move(options),
      WorkerParts{.clock = world.clock_,
                  .metrics = world.metrics_,
                  .input = process_->input,
                  .changelog = process_->changelog,
                  .committer = process_->committer,
                  .open_store = [this](int32_t partition) {
                    return Result<std::unique_ptr<Store>>(disk_.Open(partition, this));
                  }});
}

template <typename Call>
void World::Machine::Do(const Call& call) {
  busy_ = true;
  fault::SetHook([this](std::string_view place) {
    Pass(place);
    return !dead_ && Fails(place);
  });
  Status status;
  try {
    status = call(&*process_->worker);
  } catch (const Killed&) {
    Kill();
  }
  fault::SetHook({});
  busy_ = false;
  if (status) return;
  spdlog::info("{} ends with {}: {}", name_, static_cast<int>(status.error().code),
               status.error().message);
  ++world_.tally_.exits;
  if (status.error().code != ExitCode::kTemporary)
    world_.Complain(name_ + " gave up: " + status.error().message);
  Kill();
}

void World::Machine::Step() {
  const bool was_ready = process_->worker->IsReady();
  Do([](Worker* worker) { return worker->Step(kPollWait); });
  if (Runs() && !was_ready && process_->worker->IsReady())
    world_.JudgeReady(name_, *process_->worker);
}

void World::Machine::Stop() {
  slow_ = !world_.healing_ && world_.random_.OneIn(3);
  Do([](Worker* worker) { return worker->Stop(); });
  slow_ = false;
  if (!Runs()) return;
  spdlog::info("{} stops", name_);
  dead_ = true;  // a store that is closed in good order loses nothing
  process_.reset();
}

void World::Machine::Kill() {
  dead_ = true;
  process_.reset();
  disk_.Crash(&world_.random_);
}

const Worker* World::Machine::worker() const { return Runs() ? &*process_->worker : nullptr; }

void World::Machine::Background() {
  if (Runs() && !frozen_ && !dead_) process_->input.Background();
}

void World::Machine::Pass(std::string_view place) {
  if (dead_) return;
  World& world = world_;
  ++world.tally_.calls;
  world.Advance(Duration(world.random_.Between(0, 2)));
  if (slow_ && place == "store.write") world.Advance(kSlowWrite);
  if (world.healing_) return;
  if (world.random_.OneIn(world.temper_.kill)) {
    spdlog::info("{} is killed at {}", name_, place);
    ++world.tally_.kills;
    dead_ = true;
    throw Killed{};
  }
  // The worst moment to freeze at: all is decided and nothing is sent.
  const uint64_t rarer = place == "begin" ? 10 : 1;
  const bool freeze = world.random_.OneIn(world.temper_.freeze / rarer);
  if (!freeze && !world.random_.OneIn(world.temper_.overtake)) return;
  // The hook is this process's; while others act it is theirs.
  if (freeze) {
    spdlog::info("{} freezes at {}", name_, place);
    ++world.tally_.freezes;
    frozen_ = true;
    if (world.random_.OneIn(2)) world.Advance(World::kSessionTimeout + kSecond);
  }
  for (uint64_t n = world.random_.Below(freeze ? 200 : 10); n > 0; --n) world.Act();
  frozen_ = false;
  fault::SetHook([this](std::string_view at) {
    Pass(at);
    return !dead_ && Fails(at);
  });
  if (freeze) spdlog::info("{} goes on at {}", name_, place);
}

bool World::Machine::Fails(std::string_view place) {
  if (dead_ || world_.healing_ || !world_.random_.OneIn(world_.temper_.fail)) return false;
  spdlog::info("{}: {} fails", name_, place);
  ++world_.tally_.faults;
  return true;
}

}  // namespace heartbeatd::sim
