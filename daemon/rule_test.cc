#include "daemon/rule_test.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "rules/ruleset.h"
#include "rules/yaml.h"
#include "shard/shard.h"
#include "store/memory_store.h"

namespace heartbeatd {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kUnits = 1'000'000;
constexpr int64_t kTimesMax = 100'000;

// The text that an expectation is compared with.
std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// The value at "observed.count" in the alert's data, or one of the alert's own attributes.
std::optional<std::string> Field(const Json& alert, const std::string& path) {
  if (path == "customer") return TextOf(alert["subject"]);
  if (path == "time" || path == "id") return TextOf(alert[path]);
  const Json* at = &alert["data"];
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const auto it = at->find(path.substr(begin, end - begin));
    if (!at->is_object() || it == at->end()) return {};
    at = &*it;
    begin = end + 1;
  }
  return TextOf(*at);
}

bool Matches(const Json& alert, const Node& expected) {
  return std::all_of(expected.map.begin(), expected.map.end(), [&](const Node::Entry& entry) {
    const std::optional<std::string> value = Field(alert, entry.key);
    return value && *value == (entry.value.kind == Node::Kind::kNull ? "null" : entry.value.scalar);
  });
}

std::string Describe(const Json& alert) {
  Json shown = alert["data"];
  for (const char* key : {"version", "severity", "action", "labels", "annotations", "episode",
                          "late_by", "detector", "threshold"})
    shown.erase(key);
  return fmt::format("{} {}", TextOf(alert["time"]), shown.dump());
}

class Test {
 public:
  Test(const Node& file, Findings& findings) : file_(file), findings_(findings) {}

  RuleTestReport Run() {
    MapReader top(&file_, "the test", findings_);
    report_.name = top.Text("name", "");
    const Node* config = top.Required("config");
    const Node* steps = top.Required("steps");
    top.Finish();
    if (config != nullptr) rules_ = Compile(*config, findings_);
    if (!findings_.ok()) return report_;
    shard_ = std::make_unique<Shard>(
        ShardOptions{.topics = {"input"}, .rules = rules_, .time_source = TimeSource::kEvent},
        MakeMemoryStore(), ShardMeta{});
    for (const Node& step : steps->list) {
      Take(step);
      if (!findings_.ok()) break;
    }
    return report_;
  }

 private:
  void Take(const Node& node) {
    MapReader step(&node, "a step", findings_);
    if (const Node* event = step.Child("event")) Events(*event);
    if (const std::optional<std::string> raw = step.Text("raw")) Send(*raw);
    if (const std::optional<std::string> to = step.Text("advance_to")) Advance(step, *to);
    if (const Node* expected = step.Child("expect")) Expect(*expected);
    if (const Node* refused = step.Child("expect_refused"))
      ExpectRefused(*refused, step.Texts("expect_refused"));
    step.Finish();
  }

  std::optional<EventTime> Time(MapReader& reader, std::string_view key, const std::string& text) {
    std::optional<EventTime> time = ParseRfc3339(text);
    if (!time) time = ParseRfc3339(text + "T00:00:00Z");
    if (!time)
      reader.ErrorAt(
          key, fmt::format("'{}' is no time: write 2026-03-01T00:00:00Z or 2026-03-01", text));
    return time;
  }

  void Events(const Node& node) {
    MapReader event(&node, "an event", findings_);
    Json json;
    const std::string id = event.Text("id", "");
    json["customer_id"] = event.Text("customer", "c1");
    json["type"] = event.Text("type", "purchase");
    if (const std::optional<double> amount = event.Number("amount", -1e12, 1e12))
      json["amount"] = *amount;
    if (const Node* properties = event.Child("properties")) {
      for (const Node::Entry& entry : properties->map)
        json["properties"][entry.key] = entry.value.scalar;
    }
    event.Required("at");
    std::optional<EventTime> at = Time(event, "at", event.Text("at", ""));
    const Duration every = event.Time("every", Duration(0));
    const int64_t times = event.Integer("times", 1, 1, kTimesMax);
    event.Finish();
    for (int64_t i = 0; at && i < times; ++i) {
      json["event_id"] = id.empty() ? fmt::format("e{}", next_id_++) : id;
      json["timestamp"] = FormatRfc3339(*at);
      Send(json.dump());
      *at = *at + every;
    }
  }

  void Send(const std::string& payload) {
    shard_->Offer(0, InputRecord{.topic = "input", .offset = offset_++, .payload = payload}, now_);
    Check(shard_->Step(kUnits, now_));
    // Each message is its own commit, and each commit goes through the encoding.
    Collect();
  }

  void Advance(MapReader& step, const std::string& text) {
    const std::optional<EventTime> to = Time(step, "advance_to", text);
    if (to) Check(shard_->AdvanceTo(*to, kUnits));
    Collect();
  }

  void Check(const Result<size_t>& done) {
    if (!done) findings_.Error(file_.place, done.error().message);
  }

  void Collect() {
    for (const OutgoingAlert& alert : shard_->outbox().alerts)
      alerts_.push_back(Json::parse(alert.payload));
    for (const DeadLetter& dead : shard_->outbox().dead_letters)
      refused_.emplace_back(NameOf(dead.reason));
    shard_->OnCommitted();
    if (Status saved = shard_->Save(0, now_, ""); !saved)
      findings_.Error(file_.place, saved.error().message);
  }

  void Expect(const Node& expected) {
    std::vector<Json> left = std::exchange(alerts_, {});
    for (const Node& one : expected.list) {
      const auto it = std::find_if(left.begin(), left.end(),
                                   [&](const Json& alert) { return Matches(alert, one); });
      if (it == left.end()) {
        std::string wanted;
        for (const Node::Entry& entry : one.map)
          wanted += fmt::format(" {}: {}", entry.key, entry.value.scalar);
        report_.failures.push_back(fmt::format("{}: missing:{}", one.place.ToString(), wanted));
      } else {
        left.erase(it);
      }
    }
    for (const Json& alert : left)
      report_.failures.push_back(
          fmt::format("{}: not expected: {}", expected.place.ToString(), Describe(alert)));
  }

  void ExpectRefused(const Node& node, std::vector<std::string> expected) {
    std::vector<std::string> found = std::exchange(refused_, {});
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    if (expected != found) {
      report_.failures.push_back(fmt::format("{}: refused [{}], expected [{}]",
                                             node.place.ToString(), fmt::join(found, ", "),
                                             fmt::join(expected, ", ")));
    }
  }

  const Node& file_;
  Findings& findings_;
  RuleTestReport report_;
  std::shared_ptr<const RuleSet> rules_;
  std::unique_ptr<Shard> shard_;
  WallTime now_{kEventTimeMax.ms() - kMsPerDay};  // no event of a test is in the future
  int64_t offset_ = 0;
  int64_t next_id_ = 1;
  std::vector<Json> alerts_;
  std::vector<std::string> refused_;
};

}  // namespace

Result<RuleTestReport> RunRuleTest(const std::string& path) {
  Result<Node> file = LoadYamlFile(path);
  if (!file) return std::unexpected(std::move(file.error()));
  Findings findings;
  RuleTestReport report = Test(*file, findings).Run();
  if (!findings.ok())
    return Fail(fmt::format("{}", fmt::join(findings.errors(), "\n")), ExitCode::kConfig);
  return report;
}

}  // namespace heartbeatd
