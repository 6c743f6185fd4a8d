#include "rules/yaml.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "catch.h"

using namespace heartbeatd;

namespace {

Node Load(std::string_view text) {
  auto node = LoadYamlText(text, "f.yaml");
  if (!node) FAIL(node.error().message << " in:\n" << text);
  return *std::move(node);
}

std::string ErrorOf(std::string_view text) {
  const auto node = LoadYamlText(text, "f.yaml");
  if (node) return "no error";
  CHECK(node.error().code == ExitCode::kConfig);
  return node.error().message;
}

// Everything but places, in one line: {a: "quoted", b: [plain, ~]}.
std::string Brief(const Node& node) {
  std::string out;
  switch (node.kind) {
    case Node::Kind::kNull:
      return "~";
    case Node::Kind::kScalar:
      return node.quoted ? '"' + node.scalar + '"' : '<' + node.scalar + '>';
    case Node::Kind::kList:
      for (const Node& item : node.list) out += (out.empty() ? "" : ", ") + Brief(item);
      return "[" + out + "]";
    case Node::Kind::kMap:
      for (const Node::Entry& entry : node.map)
        out += (out.empty() ? "" : ", ") + entry.key + ": " + Brief(entry.value);
      return "{" + out + "}";
  }
  return "?";
}

const Node& At(const Node& node, std::string_view key) {
  const Node* child = node.Find(key);
  REQUIRE(child != nullptr);
  return *child;
}

std::string PlaceOf(const Place& place) {
  return std::to_string(place.line) + ":" + std::to_string(place.column);
}

std::string Repeat(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("yaml: shapes") {
  struct Row {
    const char* text;
    const char* brief;
  };
  const Row row = GENERATE(values<Row>({
      {"", "~"},
      {"# only a comment\n", "~"},
      {"---\n", "~"},
      {"a", "<a>"},
      {"a: 1\nb: 'x'\nc: \"y\"\n", "{a: <1>, b: \"x\", c: \"y\"}"},
      {"a:\nb: ~\nc: null\nd: 'null'\n", "{a: ~, b: ~, c: ~, d: \"null\"}"},
      {"[1, [2, {a: b}], {}, []]", "[<1>, [<2>, {a: <b>}], {}, []]"},
      {"- a\n-\n- b: 1\n  c: 2\n", "[<a>, ~, {b: <1>, c: <2>}]"},
      {"1: one\ntrue: two\n", "{1: <one>, true: <two>}"},
      {"a: |\n  x\n  y\n", "{a: \"x\ny\n\"}"},
      {"a: x\n  y\n", "{a: <x y>}"},
      {"a: !!str 5\n", "{a: \"5\"}"},
      {"\"a b\": 1\n", "{a b: <1>}"},
      {"a: http://x:1/y#z\n", "{a: <http://x:1/y#z>}"},
      {"\xEF\xBB\xBF"
       "a: 1\n",
       "{a: <1>}"},
      {"a: 1\r\nb: 2\r\n", "{a: <1>, b: <2>}"},
      {"a: \"\\x04\\u00eb\\n\"", "{a: \"\x04\xC3\xAB\n\"}"},
      {"---\na: 1\n...\n", "{a: <1>}"},
  }));
  CAPTURE(row.text);
  CHECK(Brief(Load(row.text)) == row.brief);
}

TEST_CASE("yaml: everything knows its place") {
  const Node root = Load(
      "app: x\n"             // 1
      "rules:\n"             // 2
      "  - id: a\n"          // 3
      "    hold:   5m\n"     // 4
      "  - {id: b, on: }\n"  // 5
      "empty:\n"             // 6
      "\n"                   // 7
      "# comment\n"          // 8
      "last: ~\n");          // 9
  CHECK(root.place.ToString() == "f.yaml:1:1");
  CHECK(PlaceOf(root.map[0].place) == "1:1");
  CHECK(PlaceOf(root.map[0].value.place) == "1:6");
  const Node& rules = At(root, "rules");
  CHECK(PlaceOf(rules.place) == "3:3");
  CHECK(PlaceOf(rules.list[0].place) == "3:5");
  CHECK(PlaceOf(rules.list[0].map[1].place) == "4:5");
  CHECK(PlaceOf(rules.list[0].map[1].value.place) == "4:13");
  CHECK(PlaceOf(At(rules.list[1], "id").place) == "5:10");
  CHECK(At(rules.list[1], "on").place.line == 5);
  CHECK(PlaceOf(At(root, "empty").place) == "6:1");  // not where the next thing stands
  CHECK(PlaceOf(At(root, "last").place) == "9:7");
  CHECK(Load("").place.ToString() == "f.yaml:1:1");
}

TEST_CASE("yaml: mistakes, with their places") {
  struct Row {
    const char* text;
    const char* start;
  };
  const Row row = GENERATE(values<Row>({
      {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key 'a' is here twice: it stands already in line 1"},
      {"x:\n  {a: 1, 'a': 2}\n",
       "f.yaml:2:10: the key 'a' is here twice: it stands already in line 2"},
      {"a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document"},
      {"a: 1\n...\nb: 2\n", "f.yaml:3:1: a second document"},
      {"a: 1\n---\n", "f.yaml:2:1: a second document"},
      {"a: [1, 2\nb: 3\n", "f.yaml:"},
      {"a: 'x\nb: 1\n", "f.yaml:2:1: a quoted text has no closing quote"},
      {"a: \"x", "f.yaml:1:1: a quoted text has no closing quote"},
      {"a: {b: 1\n", "f.yaml:1:1: "},
      {"a: b: c\n", "f.yaml:1:5: "},
      {"a:\n\t- b\n", "f.yaml:2:2: "},
      {"a: 1\n b: 2\n", "f.yaml:2:3: "},
      {"a: *nope\n", "f.yaml:1:4: "},
      {"a: {b: 1}}\n", "f.yaml:1:10: "},
      {"[1, 2] x\n", "f.yaml:1:8: "},
      {"a: @b\n", "f.yaml:1:4: "},
      {"a: !env X\n", "f.yaml:1:4: the tag '!env' is not supported"},
      {"a: !!binary X\n", "f.yaml:1:4: the tag 'tag:yaml.org,2002:binary' is not supported"},
      {"a: !x [1]\n", "f.yaml:1:4: the tag '!x' is not supported"},
      {"? [1, 2]\n: 3\n", "f.yaml:1:3: a key must be a single text"},
      {"~: 3\n", "f.yaml:1:1: a key must be a single text"},
      {"a: &x {b: 1}\nc:\n  <<: *x\n", "f.yaml:3:3: merge keys (<<) are not supported"},
      {"a: &x [*x]\n", "f.yaml:1:8: an alias inside of what it stands for"},
      {"a: b\nc: \x04\nd: e\n", "f.yaml:2:4: the control character 0x04"},
      {"a: \x7f", "f.yaml:1:4: the control character 0x7f"},
      {"a: \"\\N\"", "f.yaml:1:4: the escape \\N or \\_: write \\u0085 or \\u00a0 instead"},
      {"a:\n  - \"b\\_\"", "f.yaml:2:5: the escape \\N or \\_"},
      {"a: b\nc: caf\xe9\n", "f.yaml:2:7: not UTF-8"},
      {"\xff\xfe", "f.yaml:1:1: not UTF-8"},
      {"a: \xed\xa0\x80", "f.yaml:1:4: not UTF-8"},
      {"a: \xc0\xaf", "f.yaml:1:4: not UTF-8"},
      {"a: \xe2\x82", "f.yaml:1:4: not UTF-8"},
  }));
  CAPTURE(row.text);
  const std::string error = ErrorOf(row.text);
  CAPTURE(error);
  CHECK(error.starts_with(row.start));
  CHECK(error.size() > std::string("f.yaml:1:1: ").size());
}

TEST_CASE("yaml: aliases are copies") {
  const Node root = Load("base: &b\n  a: [1, &two 2]\nother: *b\nnumber: *two\n*two : key\n");
  CHECK(Brief(root) == "{base: {a: [<1>, <2>]}, other: {a: [<1>, <2>]}, number: <2>, 2: <key>}");
  CHECK(PlaceOf(At(root, "other").place) == "3:8");
  CHECK(PlaceOf(At(At(root, "other"), "a").place) == "2:6");
}

TEST_CASE("yaml: bounds") {
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = fmt::format("*a{}, ", i - 1);
    laughs += fmt::format("a{0}: &a{0} [{1}]\n", i, Repeat(before, 10));
  }
  CHECK(ErrorOf(laughs).find("more than 100000 values") != std::string::npos);

  std::string chain = "a0: &a0 [x]\n";
  for (int i = 1; i < 200; ++i) {
    chain += fmt::format("a{0}: &a{0} [*a{1}]\n", i, i - 1);
  }
  CHECK(ErrorOf(chain).find("nested deeper than 64 levels") != std::string::npos);

  const std::string long_text =
      "a: &a '" + std::string(100'000, 'x') + "'\nb: [" + Repeat("*a, ", 1000) + "]\n";
  CHECK(ErrorOf(long_text).find("bytes of text") != std::string::npos);

  CHECK(Brief(Load(Repeat("[", 64) + Repeat("]", 64))) == Repeat("[", 64) + Repeat("]", 64));
  CHECK(ErrorOf(Repeat("[", 65) + Repeat("]", 65)) == "f.yaml:1:65: nested deeper than 64 levels");
  CHECK(ErrorOf(Repeat("[", 500'000)) != "no error");
  CHECK(ErrorOf(Repeat("- ", 300'000)) != "no error");
  CHECK(ErrorOf(Repeat("{a: ", 100'000)) != "no error");
  CHECK(ErrorOf("[" + Repeat("1,", 100'001) + "]").find("more than 100000 values") !=
        std::string::npos);
  CHECK(ErrorOf(std::string(kYamlFileBytesMax + 1, ' ')).find("larger than") != std::string::npos);
  CHECK(Load(std::string(200, 'k') + ": 1").map.size() == 1);
  CHECK(ErrorOf(std::string(201, 'k') + ": 1") == "f.yaml:1:1: a key of more than 200 bytes");

  std::string many;  // found without comparing each with each
  for (int i = 0; i < 40'000; ++i) many += "key" + std::to_string(i) + ": 1\n";
  CHECK(Load(many).map.size() == 40'000);
  CHECK(ErrorOf(many + "key7: 2\n") ==
        "f.yaml:40001:1: the key 'key7' is here twice: it stands already in line 8");
}

TEST_CASE("yaml: noise is an error or a tree, never a crash") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::vector<std::string> pieces = {"a",   "b: ", "- ",    "\n",    "  ", "{",       "}",
                                           "[",   "]",   ",",     ": ",    "'",  "\"",      "#",
                                           "&x ", "*x",  "|\n",   ">\n",   "? ", "!t ",     "~",
                                           "$",   "\\",  "---\n", "...\n", "%",  "\xC3\xAB"};
  size_t trees = 0;
  for (int i = 0; i < 5'000; ++i) {
    std::string text;
    for (uint64_t n = random() % 30; n > 0; --n) text += pieces[random() % pieces.size()];
    const auto node = LoadYamlText(text, "f.yaml");
    if (!node) {
      if (!node.error().message.starts_with("f.yaml:"))
        FAIL(node.error().message << " for " << text);
      continue;
    }
    ++trees;
    const std::string printed = PrintYaml(*node);
    const auto again = LoadYamlText(printed, "printed");
    if (!again) FAIL(text << "\nis printed as\n" << printed << "\n" << again.error().message);
    if (PrintYaml(*again) != printed)
      FAIL(text << "\nis printed as\n" << printed << "\nand then as\n" << PrintYaml(*again));
  }
  CHECK(trees > 100);
}

TEST_CASE("yaml: files") {
  const auto missing = LoadYamlFile("/nonexistent/x.yaml");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message == "/nonexistent/x.yaml cannot be read: No such file or directory");
  CHECK(missing.error().code == ExitCode::kConfig);
  CHECK(LoadYamlFile("/tmp").error().message == "/tmp cannot be read: Is a directory");
}

TEST_CASE("substitute: what is filled in") {
  const std::map<std::string, std::string> environment = {{"NAME", "value"},
                                                          {"EMPTY", ""},
                                                          {"_x1", "y"},
                                                          {"TRICKY", "a: [1, 2] # ${NAME} $$"},
                                                          {"NULLISH", "null"}};
  const EnvLookup lookup = [&](const std::string& name) -> std::optional<std::string> {
    const auto it = environment.find(name);
    if (it == environment.end()) return {};
    return it->second;
  };
  struct Row {
    const char* text;
    const char* result;
    const char* error = nullptr;
  };
  const Row row = GENERATE(values<Row>({
      {"${NAME}", "value"},
      {"a ${NAME} b ${_x1}.", "a value b y."},
      {"${EMPTY}", ""},
      {"${EMPTY:-fallback}", "fallback"},
      {"${UNSET:-}", ""},
      {"${UNSET:-a: b $ $$ :-c}", "a: b $ $$ :-c"},
      {"${NAME:-fallback}", "value"},
      {"${NAME:?needed}", "value"},
      {"${TRICKY}", "a: [1, 2] # ${NAME} $$"},  // text, whatever it looks like
      {"$$", "$"},
      {"$${NAME}", "${NAME}"},
      {"$$$${NAME}", "$${NAME}"},
      {"$$${NAME}", "$value"},
      {"$5 and $NAME and $", "$5 and $NAME and $"},
      {"^a$|}", "^a$|}"},
      {"${UNSET}", nullptr,
       "the environment variable UNSET is not set; ${UNSET:-default} allows that"},
      {"${UNSET:?set it, please}", nullptr, "UNSET: set it, please"},
      {"${EMPTY:?set it}", nullptr, "EMPTY: set it"},
      {"${NAME", nullptr, "'${' without its '}'; write $$ for a $"},
      {"${}", nullptr,
       "write ${NAME}, ${NAME:-default}, ${NAME:?message} or ${file:PATH}, and $$ for a $"},
      {"${1A}", nullptr,
       "write ${NAME}, ${NAME:-default}, ${NAME:?message} or ${file:PATH}, and $$ for a $"},
      {"${A B}", nullptr,
       "write ${NAME}, ${NAME:-default}, ${NAME:?message} or ${file:PATH}, and $$ for a $"},
      {"${NAME:+x}", nullptr,
       "write ${NAME}, ${NAME:-default}, ${NAME:?message} or ${file:PATH}, and $$ for a $"},
      {"${NAME-x}", nullptr,
       "write ${NAME}, ${NAME:-default}, ${NAME:?message} or ${file:PATH}, and $$ for a $"},
      {"${A:-${NAME}}", nullptr, "'${' inside of '${...}' is not supported"},
      {"${file:/nonexistent/x}", nullptr,
       "'/nonexistent/x' cannot be read: No such file or directory"},
  }));
  CAPTURE(row.text);
  Node root = Load("list:\n  - '" + std::string(row.text) + "'\n");
  Findings findings;
  Substitute(root, lookup, findings);
  const Node& scalar = At(root, "list").list[0];
  CHECK(scalar.kind == Node::Kind::kScalar);
  if (row.error == nullptr) {
    CHECK(findings.errors() == std::vector<std::string>{});
    CHECK(scalar.scalar == row.result);
  } else {
    CHECK(findings.errors() == std::vector<std::string>{"f.yaml:2:5: " + std::string(row.error)});
  }
}

TEST_CASE("substitute: keys stay, all mistakes are reported, and what comes in stays one text") {
  Node root = Load("${A}: ${A}\nb: ['${B}', \"${A}\", {c: '${C}'}]\n");
  const EnvLookup lookup = [](const std::string& name) -> std::optional<std::string> {
    if (name == "A") return "x: {y: 1}\nrules: []";
    return {};
  };
  Findings findings;
  Substitute(root, lookup, findings);
  CHECK(Brief(root) ==
        "{${A}: <x: {y: 1}\nrules: []>, b: [\"${B}\", \"x: {y: 1}\nrules: []\", {c: \"${C}\"}]}");
  REQUIRE(findings.errors().size() == 2);
  CHECK(findings.errors()[0].starts_with("f.yaml:2:5: the environment variable B"));
  CHECK(findings.errors()[1].starts_with("f.yaml:2:25: the environment variable C"));
  CHECK(At(Load(PrintYaml(root)), "${A}").scalar == "x: {y: 1}\nrules: []");
}

TEST_CASE("substitute: files, from the directory of the file that names them") {
  std::string name = (std::filesystem::temp_directory_path() / "heartbeatd-yaml-XXXXXX").string();
  REQUIRE(mkdtemp(name.data()) != nullptr);
  const std::filesystem::path directory(name);
  const auto write = [&](const char* file, std::string_view text) {
    std::ofstream(directory / file, std::ios::binary) << text;
  };
  write("secret", "s3cret: ${X}\n");
  write("windows", "a\nb\r\n");
  write("two", "x\n\n");
  write("large", std::string(64 * 1024 + 1, 'x'));
  write("config.yaml", "a: ${file:secret}\nb: ${file:windows}\nc: ${file:two}\nd: ${file:" +
                           (directory / "secret").string() +
                           "}\ne: <${file:secret}>\nf: ${file:large}\ng: ${file:.}\n");
  Node root = *LoadYamlFile((directory / "config.yaml").string());
  Findings findings;
  Substitute(root, ProcessEnvironment, findings);
  CHECK(At(root, "a").scalar == "s3cret: ${X}");
  CHECK(At(root, "b").scalar == "a\nb");
  CHECK(At(root, "c").scalar == "x\n");  // one line end only
  CHECK(At(root, "d").scalar == "s3cret: ${X}");
  CHECK(At(root, "e").scalar == "<s3cret: ${X}>");
  REQUIRE(findings.errors().size() == 2);
  CHECK(findings.errors()[0].ends_with("config.yaml:6:4: '" + (directory / "large").string() +
                                       "' is larger than 65536 bytes"));
  CHECK(findings.errors()[1].find(" cannot be read: Is a directory") != std::string::npos);
  std::filesystem::remove_all(directory);
}

TEST_CASE("substitute: the process's environment") {
  REQUIRE(setenv("HEARTBEATD_YAML_TEST", "here", 1) == 0);
  CHECK(ProcessEnvironment("HEARTBEATD_YAML_TEST") == "here");
  REQUIRE(unsetenv("HEARTBEATD_YAML_TEST") == 0);
  CHECK_FALSE(ProcessEnvironment("HEARTBEATD_YAML_TEST"));
}

TEST_CASE("merge: one file over another") {
  struct Row {
    const char* base;
    const char* over;
    const char* merged;
  };
  const Row row = GENERATE(values<Row>({
      {"{a: 1, b: 2}", "{b: 3, c: 4}", "{a: <1>, b: <3>, c: <4>}"},
      {"{a: {x: 1, y: {z: 2}}}", "{a: {y: {w: 3}}}", "{a: {x: <1>, y: {z: <2>, w: <3>}}}"},
      {"{a: [1, 2]}", "{a: [3]}", "{a: [<3>]}"},
      {"{a: {x: 1}}", "{a: 5}", "{a: <5>}"},
      {"{a: 5}", "{a: {x: 1}}", "{a: {x: <1>}}"},
      {"{a: 5}", "{a: '5'}", "{a: \"5\"}"},
      {"{a: {x: 1}}", "{a: ~}", "{a: ~}"},
      {"{a: 1}", "", "{a: <1>}"},
      {"", "{a: 1}", "{a: <1>}"},
      {"", "", "~"},
      {"{a: 1}", "[1]", "[<1>]"},
      // Rules merge by id.
      {"rules: [{id: a, hold: 1d, w: {x: 1}}, {id: b}]",
       "rules: [{id: a, hold: 2d, w: {y: 2}}, {id: c}]",
       "{rules: [{id: <a>, hold: <2d>, w: {x: <1>, y: <2>}}, {id: <b>}, {id: <c>}]}"},
      {"rules: [{id: a}]", "rules: []", "{rules: [{id: <a>}]}"},
      {"rules: []", "rules: [{id: a}]", "{rules: [{id: <a>}]}"},
      {"rules: [{id: 1}]", "rules: [{id: '1', x: 2}]", "{rules: [{id: \"1\", x: <2>}]}"},
      {"x: {rules: [{id: a, b: 1}]}", "x: {rules: [{id: a, c: 2}]}",
       "{x: {rules: [{id: <a>, b: <1>, c: <2>}]}}"},
      // Not by id: other keys, items without one.
      {"other: [{id: a, x: 1}]", "other: [{id: a}]", "{other: [{id: <a>}]}"},
      {"rules: [{id: a, x: 1}]", "rules: [{id: a}, {}]", "{rules: [{id: <a>}, {}]}"},
      {"rules: [x]", "rules: [{id: a}]", "{rules: [{id: <a>}]}"},
      {"rules: [{id: [1], x: 1}]", "rules: [{id: [1]}]", "{rules: [{id: [<1>]}]}"},
      {"rules: [{id: a}]", "rules: ~", "{rules: ~}"},
      // Twice in one file stays twice, for the caller to see.
      {"rules: []", "rules: [{id: a, x: 1}, {id: a, y: 2}]",
       "{rules: [{id: <a>, x: <1>}, {id: <a>, y: <2>}]}"},
  }));
  CAPTURE(row.base, row.over);
  CHECK(Brief(Merge(Load(row.base), Load(row.over))) == row.merged);
}

TEST_CASE("merge: places are those of the file that said so") {
  const Node base = *LoadYamlText("a: 1\nb:\n  c: 2\n  d: 3\n", "base.yaml");
  const Node over = *LoadYamlText("b:\n  d: 4\n  e: 5\n", "over.yaml");
  const Node merged = Merge(base, over);
  CHECK(At(merged, "a").place.ToString() == "base.yaml:1:4");
  CHECK(At(At(merged, "b"), "c").place.ToString() == "base.yaml:3:6");
  CHECK(At(At(merged, "b"), "d").place.ToString() == "over.yaml:2:6");
  CHECK(At(merged, "b").map[1].place.ToString() == "over.yaml:2:3");
  CHECK(At(At(merged, "b"), "e").place.ToString() == "over.yaml:3:6");
}

TEST_CASE("merge: two rules with one id within a file are found") {
  Findings findings;
  ReportRepeatedRuleIds(Load("rules:\n  - id: a\n  - id: b\n  - id: a\n  - {x: 1}\n  - id: a\n"),
                        findings);
  CHECK(findings.errors() ==
        std::vector<std::string>{
            "f.yaml:4:9: a second rule with the id 'a': the first is in line 2",
            "f.yaml:6:9: a second rule with the id 'a': the first is in line 2"});
  Findings none;
  ReportRepeatedRuleIds(Load("a: 1"), none);
  ReportRepeatedRuleIds(Load("rules: x"), none);
  ReportRepeatedRuleIds(Load("[1]"), none);
  ReportRepeatedRuleIds(Load(""), none);
  CHECK(none.ok());
}

TEST_CASE("print: how it looks") {
  const std::string text =
      "app: heartbeatd\n"
      "empty: null\n"
      "port: \"9092\"\n"
      "list: []\n"
      "map: {}\n"
      "rules:\n"
      "  - id: a\n"
      "    where:\n"
      "      channel: app\n"
      "    text: \"a: b # c\"\n"
      "  - - 1\n"
      "    - -2.5\n"
      "    - - x\n"
      "  - null\n"
      "\"null\": \"line\\nend\\t\\\"\\\\ \\x01\"\n";
  CHECK(PrintYaml(Load(text)) == text);
  CHECK(PrintYaml(Load("")) == "null\n");
  CHECK(PrintYaml(Load("x y")) == "x y\n");
  CHECK(PrintYaml(Load("{}")) == "{}\n");
}

TEST_CASE("print: any tree loads back") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::vector<std::string> pieces = {"a",
                                           "B7",
                                           " ",
                                           ":",
                                           "#",
                                           "-",
                                           "?",
                                           "[",
                                           "]",
                                           "{",
                                           "}",
                                           ",",
                                           "&",
                                           "*",
                                           "!",
                                           "|",
                                           ">",
                                           "'",
                                           "\"",
                                           "%",
                                           "@",
                                           "`",
                                           "\n",
                                           "\t",
                                           "\r",
                                           "\\",
                                           "null",
                                           "~",
                                           "<<",
                                           "---",
                                           "...",
                                           "$",
                                           "\x01",
                                           "\x7f",
                                           "=",
                                           "\xC3\xAB",
                                           "\xE2\x80\xA8",
                                           "\xC2\x85",
                                           "\xEF\xBB\xBF",
                                           "\xF0\x9F\x98\x80",
                                           "0",
                                           "1.5",
                                           "true",
                                           "\x04"};
  const auto text = [&] {
    std::string out;
    for (uint64_t n = random() % 6; n > 0; --n) out += pieces[random() % pieces.size()];
    return out;
  };
  const std::function<Node(int)> tree = [&](int depth) {
    Node node;
    const uint64_t kind = random() % (depth == 0 ? 5 : 9);
    if (kind == 0) return node;
    if (kind < 5) {
      node.kind = Node::Kind::kScalar;
      node.scalar = text();
      node.quoted = random() % 2 == 0;
    } else if (kind < 7) {
      node.kind = Node::Kind::kList;
      for (uint64_t n = random() % 4; n > 0; --n) node.list.push_back(tree(depth - 1));
    } else {
      node.kind = Node::Kind::kMap;
      for (uint64_t n = random() % 4; n > 0; --n) {
        const std::string key = text();
        if (node.Find(key) == nullptr) node.map.push_back({key, {}, tree(depth - 1)});
      }
    }
    return node;
  };
  // Equal but for `quoted` of texts that cannot stand without quotes.
  const std::function<bool(const Node&, const Node&)> equal = [&](const Node& a, const Node& b) {
    if (a.kind != b.kind || a.scalar != b.scalar || (a.quoted && !b.quoted)) return false;
    if (a.list.size() != b.list.size() || a.map.size() != b.map.size()) return false;
    for (size_t i = 0; i < a.list.size(); ++i) {
      if (!equal(a.list[i], b.list[i])) return false;
    }
    for (size_t i = 0; i < a.map.size(); ++i) {
      if (a.map[i].key != b.map[i].key || !equal(a.map[i].value, b.map[i].value)) return false;
    }
    return true;
  };
  for (int i = 0; i < 3'000; ++i) {
    const Node node = tree(4);
    const std::string printed = PrintYaml(node);
    const auto back = LoadYamlText(printed, "printed");
    if (!back) FAIL(printed << "\n" << back.error().message);
    if (!equal(node, *back)) FAIL(printed << "\nloads as\n" << Brief(*back));
    if (PrintYaml(*back) != printed) FAIL(printed << "\nthen prints as\n" << PrintYaml(*back));
  }
  // What is usual stays without quotes, numbers above all.
  for (const char* plain : {"0", "-1.5", "1e-3", "28d", "true", "a b", "http://x:1/y", "a#b",
                            "it's", "${X}x", "1.2.3.4:9092"}) {
    Node node;
    node.kind = Node::Kind::kScalar;
    node.scalar = plain;
    CHECK(PrintYaml(node) == std::string(plain) + "\n");
    CHECK(Brief(Load(PrintYaml(node))) == Brief(node));
  }
}

TEST_CASE("print: keys of any bytes up to the limit load back") {
  for (const char* unit : {"x", "\x01", "\"", "\xC3\xAB"}) {
    Node root;
    root.kind = Node::Kind::kMap;
    Node value;
    value.kind = Node::Kind::kScalar;
    value.scalar = "v";
    root.map.push_back({Repeat(unit, kYamlKeyBytesMax / std::string(unit).size()), {}, value});
    CHECK(Brief(Load(PrintYaml(root))) == Brief(root));
  }
}
