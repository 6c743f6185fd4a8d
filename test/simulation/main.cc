// Seeded worlds: production workers over a simulated broker, disks and clock.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "faulty/fault.h"
#include "simulation/world.h"

namespace {

using heartbeatd::sim::Tally;
using heartbeatd::sim::World;

struct Failure {
  uint64_t seed;
  std::vector<std::string> complaints;
};

class Runner {
 public:
  Runner(uint64_t first, uint64_t seeds, std::string mutant, bool stop_early)
      : next_(first), end_(first + seeds), mutant_(std::move(mutant)), stop_early_(stop_early) {}

  void Run(unsigned threads) {
    std::vector<std::thread> all;
    for (unsigned i = 0; i < threads; ++i) all.emplace_back([this] { Work(); });
    for (std::thread& thread : all) thread.join();
    std::sort(failures_.begin(), failures_.end(),
              [](const Failure& a, const Failure& b) { return a.seed < b.seed; });
  }

  [[nodiscard]] const std::vector<Failure>& failures() const { return failures_; }
  [[nodiscard]] const Tally& tally() const { return tally_; }
  [[nodiscard]] uint64_t worlds() const { return worlds_; }

 private:
  void Work() {
    heartbeatd::fault::SetMutant(mutant_);
    while (!(stop_early_ && failed_)) {
      const uint64_t seed = next_++;
      if (seed >= end_) return;
      World world(seed);
      std::vector<std::string> complaints = world.Run();
      const std::lock_guard lock(mutex_);
      ++worlds_;
      tally_.Add(world.tally());
      if (complaints.empty()) continue;
      failed_ = true;
      failures_.push_back({seed, std::move(complaints)});
    }
  }

  std::atomic<uint64_t> next_;
  const uint64_t end_;
  const std::string mutant_;
  const bool stop_early_;
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::vector<Failure> failures_;
  Tally tally_;
  uint64_t worlds_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Production workers in simulated worlds, each decided by its seed");
  uint64_t first = 1;
  uint64_t seeds = 10'000;
  uint64_t seed = 0;
  std::string mutant;
  app.add_option("--seeds", seeds, "How many")->capture_default_str();
  app.add_option("--first", first, "The first one")->capture_default_str();
  CLI::Option* const replay = app.add_option("--seed", seed, "Only this one, telling what happens");
  app.add_option("--mutant", mutant, "Make this mistake: then a world has to fail");
  CLI11_PARSE(app, argc, argv);

  const bool one = replay->count() > 0;
  spdlog::set_level(one ? spdlog::level::debug : spdlog::level::off);
  spdlog::set_pattern("%v");
  Runner runner(one ? seed : first, one ? 1 : seeds, mutant, !mutant.empty());
  runner.Run(one ? 1 : std::max(1u, std::thread::hardware_concurrency()));

  const Tally& t = runner.tally();
  fmt::print(
      "{} worlds: {} messages, {} alerts, {} timers on disks; {} calls to the outside, {} kills, "
      "{} freezes, {} faults, {} exits, {} aborted upstream transactions\n",
      runner.worlds(), t.messages, t.alerts, t.timers, t.calls, t.kills, t.freezes, t.faults,
      t.exits, t.upstream_aborts);
  constexpr size_t kShown = 3;
  for (size_t i = 0; i < std::min(kShown, runner.failures().size()); ++i) {
    const Failure& failure = runner.failures()[i];
    fmt::print("seed {} fails (simulation --seed {}{}):\n", failure.seed, failure.seed,
               mutant.empty() ? "" : " --mutant " + mutant);
    for (const std::string& complaint : failure.complaints) fmt::print("  {}\n", complaint);
  }
  if (runner.failures().size() > kShown)
    fmt::print("and {} more seeds\n", runner.failures().size() - kShown);
  if (mutant.empty()) return runner.failures().empty() ? 0 : 1;
  fmt::print("the mistake '{}' {}\n", mutant,
             runner.failures().empty() ? "went unnoticed" : "was noticed");
  return runner.failures().empty() ? 1 : 0;
}
