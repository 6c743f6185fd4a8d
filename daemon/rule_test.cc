#include "daemon/rule_test.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "customer/codec.h"
#include "daemon/config.h"
#include "daemon/expected_alerts.h"
#include "event/number.h"
#include "rules/yaml.h"
#include "shard/shard.h"
#include "store/memory_store.h"

namespace heartbeatd {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kUnits = 10'000;
constexpr int64_t kTimesMax = 100'000;
// Where the wall clock stands for events that do not say when they arrive: none is from the future.
constexpr WallTime kWall{kEventTimeMax.ms() - kMsPerDay};

Json& At(Json& message, const JsonPointer& place) {
  Json::json_pointer pointer;
  for (const std::string& key : place) pointer.push_back(key);
  return message[pointer];
}

// An event of a test as a message of the format. What has no place in it is left out.
std::string MessageOf(const Json& event, const EventFormat& format) {
  static constexpr std::pair<const char*, EventField> kFields[] = {
      {"properties", EventField::kProperties}, {"type", EventField::kType},
      {"event_id", EventField::kEventId},      {"customer_id", EventField::kCustomerId},
      {"timestamp", EventField::kTimestamp},   {"amount", EventField::kAmount},
      {"currency", EventField::kCurrency}};
  Json message = Json::object();
  for (const auto& [name, field] : kFields) {
    if (event.contains(name) && !format.At(field).empty())
      At(message, format.At(field)[0]) = event[name];
  }
  for (const auto& [name, place] : format.properties) {
    if (event.contains("properties") && event["properties"].contains(name))
      At(message, place) = event["properties"][name];
  }
  return message.dump();
}

class Test {
 public:
  Test(const LoadedConfig& config, const RuleTestOptions& options, Findings& findings)
      : rules_(config.rules),
        format_(config.daemon.input.format),
        future_skew_(config.daemon.future_skew),
        calendar_(config.rules->calendar),
        options_(options),
        findings_(findings),
        mistakes_before_(findings.errors().size()) {}

  // `test` is the reader of its map; what else that may hold is the caller's to read.
  RuleTestResult Run(MapReader& test) {
    result_.name = test.Text("name", "");
    customer_ = test.Text("customer", customer_);
    only_ = test.Texts("rules");
    for (const std::string& id : only_) {
      const bool known = std::any_of(rules_->rules.begin(), rules_->rules.end(),
                                     [&](const Rule& rule) { return rule.info.id == id; });
      if (!known)
        test.ErrorAt("rules", fmt::format("'rules' of {}: there is no rule '{}' that is enabled",
                                          test.what(), id));
    }
    const Node* steps = test.Required("steps");
    if (steps == nullptr || !ok()) return result_;
    if (steps->kind != Node::Kind::kList) {
      test.ErrorAt("steps", fmt::format("'steps' of {} must be a list", test.what()));
      return result_;
    }
    if (options_.new_store) open_store_ = options_.new_store();
    Open(open_store_ ? open_store_() : MakeMemoryStore(), {});
    for (const Node& step : steps->list) {
      Take(step);
      if (!ok()) return result_;
    }
    const Node nothing{.kind = Node::Kind::kList, .place = test.place()};
    if (const auto wrong = Judge(alerts_, nothing, {}))
      Fail(test.place(), "at the end of the test: " + *wrong);
    if (!refused_.empty())
      Fail(test.place(), fmt::format("at the end of the test: refused, and no step expects it: {}",
                                     fmt::join(refused_, ", ")));
    return result_;
  }

 private:
  // No mistake in this test so far.
  [[nodiscard]] bool ok() const { return findings_.errors().size() == mistakes_before_; }

  void Take(const Node& node) {
    MapReader step(&node, "a step", findings_);
    const Node* headers = step.Has("raw") ? step.Child("headers") : nullptr;
    if (node.kind == Node::Kind::kMap && node.map.size() != (headers != nullptr ? 2 : 1))
      findings_.Error(node.place, "a step does one thing: put the next behind a dash of its own");
    if (const Node* event = step.Child("event")) Events(*event);
    if (const std::optional<std::string> raw = step.Text("raw")) {
      const std::vector<Header> read = ReadHeaders(headers);
      if (ok()) Send(*raw, kWall, read);
    }
    if (const std::optional<Duration> by = step.Time("advance")) AdvanceTo(now_ + *by);
    if (const std::optional<EventTime> to = Moment(step, "advance_to")) AdvanceTo(*to);
    if (const Node* expected = step.Child("expect")) Expect(step, *expected);
    if (step.Has("expect_refused")) ExpectRefused(step);
    if (const auto count = step.Integer("expect_customers", 0, INT32_MAX)) {
      const uint64_t known = shard_->customers_known();
      if (known != static_cast<uint64_t>(*count))
        Fail(node.place, fmt::format("{} customers are remembered, expected {}", known, *count));
    }
    step.Finish();
  }

