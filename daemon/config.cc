#include "daemon/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <glob.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <thread>
#include <utility>

#include "daemon/event_format.h"
#include "daemon/presets.h"
#include "kafka/client.h"
#include "rules/yaml.h"

namespace heartbeatd {
namespace {

constexpr int kWorkersMax = 64;

// "512MiB" and the like; 0 for anything else.
size_t ParseBytes(const std::string& text) {
  static constexpr std::pair<std::string_view, size_t> kUnits[] = {
      {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}};
  size_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc()) return 0;
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  for (const auto& [name, bytes] : kUnits) {
    if (unit == name && value < (size_t{1} << 20)) return value * bytes;
  }
  return 0;
}

std::vector<std::string> Glob(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> paths;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return paths;
}

// Reads the daemon's own sections.
class Reader {
 public:
  Reader(const Node& config, ConfigUse use, Findings& findings)
      : config_(config), use_(use), findings_(findings) {}

  DaemonConfig Run() {
    MapReader top(&config_, "the configuration", findings_);
    for (const std::string_view key : {"preset", "currency", "dedupe", "lifecycle", "value_tiers",
                                       "measures", "rules", "rule_files"})
      top.Has(key);
    out_.app = top.Text("app", out_.app);
    out_.instance = top.Text("instance");
    // Two for each core: a worker waits for its commits about as long as it works.
    const int fitting = 2 * std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    out_.workers =
        static_cast<int>(top.Integer("workers", std::min(fitting, kWorkersMax), 1, kWorkersMax));
    out_.create_topics = top.Flag("create_topics", true);
    if (const std::optional<std::string> memory = top.Text("memory")) {
      out_.memory_bytes = ParseBytes(*memory);
      if (out_.memory_bytes < (32u << 20))
        top.ErrorAt(
            "memory",
            fmt::format("'memory' must be 32MiB or more, written as 512MiB or 2GiB, not '{}'",
                        *memory));
    }
    ReadKafka(top.Child("kafka"));
    ReadInput(top.Child("input"));
    ReadOutput(top.Child("output"));
    ReadState(top.Child("state"));
    ReadCommit(top.Child("commit"));
    ReadTime(top.Child("time"));
    ReadHttp(top.Child("http"));
    top.Finish();
    CheckTopics();
    return out_;
  }

 private:
  void ReadKafka(const Node* node) {
    MapReader kafka(node, "'kafka'", findings_);
    if (use_ == ConfigUse::kRun) {
      if (node == nullptr) {
        findings_.Error(config_.place,
                        "'kafka.brokers' is missing: name the broker, as in kafka: {brokers: "
                        "\"127.0.0.1:9092\"}");
      } else {
        kafka.Required("brokers");
      }
    }
    out_.kafka.brokers = kafka.Text("brokers", "");
    out_.kafka.startup_timeout = kafka.Time("startup_timeout", out_.kafka.startup_timeout);
    out_.kafka.session_timeout = kafka.Time("session_timeout", out_.kafka.session_timeout);
    if (const Node* properties = kafka.Child("properties"); properties != nullptr) {
      if (properties->kind != Node::Kind::kMap)
        findings_.Error(properties->place,
                        "'properties' of 'kafka' must be a map of librdkafka's properties");
      for (const Node::Entry& entry : properties->map) {
        out_.kafka.properties[entry.key] = entry.value.scalar;
      }
      for (const PropertyProblem& problem : CheckProperties(out_.kafka.properties)) {
        const Node* value = properties->Find(problem.key);
        findings_.Error(value != nullptr ? value->place : properties->place,
                        fmt::format("librdkafka property '{}': {}", problem.key, problem.reason));
      }
    }
    kafka.Finish();
  }

  void ReadInput(const Node* node) {
    MapReader input(node, "'input'", findings_);
    if (use_ == ConfigUse::kRun) {
      if (node == nullptr) {
        findings_.Error(config_.place,
                        "'input.topics' is missing: name the topics with the events, as in input: "
                        "{topics: [customer-events]}");
      } else {
        input.Required("topics");
      }
    }
    out_.input.topics = input.Texts("topics");
    std::set<std::string> seen;
    for (const std::string& topic : out_.input.topics) {
      if (!seen.insert(topic).second)
        input.ErrorAt("topics", fmt::format("'topics' of 'input' names '{}' twice", topic));
    }
    if (use_ == ConfigUse::kRun && input.Has("topics") && out_.input.topics.empty())
      input.ErrorAt("topics", "'topics' of 'input' names no topic");
    out_.input.format = ReadEventFormat(input);
    out_.input.from_latest = input.Choice("start", {"earliest", "latest"}).value_or(0) == 1;
    input.Finish();
  }

