// The daemon's configuration: files, preset and rule files merged into one effective tree, and what
// the daemon itself reads of it. docs: config/heartbeatd.yaml names every key.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/node.h"
#include "base/time.h"
#include "rules/ruleset.h"
#include "shard/shard.h"

namespace heartbeatd {

struct DaemonConfig {
  struct Kafka {
    std::string brokers;
    Duration startup_timeout = std::chrono::seconds(60);
    Duration session_timeout = std::chrono::seconds(45);
    std::map<std::string, std::string> properties;  // any of librdkafka's
  };
  struct Input {
    std::vector<std::string> topics;
    EventFormat format = FlatFormat();
    bool from_latest = false;  // where a partition that nobody has read yet begins
  };
  struct Output {
    std::string alerts = "customer-alerts";
    std::string dead_letters = "customer-events-dlq";
    bool dead_letter_payload = false;
    std::string changelog;  // default: <app>-changelog
  };

  std::string app = "heartbeatd";
  std::optional<std::string> instance;  // default: an id kept in the state directory
  int workers = 0;                      // default: two for each core
  Kafka kafka;
  Input input;
  Output output;
  bool create_topics = true;
  std::string state_directory = "/var/lib/heartbeatd";
  Duration flush_interval = std::chrono::seconds(5);
  size_t memory_bytes = 512u << 20;
  Duration commit_interval = std::chrono::milliseconds(100);
  size_t commit_max_events = 20'000;
  TimeSource time_source = TimeSource::kWall;
  Duration time_delay = std::chrono::seconds(10);
  Duration future_skew = std::chrono::minutes(5);
  OutagePolicy outage;
  std::optional<std::string> http_listen = "127.0.0.1:9464";  // absent: off
};

struct LoadedConfig {
  // For people, as a file that says the same in any directory: variables stand as they were
  // written, so that no secret shows.
  Node effective;
  DaemonConfig daemon;
  std::shared_ptr<const RuleSet> rules;
  std::vector<std::string> warnings;
};

enum class ConfigUse : uint8_t {
  kRun,       // brokers and input topics must be there
  kBacktest,  // only what is watched matters
};

// Loads and checks the files; later ones override earlier ones, and `overlay`, a tree that stands
// in some other file, overrides them all. Error: all mistakes, one a line, each as
// file:line:column: message; exit code kConfig.
Result<LoadedConfig> LoadConfig(const std::vector<std::string>& files, ConfigUse use,
                                const Node* overlay = nullptr);

// The names of the built-in presets.
std::vector<std::string> PresetNames();

}  // namespace heartbeatd
