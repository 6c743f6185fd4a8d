// Configurations: any text is a tree that prints and loads again, or refused with a place; a tree
// is a daemon's configuration, or refused with places; and the rules of an accepted one can be
// lived by.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "fuzz/fuzz.h"
#include "rules/yaml.h"
#include "shard/shard.h"
#include "store/memory_store.h"

namespace {

using namespace heartbeatd;
using fuzz::Require;

constexpr WallTime kNow{1'767'225'600'000};  // 2026-01-01
constexpr size_t kUnitsMax = 500;

bool Same(const Node& a, const Node& b) {
  const auto same_entry = [](const Node::Entry& x, const Node::Entry& y) {
    return x.key == y.key && Same(x.value, y.value);
  };
  return a.kind == b.kind && a.scalar == b.scalar &&
         std::equal(a.list.begin(), a.list.end(), b.list.begin(), b.list.end(), Same) &&
         std::equal(a.map.begin(), a.map.end(), b.map.begin(), b.map.end(), same_entry);
}

// Names other files, which would make a run depend on the machine.
bool ReachesOut(const Node& node) {
  if (node.scalar.find("${") != std::string::npos ||
      node.scalar.find("plugin") != std::string::npos)
    return true;
  return std::any_of(node.list.begin(), node.list.end(), ReachesOut) ||
         std::any_of(node.map.begin(), node.map.end(), [](const Node::Entry& entry) {
           return entry.key == "rule_files" || entry.key == "model" || entry.key == "properties" ||
                  ReachesOut(entry.value);
         });
}

void CheckPlaces(const std::string& errors) {
  Require(!errors.empty(), "a refusal says why");
  for (size_t begin = 0; begin != std::string::npos && begin < errors.size();) {
    const std::string_view line = std::string_view(errors).substr(begin);
    Require(line.starts_with("fuzz.yaml:"), "a mistake has a place");
    const size_t end = errors.find("\nfuzz.yaml:", begin);
    begin = end == std::string::npos ? end : end + 1;
  }
}

// An event that the rules may care for: of one of their types, with all of their properties.
std::string PayloadOf(const EventSchema& schema, size_t i, int64_t ms) {
  nlohmann::json event = {{"event_id", i},
                          {"customer_id", fmt::format("c{}", i % 2)},
                          {"type", "purchase"},
                          {"timestamp", ms},
                          {"amount", i}};
  if (i % 3 != 0 && !schema.types().empty())
    event["type"] = schema.types()[i % schema.types().size()];
  for (const std::string& property : schema.properties()) event["properties"][property] = i % 5;
  return event.dump();
}

// Two customers' year under these rules, in few steps.
void Live(const std::shared_ptr<const RuleSet>& rules) {
  constexpr int64_t kGapMs[] = {0, 40'000, 3'600'000, kMsPerDay, 5 * kMsPerDay};
  constexpr size_t kEvents = 24;
  int64_t ms = kNow.ms() - 360 * kMsPerDay;
  std::vector<std::string> payloads;
  for (size_t i = 0; i < kEvents; ++i) {
    ms += kGapMs[i % std::size(kGapMs)];
    payloads.push_back(PayloadOf(rules->schema, i, ms));
  }
  Shard shard({.topics = {"events"}, .rules = rules, .time_source = TimeSource::kEvent},
              MakeMemoryStore(), ShardMeta{});
  for (size_t i = 0; i < kEvents; ++i) {
    shard.Offer(0, {.topic = "events", .offset = static_cast<int64_t>(i), .payload = payloads[i]},
                {.wall = kNow});
    Require(shard.Step(kUnitsMax, kNow).has_value(), "an event is applied");
  }
  Require(shard.AdvanceTo(AsEventTime(kNow), kUnitsMax).has_value(), "time goes on");
  for (size_t i = 0; const auto change = shard.customers().Uncommitted(i); ++i)
    Require(change->value.has_value(), "a customer is encoded");
  shard.OnProduced();
  shard.OnCommitted();
  Require(shard.Save({1, kNow}, "cluster").has_value(), "the shard is saved");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Result<Node> node = LoadYamlText(fuzz::TextOf(data, size), "fuzz.yaml");
  if (!node) {
    Require(node.error().code == ExitCode::kConfig, "a bad file ends with its own exit code");
    CheckPlaces(node.error().message);
    return 0;
  }
  const std::string printed = PrintYaml(*node);
  if (printed.size() <= kYamlFileBytesMax) {
    const Result<Node> again = LoadYamlText(printed, "fuzz.yaml");
    Require(again && Same(*node, *again), "a printed tree loads back");
  }
  if (ReachesOut(*node)) return 0;
  for (const ConfigUse use : {ConfigUse::kRun, ConfigUse::kBacktest}) {
    const Result<LoadedConfig> config = LoadConfig({}, use, &*node);
    if (!config) {
      CheckPlaces(config.error().message);
    } else if (use == ConfigUse::kBacktest) {
      Live(config->rules);
    }
  }
  return 0;
}
