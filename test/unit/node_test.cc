#include "base/node.h"

#include <limits>
#include <utility>

#include "base/error.h"
#include "catch.h"

using namespace heartbeatd;

namespace {

Node Scalar(std::string text, int line = 1) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.place = {"f.yaml", line, 9};
  node.scalar = std::move(text);
  return node;
}

Node List(std::vector<Node> items) {
  Node node;
  node.kind = Node::Kind::kList;
  node.place = {"f.yaml", 1, 9};
  node.list = std::move(items);
  return node;
}

// Line 1 is the map, its keys are in lines 1, 2, ...
Node Map(std::vector<std::pair<std::string, Node>> entries) {
  Node node;
  node.kind = Node::Kind::kMap;
  node.place = {"f.yaml", 1, 1};
  for (auto& [key, value] : entries) {
    const int line = static_cast<int>(node.map.size()) + 1;
    value.place.line = line;
    node.map.push_back({key, {"f.yaml", line, 1}, std::move(value)});
  }
  return node;
}

using Messages = std::vector<std::string>;

}  // namespace

TEST_CASE("node: getters read what is there and fall back on what is not") {
  const Node map = Map({{"text", Scalar("hello")},
                        {"number", Scalar("2.5")},
                        {"integer", Scalar("-42")},
                        {"time", Scalar("28d")},
                        {"flag", Scalar("true")},
                        {"one", Scalar("a")},
                        {"many", List({Scalar("a"), Scalar("b")})},
                        {"choice", Scalar("mean")},
                        {"nothing", Node()}});
  Findings findings;
  MapReader reader(&map, "rule", findings);
  CHECK(reader.Text("text") == "hello");
  CHECK(reader.Text("absent", "fallback") == "fallback");
  CHECK(reader.Number("number", 0, 10) == 2.5);
  CHECK(reader.Number("absent", 7.0, 0, 10) == 7.0);
  CHECK(reader.Integer("integer", -100, 100) == -42);
  CHECK(reader.Integer("absent", 7, 0, 10) == 7);
  CHECK(reader.Time("time") == Duration(28 * kMsPerDay));
  CHECK(reader.Time("absent", Duration(5)) == Duration(5));
  CHECK(reader.Flag("flag", false));
  CHECK(reader.Flag("absent", true));
  CHECK(reader.Texts("one") == std::vector<std::string>{"a"});
  CHECK(reader.Texts("many") == std::vector<std::string>{"a", "b"});
  CHECK(reader.Texts("absent").empty());
  CHECK(reader.Choice("choice", {"each", "mean", "median"}) == size_t{1});
  CHECK(reader.Has("nothing"));
  CHECK_FALSE(reader.Has("absent"));
  CHECK(reader.Required("text") == map.Find("text"));
  reader.Finish();
  CHECK(findings.errors() == Messages{});
}

TEST_CASE("node: a value that does not fit is reported at its place and replaced by the default") {
  struct Row {
    const char* text;
    const char* message;
  };
  SECTION("number") {
    const Row row =
        GENERATE(values<Row>({{"x", "f.yaml:1:9: 'n' of rule must be a number, not 'x'"},
                              {"", "f.yaml:1:9: 'n' of rule must be a number, not ''"},
                              {"1x", "f.yaml:1:9: 'n' of rule must be a number, not '1x'"},
                              {"nan", "f.yaml:1:9: 'n' of rule must be a number, not 'nan'"},
                              {"inf", "f.yaml:1:9: 'n' of rule must be a number, not 'inf'"},
                              {"1e999", "f.yaml:1:9: 'n' of rule must be a number, not '1e999'"},
                              {"11", "f.yaml:1:9: 'n' of rule must be from 0 to 10, not 11"},
                              {"-1", "f.yaml:1:9: 'n' of rule must be from 0 to 10, not -1"}}));
    const Node map = Map({{"n", Scalar(row.text)}});
    Findings findings;
    CHECK(MapReader(&map, "rule", findings).Number("n", 3.0, 0, 10) == 3.0);
    CHECK(findings.errors() == Messages{row.message});
  }
  SECTION("integer") {
    const Node map = Map({{"n", Scalar("2.5")}});
    Findings findings;
    CHECK(MapReader(&map, "rule", findings).Integer("n", 3, 0, 10) == 3);
    CHECK(findings.errors() == Messages{"f.yaml:1:9: 'n' of rule must be a whole number"});
  }
  SECTION("time") {
    const Node map = Map({{"t", Scalar("28 days")}});
    Findings findings;
    CHECK(MapReader(&map, "rule", findings).Time("t", Duration(3)) == Duration(3));
    REQUIRE(findings.errors().size() == 1);
    CHECK(findings.errors()[0].starts_with("f.yaml:1:9: 't' of rule: '28 days' is not a duration"));
  }
  SECTION("flag") {
    const Node map = Map({{"f", Scalar("yes")}});
    Findings findings;
    CHECK(MapReader(&map, "rule", findings).Flag("f", true));
    CHECK(findings.errors() ==
          Messages{"f.yaml:1:9: 'f' of rule must be true or false, not 'yes'"});
  }
  SECTION("choice") {
    const Node map = Map({{"c", Scalar("avg")}});
    Findings findings;
    CHECK_FALSE(MapReader(&map, "rule", findings).Choice("c", {"each", "mean"}));
    CHECK(findings.errors() ==
          Messages{"f.yaml:1:9: 'c' of rule must be one of each, mean, not 'avg'"});
  }
  SECTION("a list where a value belongs, and a map where a list belongs") {
    const Node map = Map({{"a", List({})}, {"b", Map({})}, {"c", List({Scalar("x"), Map({})})}});
    Findings findings;
    MapReader reader(&map, "rule", findings);
    CHECK_FALSE(reader.Text("a"));
    CHECK(reader.Texts("b").empty());
    CHECK(reader.Texts("c") == std::vector<std::string>{"x"});
    CHECK(findings.errors() ==
          Messages{"f.yaml:1:9: 'a' of rule must be a single value",
                   "f.yaml:2:1: 'b' of rule must be a value or a list of values",
                   "f.yaml:1:1: 'c' of rule: every item must be a single value"});
  }
}