  [[nodiscard]] std::optional<EventTime> TimeOf(const std::string& text) const {
    if (text.starts_with('+')) {
      const Result<Duration> after = ParseDuration(text.substr(1));
      return after ? std::optional(now_ + *after) : std::nullopt;
    }
    if (const std::optional<EventTime> time = ParseRfc3339(text)) return time;
    const std::optional<EventTime> day = ParseRfc3339(text + "T00:00:00Z");
    if (!day) return {};
    const int64_t ms = day->ms();
    return calendar_.DayStart(
        static_cast<int32_t>(ms >= 0 ? ms / kMsPerDay : (ms - kMsPerDay + 1) / kMsPerDay));
  }

  std::optional<EventTime> Moment(MapReader& reader, std::string_view key) {
    const std::optional<std::string> text = reader.Text(key);
    if (!text) return {};
    const std::optional<EventTime> time = TimeOf(*text);
    if (!time)
      reader.ErrorAt(
          key,
          fmt::format("'{}' is no time: write 2026-03-01, 2026-03-01T09:00:00Z or +7d", *text));
    return time;
  }

  void Events(const Node& node) {
    MapReader event(&node, "an event", findings_);
    Json json;
    const std::optional<std::string> id = event.Text("id");
    json["customer_id"] = event.Text("customer", customer_);
    if (event.Required("type") != nullptr) json["type"] = event.Text("type", "");
    if (const std::optional<double> amount = event.Number("amount", -1e300, 1e300))
      json["amount"] = *amount;
    if (const std::optional<std::string> currency = event.Text("currency"))
      json["currency"] = *currency;
    if (const Node* properties = event.Child("properties")) {
      for (const Node::Entry& entry : properties->map)
        json["properties"][entry.key] = JsonOf(entry.value);
    }
    std::optional<EventTime> at = event.Has("at") ? Moment(event, "at") : now_;
    const std::optional<EventTime> arrives = Moment(event, "arrives");
    const Duration every = event.Time("every", Duration(0));
    const int64_t times = event.Integer("times", 1, 1, kTimesMax);
    event.Finish();
    if (!ok()) return;
    if (arrives) AdvanceTo(*arrives);
    if (json["type"] == "tick") json.erase("customer_id");
    for (int64_t i = 0; i < times; ++i) {
      json["event_id"] = id ? *id : fmt::format("event-{}", ++ids_);
      json["timestamp"] = FormatRfc3339(*at);
      Send(MessageOf(json, format_), arrives ? WallTime(arrives->ms()) : kWall);
      *at = *at + every;
    }
  }

  std::vector<Header> ReadHeaders(const Node* node) {
    std::vector<Header> headers;
    MapReader reader(node, "'headers' of a step", findings_);
    if (node == nullptr) return headers;
    for (const Node::Entry& entry : node->map)
      headers.push_back({entry.key, reader.Text(entry.key, "")});
    return headers;
  }

  static Json JsonOf(const Node& node) {
    if (node.kind == Node::Kind::kNull) return {};
    if (!node.quoted && (node.scalar == "true" || node.scalar == "false"))
      return node.scalar == "true";
    const bool number = !node.quoted && JsonNumberEnd(node.scalar, 0) == node.scalar.size();
    return number ? Json::parse(node.scalar) : Json(node.scalar);
  }

  void Send(const std::string& payload, WallTime wall, std::vector<Header> headers = {}) {
    InputRecord record{.topic = "input", .offset = offset_++, .payload = payload};
    record.handle = {new std::vector<Header>(std::move(headers)),
                     [](void* held) { delete static_cast<std::vector<Header>*>(held); }};
    record.read_headers = [](const void* held) {
      return *static_cast<const std::vector<Header>*>(held);
    };
    shard_->Offer(0, std::move(record), {.wall = wall});
    Finish([&] { return shard_->Step(kUnits, wall); });
  }

  void AdvanceTo(EventTime t) {
    Finish([&] { return shard_->AdvanceTo(t, kUnits); });
    now_ = std::max(now_, t);
  }

  // Steps until nothing is left to do; every step is a commit of its own.
  void Finish(const std::function<Result<size_t>()>& step) {
    size_t done = kUnits;
    while (done == kUnits) {
      const Result<size_t> units = step();
      if (!units) return Broken(units.error());
      done = *units;
      Collect();
    }
    if (shard_->clock() != EventTime::Min()) now_ = std::max(now_, shard_->clock());
    if (open_store_) Reopen();
  }

