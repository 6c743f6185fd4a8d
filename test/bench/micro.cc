// The parts of an event's way, one by one, over customers with half a year behind them. The
// argument is the rule set (0: test/bench/two.yaml, 1: config/e-commerce.yaml), or, of timers, how
// many there are. Run: ./dev build && build/release/bin/micro
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "customer/codec.h"
#include "daemon/config.h"
#include "event/decoder.h"
#include "shard/evaluator.h"
#include "shard/timers.h"
#include "store/memory_store.h"

namespace heartbeatd {
namespace {

constexpr int kCustomers = 1000;
constexpr int kEventsEach = 20;
constexpr int64_t kStartMs = 1'751'328'000'000;  // 2025-07-01
constexpr int64_t kSpanMs = 180LL * 86'400'000;

std::shared_ptr<const RuleSet> Rules(int64_t which) {
  const char* const files[] = {"test/bench/two.yaml", "config/e-commerce.yaml"};
  const std::string file = fmt::format("{}/{}", HEARTBEATD_SOURCE, files[which]);
  Result<LoadedConfig> config = LoadConfig({file}, ConfigUse::kBacktest);
  if (!config) throw std::runtime_error(config.error().message);
  return config->rules;
}

// Messages of the benchmark's kind, in order of time.
std::vector<std::string> Messages() {
  std::mt19937_64 random(1);
  std::vector<std::string> out;
  constexpr int kAll = kCustomers * kEventsEach;
  for (int i = 0; i < kAll; ++i) {
    const EventTime at(kStartMs + kSpanMs / kAll * i);
    out.push_back(fmt::format(
        R"({{"event_id":"g{:09}","type":"{}","customer_id":"c{:07}","timestamp":"{}","amount":{}.50,"currency":"EUR",)"
        R"("properties":{{"channel":"web","category":"k{}"}}}})",
        i, random() % 10 < 6 ? "purchase" : "login", random() % kCustomers, FormatRfc3339(at),
        random() % 100, random() % 5));
  }
  return out;
}

// Customers who have lived through all messages.
struct World {
  explicit World(int64_t which)
      : rules(Rules(which)),
        evaluator(*rules),
        decoder(rules->schema, rules->currency),
        codec(*rules) {
    states.assign(kCustomers, evaluator.NewState());
    for (const std::string& message : Messages()) {
      Event event;
      if (decoder.Decode(message, &event)) continue;
      Apply(event);
    }
  }

  void Apply(const Event& event) {
    CustomerState& state = states[std::stoul(event.customer_id.substr(1))];
    while (state.Due() <= event.time) {
      const EventTime due = state.Due();
      evaluator.OnTimer(event.customer_id, due, due, &state, &alerts);
    }
    evaluator.OnEvent(event.customer_id, event, event.time, event.time, &state, &alerts);
    alerts.clear();
  }

  std::shared_ptr<const RuleSet> rules;
  Evaluator evaluator;
  EventDecoder decoder;
  CustomerCodec codec;
  std::vector<CustomerState> states;
  std::vector<OutgoingAlert> alerts;
};

void Decode(benchmark::State& run) {
  World world(run.range(0));
  const std::vector<std::string> messages = Messages();
  Event event;
  size_t i = 0;
  for ([[maybe_unused]] auto _ : run) {
    benchmark::DoNotOptimize(world.decoder.Decode(messages[i], &event));
    i = (i + 1) % messages.size();
  }
  run.SetItemsProcessed(run.iterations());
}

// Apply to the measures and the life cycle, evaluate what that concerns, with the deadlines on the
// way.
void ApplyAndEvaluate(benchmark::State& run) {
  World world(run.range(0));
  Event event;
  const std::vector<std::string> messages = Messages();
  size_t i = 0;
  int64_t round = 1;
  for ([[maybe_unused]] auto _ : run) {
    run.PauseTiming();
    (void)world.decoder.Decode(messages[i], &event);
    event.time = event.time + Duration(round * kSpanMs);
    event.id_hash += static_cast<uint64_t>(round);
    run.ResumeTiming();
    world.Apply(event);
    if (++i == messages.size()) {
      i = 0;
      ++round;
    }
  }
  run.SetItemsProcessed(run.iterations());
}

void EncodeState(benchmark::State& run) {
  World world(run.range(0));
  size_t i = 0;
  size_t all = 0;
  for ([[maybe_unused]] auto _ : run) {
    all += world.codec.Encode(world.states[i]).size();
    i = (i + 1) % world.states.size();
  }
  run.SetItemsProcessed(run.iterations());
  run.SetBytesProcessed(static_cast<int64_t>(all));
}

void DecodeState(benchmark::State& run) {
  World world(run.range(0));
  std::vector<std::string> encoded;
  for (const CustomerState& state : world.states) encoded.emplace_back(world.codec.Encode(state));
  CustomerState state;
  size_t i = 0;
  for ([[maybe_unused]] auto _ : run) {
    benchmark::DoNotOptimize(world.codec.Decode(encoded[i], &state));
    i = (i + 1) % encoded.size();
  }
  run.SetItemsProcessed(run.iterations());
}

// A deadline is taken away and put back later, among as many as the argument says.
void Timers(benchmark::State& run) {
  const auto store = MakeMemoryStore();
  TimerIndex index(*store, [](const Timer&) { return false; }, SIZE_MAX);
  std::mt19937_64 random(1);
  for (int64_t i = 0; i < run.range(0); ++i)
    index.Add(
        {EventTime(static_cast<int64_t>(random() % 1'000'000'000)), fmt::format("c{:07}", i)});
  for ([[maybe_unused]] auto _ : run) {
    const auto first = index.First(EventTime::Never());
    Timer timer = **first;
    index.Remove(timer);
    timer.due = timer.due + Duration(static_cast<int64_t>(random() % 1'000'000'000));
    index.Add(std::move(timer));
  }
  run.SetItemsProcessed(run.iterations());
}

BENCHMARK(Decode)->Arg(0)->Arg(1);
BENCHMARK(ApplyAndEvaluate)->Arg(0)->Arg(1);
BENCHMARK(EncodeState)->Arg(0)->Arg(1);
BENCHMARK(DecodeState)->Arg(0)->Arg(1);
BENCHMARK(Timers)->Arg(10'000)->Arg(1'000'000);

}  // namespace
}  // namespace heartbeatd

BENCHMARK_MAIN();