TEST_CASE("node: integers are exact to the ends of their range") {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  const Node map = Map({{"max", Scalar("9223372036854775807")},
                        {"min", Scalar("-9223372036854775808")},
                        {"odd", Scalar("9007199254740993")},
                        {"exponent", Scalar("1e3")},
                        {"over", Scalar("9223372036854775808")}});
  Findings findings;
  MapReader reader(&map, "rule", findings);
  CHECK(reader.Integer("max", kMin, kMax) == kMax);
  CHECK(reader.Integer("min", kMin, kMax) == kMin);
  CHECK(reader.Integer("odd", kMin, kMax) == 9007199254740993);
  CHECK(reader.Integer("exponent", kMin, kMax) == 1000);
  CHECK(findings.ok());
  CHECK_FALSE(reader.Integer("over", kMin, kMax));
  CHECK(findings.errors().size() == 1);
}

TEST_CASE("node: all mistakes are reported, not only the first") {
  const Node map =
      Map({{"detectr", Scalar("silence")}, {"hold", Scalar("soon")}, {"zzzzzz", Scalar("1")}});
  Findings findings;
  MapReader reader(&map, "rule", findings);
  CHECK(reader.Required("id") == nullptr);
  (void)reader.Child("detector");
  (void)reader.Time("hold");
  reader.ErrorAt("hold", "and another");
  reader.ErrorAt("absent", "at the map");
  reader.Finish();
  REQUIRE(findings.errors().size() == 6);
  CHECK(findings.errors()[0] == "f.yaml:1:1: rule needs 'id'");
  CHECK(findings.errors()[1].starts_with("f.yaml:2:9: 'hold' of rule: "));
  CHECK(findings.errors()[2] == "f.yaml:2:9: and another");
  CHECK(findings.errors()[3] == "f.yaml:1:1: at the map");
  CHECK(findings.errors()[4] ==
        "f.yaml:1:1: unknown key 'detectr' in rule (did you mean 'detector'?)");
  CHECK(findings.errors()[5] == "f.yaml:3:1: unknown key 'zzzzzz' in rule");
}

TEST_CASE("node: a map that is missing is empty, one that is something else is an error") {
  Findings findings;
  MapReader none(nullptr, "kafka", findings);
  CHECK(none.Text("brokers", "x") == "x");
  CHECK(none.Required("brokers") == nullptr);  // whoever requires the map has said so already
  none.Finish();
  const Node null_value;
  MapReader empty(&null_value, "kafka", findings);
  CHECK(empty.Text("brokers", "x") == "x");
  empty.Finish();
  CHECK(findings.ok());

  const Node scalar = Scalar("127.0.0.1:9092", 3);
  MapReader wrong(&scalar, "kafka", findings);
  CHECK(wrong.Text("brokers", "x") == "x");
  wrong.Finish();
  CHECK(findings.errors() == Messages{"f.yaml:3:9: kafka must be a map of keys and values"});
}

TEST_CASE("node: suggestions are near, not anything") {
  const std::vector<std::string> known = {"brokers", "startup_timeout", "id", "window"};
  CHECK(DidYouMean("broker", known) == " (did you mean 'brokers'?)");
  CHECK(DidYouMean("start_timeout", known) == " (did you mean 'startup_timeout'?)");
  CHECK(DidYouMean("windwo", known) == " (did you mean 'window'?)");
  CHECK(DidYouMean("di", known).empty());  // both letters changed
  CHECK(DidYouMean("xy", known).empty());
  CHECK(DidYouMean("anything", known).empty());
  CHECK(DidYouMean("x", {}).empty());
}

TEST_CASE("node: warnings are no errors") {
  Findings findings;
  findings.Warn({"f.yaml", 2, 3}, "noisy");
  CHECK(findings.ok());
  CHECK(findings.warnings() == Messages{"f.yaml:2:3: noisy"});
}

TEST_CASE("error: context goes in front and the exit code stays") {
  const Status failed = Fail("no such file", ExitCode::kConfig);
  REQUIRE_FALSE(failed);
  const Error error = Error(failed.error()).Context("while reading x.yaml");
  CHECK(error.message == "while reading x.yaml: no such file");
  CHECK(error.code == ExitCode::kConfig);
  CHECK(Fail("x").error().code == ExitCode::kFailed);
}