  void Collect() {
    for (const OutgoingAlert& alert : shard_->outbox().alerts) {
      if (options_.on_alert) options_.on_alert(alert.payload);
      const std::string& rule = rules_->rules[alert.rule].info.id;
      if (only_.empty() || std::find(only_.begin(), only_.end(), rule) != only_.end())
        alerts_.push_back(FieldsOf(alert.payload));
    }
    for (const DeadLetter& dead : shard_->outbox().dead_letters)
      refused_.emplace_back(NameOf(dead.reason));
    shard_->OnProduced();
    shard_->OnCommitted();
  }

  void Open(std::unique_ptr<Store> store, ShardMeta meta) {
    shard_ = std::make_unique<Shard>(ShardOptions{.topics = {"input"},
                                                  .rules = rules_,
                                                  .format = format_,
                                                  .time_source = TimeSource::kEvent,
                                                  .future_skew = future_skew_},
                                     std::move(store), std::move(meta));
  }

  void Reopen() {
    if (Status saved = shard_->Save({0, kWall}, ""); !saved) return Broken(saved.error());
    std::unique_ptr<Store> store = open_store_();
    const Result<std::optional<std::string>> bytes = store->LocalMeta();
    if (!bytes) return Broken(bytes.error());
    Result<LocalMeta> meta = DecodeLocalMeta(bytes->value_or(""));
    if (!meta) return Broken(meta.error());
    Open(std::move(store), std::move(meta->meta));
  }

  void Broken(const Error& error) { findings_.Error(Place{}, error.message); }

  void Expect(MapReader& step, const Node& expected) {
    if (expected.kind != Node::Kind::kList) {
      step.ErrorAt("expect", "'expect' must be a list of alerts; [] for none");
      return;
    }
    for (const Node& alert : expected.list) {
      if (alert.kind != Node::Kind::kMap || alert.map.empty())
        findings_.Error(alert.place, "an expected alert is a map of fields and values");
    }
    const auto wrong =
        Judge(alerts_, expected, [this](const std::string& text) { return TimeOf(text); });
    if (wrong) Fail(expected.place, *wrong);
    alerts_.clear();
  }

  void ExpectRefused(MapReader& step) {
    std::vector<std::string> expected = step.Texts("expect_refused");
    std::vector<std::string> found = std::exchange(refused_, {});
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    if (expected != found)
      Fail(step.place(), fmt::format("refused: {}\n    expected: {}", fmt::join(found, ", "),
                                     fmt::join(expected, ", ")));
  }

  void Fail(const Place& place, const std::string& what) {
    result_.failures.push_back(fmt::format("{}: {}", place.ToString(), what));
  }

  std::shared_ptr<const RuleSet> rules_;
  EventFormat format_;
  Duration future_skew_;
  Calendar calendar_;
  const RuleTestOptions& options_;
  Findings& findings_;
  size_t mistakes_before_;
  RuleTestResult result_;
  std::string customer_ = "c1";
  std::vector<std::string> only_;  // rules; empty: all
  RuleTestOptions::OpenStore open_store_;
  std::unique_ptr<Shard> shard_;
  EventTime now_;  // the clock of the test
  int64_t offset_ = 0;
  int64_t ids_ = 0;
  std::vector<Json> alerts_;          // since the last `expect`
  std::vector<std::string> refused_;  // since the last `expect_refused`
};

}  // namespace

Result<std::vector<RuleTestResult>> RunRuleTests(const std::string& path,
                                                 const RuleTestOptions& options) {
  Result<Node> file = LoadYamlFile(path);
  if (!file) return std::unexpected(std::move(file.error()));
  Findings findings;
  MapReader top(&*file, "the file", findings);
  std::vector<std::string> config_files;
  for (const std::string& name : top.Texts("config_files")) {
    const std::filesystem::path relative(name);
    config_files.push_back(relative.is_absolute()
                               ? name
                               : (std::filesystem::path(path).parent_path() / relative).string());
  }
  const Node* overlay = top.Child("config");
  if (overlay == nullptr && config_files.empty())
    findings.Error(file->place, "the file needs 'config' or 'config_files'");
  Result<LoadedConfig> config = findings.ok()
                                    ? LoadConfig(config_files, ConfigUse::kBacktest, overlay)
                                    : Fail("", ExitCode::kConfig);
  std::vector<RuleTestResult> results;
  if (config && top.Has("tests")) {
    const Node& tests = *top.Child("tests");
    if (tests.kind != Node::Kind::kList) top.ErrorAt("tests", "'tests' must be a list");
    for (const Node& node : tests.list) {
      MapReader test(&node, "a test", findings);
      results.push_back(Test(*config, options, findings).Run(test));
      test.Finish();
    }
  } else if (config) {
    results.push_back(Test(*config, options, findings).Run(top));
  }
  if (config) top.Finish();
  if (!findings.ok())
    return Fail(fmt::format("{}", fmt::join(findings.errors(), "\n")), ExitCode::kConfig);
  if (!config) return std::unexpected(std::move(config.error()));
  return results;
}

}  // namespace heartbeatd