  void ReadOutput(const Node* node) {
    MapReader output(node, "'output'", findings_);
    out_.output.alerts = output.Text("alerts", out_.output.alerts);
    out_.output.changelog = output.Text("changelog", out_.app + "-changelog");
    output.Choice("content_mode", {"structured"});
    MapReader dead(output.Child("dead_letter"), "'dead_letter' of 'output'", findings_);
    out_.output.dead_letters = dead.Text("topic", out_.output.dead_letters);
    out_.output.dead_letter_payload = dead.Flag("payload", false);
    dead.Finish();
    output.Finish();
  }

  void ReadState(const Node* node) {
    MapReader state(node, "'state'", findings_);
    out_.state_directory = state.Text("directory", out_.state_directory);
    out_.flush_interval = state.Time("flush_interval", out_.flush_interval);
    state.Finish();
  }

  void ReadCommit(const Node* node) {
    MapReader commit(node, "'commit'", findings_);
    out_.commit_interval = commit.Time("interval", out_.commit_interval);
    if (out_.commit_interval < std::chrono::milliseconds(1) ||
        out_.commit_interval > std::chrono::seconds(60)) {
      commit.ErrorAt("interval", "'interval' of 'commit' must be from 1ms to 60s");
    }
    out_.commit_max_events =
        static_cast<size_t>(commit.Integer("max_events", 20'000, 1, 1'000'000));
    commit.Finish();
  }

  void ReadTime(const Node* node) {
    MapReader time(node, "'time'", findings_);
    time.Has("zone");
    out_.time_source = time.Choice("source", {"wall", "event"}).value_or(0) == 1
                           ? TimeSource::kEvent
                           : TimeSource::kWall;
    out_.time_delay = time.Time("delay", out_.time_delay);
    out_.future_skew = time.Time("future_skew", out_.future_skew);
    if (const std::optional<std::string> after = time.Text("outage_after");
        after && *after == "off") {
      out_.outage.after = OutagePolicy::kOff;
    } else if (after && *after != "auto") {
      out_.outage.after = time.Time("outage_after");
    }
    if (const std::optional<std::string> grace = time.Text("outage_grace");
        grace && *grace != "auto") {
      out_.outage.grace = time.Time("outage_grace");
    }
    time.Finish();
  }

  void ReadHttp(const Node* node) {
    if (node != nullptr && node->kind == Node::Kind::kScalar && node->scalar == "off") {
      out_.http_listen.reset();
      return;
    }
    MapReader http(node, "'http'", findings_);
    const std::string listen = http.Text("listen", *out_.http_listen);
    http.Finish();
    if (listen == "off") {
      out_.http_listen.reset();
      return;
    }
    const size_t colon = listen.rfind(':');
    int port = -1;
    if (colon != std::string::npos) {
      const auto [end, failure] =
          std::from_chars(listen.data() + colon + 1, listen.data() + listen.size(), port);
      if (failure != std::errc() || end != listen.data() + listen.size()) port = -1;
    }
    if (port < 0 || port > 65'535 || colon == 0) {
      http.ErrorAt(
          "listen",
          fmt::format(
              "'listen' of 'http' must be host:port (port 0: any free one) or off, not '{}'",
              listen));
    }
    out_.http_listen = listen;
  }

  void CheckTopics() {
    std::set<std::string> seen(out_.input.topics.begin(), out_.input.topics.end());
    for (const std::string& topic :
         {out_.output.alerts, out_.output.dead_letters, out_.output.changelog}) {
      if (!seen.insert(topic).second) {
        const Node* output = config_.Find("output");
        findings_.Error(
            output != nullptr ? output->place : config_.place,
            fmt::format("topic '{}' is used for two purposes: give each its own", topic));
      }
    }
  }

  const Node& config_;
  ConfigUse use_;
  Findings& findings_;
  DaemonConfig out_;
};

// A tree twice: with its variables filled in, and as it was written.
struct Tree {
  Node filled;
  Node written;

  void Lay(const Tree& over) {
    filled = Merge(std::move(filled), over.filled);
    written = Merge(std::move(written), over.written);
  }
};

Tree TreeOf(Node node, Findings& findings) {
  Tree tree{.filled = node, .written = std::move(node)};
  Substitute(tree.filled, ProcessEnvironment, findings);
  ReportRepeatedRuleIds(tree.filled, findings);
  return tree;
}

Result<Tree> LoadOne(const std::string& path, Findings& findings) {
  Result<Node> node = LoadYamlFile(path);
  if (!node) return std::unexpected(std::move(node.error()));
  return TreeOf(std::move(*node), findings);
}

// The rule files that `file` names, laid over *merged. A rule file holds a map with measures and
// rules.
Status AddRuleFiles(const std::string& config_path, const Node& file, Tree* merged,
                    Findings& findings) {
  const Node* patterns = file.Find("rule_files");
  if (patterns == nullptr) return {};
  MapReader reader(&file, "the configuration", findings);
  for (const std::string& pattern : reader.Texts("rule_files")) {
    const std::filesystem::path path(pattern);
    const std::string full =
        path.is_absolute() ? pattern
                           : (std::filesystem::path(config_path).parent_path() / path).string();
    const std::vector<std::string> paths = Glob(full);
    if (paths.empty())
      findings.Error(patterns->place, fmt::format("'{}' in 'rule_files' matches no file", pattern));
    for (const std::string& rule_path : paths) {
      Result<Tree> rules = LoadOne(rule_path, findings);
      if (!rules) return std::unexpected(std::move(rules.error()));
      for (const Node::Entry& entry : rules->filled.map) {
        if (entry.key != "rules" && entry.key != "measures") {
          findings.Error(
              entry.place,
              fmt::format(
                  "unknown key '{}' in a rule file: only 'measures' and 'rules' belong there",
                  entry.key));
        }
      }
      merged->Lay(*rules);
    }
  }
  return {};
}

// Lays what the file at `path` says over *merged, then the rule files that it names.
Status Add(const std::string& path, const Tree& tree, Tree* merged, Findings& findings) {
  if (merged->filled.place.file.empty()) {
    *merged = tree;
  } else {
    merged->Lay(tree);
  }
  return AddRuleFiles(path, tree.filled, merged, findings);
}

// The preset that the files name, below them.
Status AddPreset(Tree* merged, Findings& findings) {
  const Node* name = merged->filled.Find("preset");
  if (name == nullptr) return {};
  const auto preset = std::find_if(AllPresets().begin(), AllPresets().end(),
                                   [&](const auto& p) { return p.name == name->scalar; });
  if (preset == AllPresets().end()) {
    findings.Error(name->place, fmt::format("there is no preset '{}'{}; there are {}", name->scalar,
                                            DidYouMean(name->scalar, PresetNames()),
                                            fmt::join(PresetNames(), ", ")));
    return {};
  }
  Result<Node> base = LoadYamlText(preset->text, fmt::format("preset {}", preset->name));
  if (!base) return std::unexpected(std::move(base.error()));
  const Place place = merged->filled.place;
  Tree tree{.filled = *base, .written = *base};
  tree.Lay(*merged);
  *merged = std::move(tree);
  merged->filled.place = place;
  return {};
}

// Makes the tree mean the same in any directory: the rule files have been laid over it, and they
// would once more hide what came after them; models are named from the file that names them.
Node SelfContained(Node config) {
  std::erase_if(config.map, [](const Node::Entry& entry) { return entry.key == "rule_files"; });
  Node* rules = config.Find("rules");
  if (rules == nullptr) return config;
  for (Node& rule : rules->list) {
    Node* model = rule.Find("model");
    if (model == nullptr || model->kind != Node::Kind::kScalar || model->scalar.starts_with("${"))
      continue;
    const std::filesystem::path beside = std::filesystem::path(model->place.file).parent_path();
    model->scalar = std::filesystem::absolute(beside / model->scalar).lexically_normal().string();
  }
  return config;
}

}  // namespace

std::vector<std::string> PresetNames() {
  std::vector<std::string> names;
  for (const EmbeddedPreset& preset : AllPresets()) names.emplace_back(preset.name);
  return names;
}

Result<LoadedConfig> LoadConfig(const std::vector<std::string>& files, ConfigUse use,
                                const Node* overlay) {
  Findings findings;
  const auto failure = [&] {
    return Fail(fmt::format("{}", fmt::join(findings.errors(), "\n")), ExitCode::kConfig);
  };
  Tree merged;
  for (const std::string& path : files) {
    const Result<Tree> tree = LoadOne(path, findings);
    if (!tree) return std::unexpected(tree.error());
    if (Status added = Add(path, *tree, &merged, findings); !added)
      return std::unexpected(std::move(added.error()));
  }
  if (overlay != nullptr) {
    const Tree tree = TreeOf(*overlay, findings);
    if (Status added = Add(overlay->place.file, tree, &merged, findings); !added)
      return std::unexpected(std::move(added.error()));
  }
  if (Status added = AddPreset(&merged, findings); !added)
    return std::unexpected(std::move(added.error()));
  if (!findings.ok())
    return failure();  // what the files say is not what they mean: no use in reading on
  LoadedConfig loaded;
  loaded.rules = Compile(merged.filled, findings);
  loaded.daemon = Reader(merged.filled, use, findings).Run();
  if (!findings.ok()) return failure();
  loaded.effective = SelfContained(std::move(merged.written));
  loaded.warnings = findings.warnings();
  return loaded;
}

}  // namespace heartbeatd
