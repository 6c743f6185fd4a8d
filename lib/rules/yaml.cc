#include "rules/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>
#include <utility>
#include <vector>

namespace heartbeatd {
namespace {

// The number of bytes of the UTF-8 character that `text` begins with; 0 if it does not.
size_t CharacterBytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  const size_t size = lead < 0x80                   ? 1
                      : lead >= 0xC2 && lead < 0xE0 ? 2
                      : lead >= 0xE0 && lead < 0xF0 ? 3
                      : lead >= 0xF0 && lead < 0xF5 ? 4
                                                    : 0;
  if (size == 0 || size > text.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and beyond U+10FFFF.
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;
  if (lead == 0xED && byte(1) >= 0xA0) return 0;
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) >= 0x90) return 0;
  return size;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t size = CharacterBytes(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

constexpr size_t kIncludedFileBytesMax = 64 * 1024;

std::unexpected<Error> FailAt(const Place& place, const std::string& message) {
  return Fail(fmt::format("{}: {}", place.ToString(), message), ExitCode::kConfig);
}

// ---- Loading
// ---------------------------------------------------------------------------------------

// Thrown by TreeBuilder through yaml-cpp, which has no other way to stop; caught in LoadYamlText.
struct Stop {
  Place place;
  std::string message;
};

// How much of the bounds a tree takes.
struct Size {
  size_t nodes = 1;
  size_t bytes = 0;
  size_t levels = 0;  // of lists and maps

  void AddChild(const Size& child) {
    nodes += child.nodes;
    bytes += child.bytes;
    levels = std::max(levels, child.levels + 1);
  }
};

// Turns yaml-cpp's events into a tree. Events instead of yaml-cpp's own tree: that one hides
// repeated keys, forgets where keys stand, and shares aliased nodes.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string file) : file_(std::move(file)) {
    root_.place = Place{file_, 1, 1};
  }

  Node TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (started_) throw Stop{At(mark), "a second document: write one document a file"};
    started_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.place = At(mark);
    // An empty value is noticed only at whatever comes next.
    if (open_.empty()) node.place = root_.place;
    if (!open_.empty() && open_.back().key && open_.back().key_place.line != node.place.line) {
      node.place = open_.back().key_place;
    }
    Complete(std::move(node), anchor, Size{}, true);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) throw Stop{At(mark), "an alias inside of what it stands for"};
    const auto& [node, size] = it->second;
    Charge(size, At(mark));
    if (open_.size() + size.levels > kYamlDepthMax) throw Stop{At(mark), TooDeep()};
    Node copy = node;
    copy.place = At(mark);
    Complete(std::move(copy), YAML::NullAnchor, size, false);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node;
    node.kind = Node::Kind::kScalar;
    node.place = At(mark);
    node.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!node.quoted) CheckTag(tag, node.place);
    // yaml-cpp's own escapes are not all of them in UTF-8.
    if (!IsUtf8(value))
      throw Stop{node.place, "the escape \\N or \\_: write \\u0085 or \\u00a0 instead"};
    node.scalar = value;
    Complete(std::move(node), anchor, Size{1, value.size(), 0}, true);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    Open(Node::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    Open(Node::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override {
    RefuseRepeatedKeys(open_.back().node);
    Close();
  }

 private:
  // A list or map whose end has not come yet.
  struct Container {
    Node node;
    YAML::anchor_t anchor;
    Size size;
    std::optional<std::string> key;  // of the entry whose value comes next
    Place key_place;
  };

  [[nodiscard]] Place At(const YAML::Mark& mark) const {
    return {file_, mark.line + 1, mark.column + 1};
  }

  static void CheckTag(const std::string& tag, const Place& place) {
    if (tag != "?") throw Stop{place, fmt::format("the tag '{}' is not supported", tag)};
  }

  static std::string TooDeep() {
    return fmt::format("nested deeper than {} levels", kYamlDepthMax);
  }

  void Charge(const Size& size, const Place& place) {
    nodes_ += size.nodes;
    bytes_ += size.bytes;
    if (nodes_ > kYamlNodesMax)
      throw Stop{place, fmt::format("more than {} values", kYamlNodesMax)};
    if (bytes_ > kYamlTextBytesMax)
      throw Stop{place, fmt::format("more than {} bytes of text", kYamlTextBytesMax)};
  }

  void Open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    Container container;
    container.node.kind = kind;
    container.node.place = At(mark);
    container.anchor = anchor;
    CheckTag(tag, container.node.place);
    container.size.levels = 1;
    Charge(container.size, container.node.place);
    if (open_.size() == kYamlDepthMax) throw Stop{container.node.place, TooDeep()};
    open_.push_back(std::move(container));
  }

  void Close() {
    Container done = std::move(open_.back());
    open_.pop_back();
    Complete(std::move(done.node), done.anchor, done.size, false);
  }

  // `node` is whole: gives it to whatever contains it. `charge`: its size has not been counted yet.
  void Complete(Node node, YAML::anchor_t anchor, Size size, bool charge) {
    if (charge) Charge(size, node.place);
    if (anchor != YAML::NullAnchor) {
      Charge(size, node.place);
      anchors_[anchor] = {node, size};
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Container& parent = open_.back();
    parent.size.AddChild(size);
    if (parent.node.kind == Node::Kind::kList) {
      parent.node.list.push_back(std::move(node));
    } else if (!parent.key) {
      CheckKey(node);
      parent.key_place = node.place;
      parent.key = std::move(node.scalar);
    } else {
      parent.node.map.push_back({*std::move(parent.key), parent.key_place, std::move(node)});
      parent.key.reset();
    }
  }

  static void CheckKey(const Node& key) {
    if (key.kind != Node::Kind::kScalar) throw Stop{key.place, "a key must be a single text"};
    if (key.scalar.size() > kYamlKeyBytesMax) {
      throw Stop{key.place, fmt::format("a key of more than {} bytes", kYamlKeyBytesMax)};
    }
    if (key.scalar == "<<" && !key.quoted)
      throw Stop{key.place, "merge keys (<<) are not supported: write the keys out"};
  }

  static void RefuseRepeatedKeys(const Node& map) {
    std::vector<size_t> order(map.map.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto before = [&](size_t a, size_t b) {
      const int order_of_keys = map.map[a].key.compare(map.map[b].key);
      return order_of_keys < 0 || (order_of_keys == 0 && a < b);
    };
    std::sort(order.begin(), order.end(), before);
    const auto same = [&](size_t a, size_t b) { return map.map[a].key == map.map[b].key; };
    const auto it = std::adjacent_find(order.begin(), order.end(), same);
    if (it == order.end()) return;
    const Node::Entry& first = map.map[*it];
    const Node::Entry& second = map.map[*std::next(it)];
    throw Stop{second.place, fmt::format("the key '{}' is here twice: it stands already in line {}",
                                         second.key, first.place.line)};
  }

  const std::string file_;
  Node root_;
  bool started_ = false;
  std::vector<Container> open_;
  std::map<YAML::anchor_t, std::pair<Node, Size>> anchors_;
  size_t nodes_ = 0;  // so far, kept copies counted
  size_t bytes_ = 0;
};

bool IsControl(char c) { return (c >= 0 && c < 0x20) || c == 0x7F; }

// yaml-cpp takes byte 4 for the end of the file and passes malformed text on: refused before it.
Status CheckText(std::string_view text, const std::string& name) {
  Place place{name, 1, 1};
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '\n') {
      ++place.line;
      place.column = 0;
    } else if (IsControl(c) && c != '\t' && c != '\r') {
      return FailAt(
          place,
          fmt::format("the control character 0x{:02x}: write it as an escape in double quotes", c));
    }
    const size_t size = CharacterBytes(text.substr(i));
    if (size == 0) return FailAt(place, "not UTF-8: save the file in that encoding");
    i += size;
    ++place.column;
  }
  return {};
}

// A whole file, or why not: "cannot be read: No such file or directory".
Result<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  const auto failed = [](int reason) {
    return Fail(fmt::format("cannot be read: {}", std::strerror(reason)), ExitCode::kConfig);
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return failed(EISDIR);
  std::ifstream in(path, std::ios::binary);
  if (!in) return failed(errno);
  std::string text(bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return failed(errno);
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > bytes_max)
    return Fail(fmt::format("is larger than {} bytes", bytes_max), ExitCode::kConfig);
  return text;
}

// ---- Substitution
// ----------------------------------------------------------------------------------

bool IsVariableName(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && letter(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

// The value of the `expression` between the braces, or the message of an error.
Result<std::string> Evaluate(std::string_view expression, const Place& place,
                             const EnvLookup& lookup) {
  if (expression.starts_with("file:")) {
    const std::filesystem::path relative(expression.substr(5));
    const std::string path = (std::filesystem::path(place.file).parent_path() / relative).string();
    Result<std::string> content = ReadFile(path, kIncludedFileBytesMax);
    if (!content) return Fail(fmt::format("'{}' {}", path, content.error().message));
    if (content->ends_with('\n')) content->pop_back();
    if (content->ends_with('\r')) content->pop_back();
    return content;
  }
  const size_t colon = expression.find(':');
  const std::string name(expression.substr(0, colon));
  const std::string_view rest = colon == std::string_view::npos ? "" : expression.substr(colon);
  const bool has_default = rest.starts_with(":-");
  const bool has_message = rest.starts_with(":?");
  if (!IsVariableName(name) || (!rest.empty() && !has_default && !has_message)) {
    return Fail(
        "write ${NAME}, ${NAME:-default}, ${NAME:?message} or ${file:PATH}, and $$ for a $");
  }
  const std::optional<std::string> value = lookup(name);
  if (has_default) return value && !value->empty() ? *value : std::string(rest.substr(2));
  if (has_message && (!value || value->empty()))
    return Fail(fmt::format("{}: {}", name, rest.substr(2)));
  if (!value)
    return Fail(fmt::format(
        "the environment variable {0} is not set; ${{{0}:-default}} allows that", name));
  return *value;
}

Result<std::string> Expand(std::string_view text, const Place& place, const EnvLookup& lookup) {
  std::string out;
  while (true) {
    const size_t dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == std::string_view::npos) return out;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('$')) {
      out += '$';
      text.remove_prefix(1);
    } else if (text.starts_with('{')) {
      const size_t end = text.find('}');
      if (end == std::string_view::npos) return Fail("'${' without its '}'; write $$ for a $");
      const std::string_view expression = text.substr(1, end - 1);
      if (expression.find("${") != std::string_view::npos)
        return Fail("'${' inside of '${...}' is not supported");
      Result<std::string> value = Evaluate(expression, place, lookup);
      if (!value) return value;
      out += *value;
      text.remove_prefix(end + 1);
    } else {
      out += '$';
    }
  }
}

// ---- Merging
// ---------------------------------------------------------------------------------------

bool IsListWithIds(const Node& node) {
  return node.kind == Node::Kind::kList &&
         std::all_of(node.list.begin(), node.list.end(), [](const Node& item) {
           const Node* id = item.kind == Node::Kind::kMap ? item.Find("id") : nullptr;
           return id != nullptr && id->kind == Node::Kind::kScalar;
         });
}

void MergeInto(Node& base, const Node& over);

void MergeLists(Node& base, const Node& over) {
  // Only what the earlier files have: equal ids within `over` must stay visible to the caller.
  const size_t earlier = base.list.size();
  for (const Node& item : over.list) {
    const std::string& id = item.Find("id")->scalar;
    const auto end = base.list.begin() + static_cast<std::ptrdiff_t>(earlier);
    const auto same = std::find_if(base.list.begin(), end,
                                   [&](const Node& n) { return n.Find("id")->scalar == id; });
    if (same != end) {
      MergeInto(*same, item);
    } else {
      base.list.push_back(item);
    }
  }
}

void MergeInto(Node& base, const Node& over) {
  if (base.kind != Node::Kind::kMap || over.kind != Node::Kind::kMap) {
    base = over;
    return;
  }
  base.place = over.place;
  for (const Node::Entry& entry : over.map) {
    const auto same_key = [&](const Node::Entry& e) { return e.key == entry.key; };
    const auto mine = std::find_if(base.map.begin(), base.map.end(), same_key);
    if (mine == base.map.end()) {
      base.map.push_back(entry);
      continue;
    }
    mine->place = entry.place;
    if (entry.key == "rules" && IsListWithIds(mine->value) && IsListWithIds(entry.value)) {
      MergeLists(mine->value, entry.value);
    } else {
      MergeInto(mine->value, entry.value);
    }
  }
}

// ---- Printing
// --------------------------------------------------------------------------------------

bool LooksNull(std::string_view text) {
  constexpr std::array<std::string_view, 5> kNulls = {"", "~", "null", "Null", "NULL"};
  return std::find(kNulls.begin(), kNulls.end(), text) != kNulls.end();
}

// Whether `text` may stand without quotes, as a key or as a value.
bool IsPlain(std::string_view text) {
  if (LooksNull(text) || text == "<<" || text.ends_with(':') || text.ends_with(' ')) return false;
  if (text.starts_with("---") || text.starts_with("...")) return false;
  constexpr std::string_view kIndicators = " ?:,[]{}#&*!|>'\"%@`";
  if (kIndicators.find(text.front()) != std::string_view::npos) return false;
  if (text == "-" || text.starts_with("- ")) return false;
  // Besides ": " and " #": a byte order mark, and what other YAML readers take for line ends.
  for (const std::string_view part :
       {": ", " #", "\xEF\xBB\xBF", "\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"}) {
    if (text.find(part) != std::string_view::npos) return false;
  }
  return std::none_of(text.begin(), text.end(), IsControl);
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (IsControl(c)) {
      out += fmt::format("\\x{:02X}", c);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string ScalarText(std::string_view text, bool quoted) {
  return quoted || !IsPlain(text) ? Quoted(text) : std::string(text);
}

bool IsBlock(const Node& node) { return !node.list.empty() || !node.map.empty(); }

std::string InlineText(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "null";
    case Node::Kind::kScalar:
      return ScalarText(node.scalar, node.quoted);
    case Node::Kind::kList:
      return "[]";
    case Node::Kind::kMap:
      return "{}";
  }
  std::abort();  // not a member of the enumeration
}

// Writes a list or map that is not empty. The first line's indentation is already there.
void PrintBlock(const Node& node, size_t indent, std::string& out) {
  bool first = true;
  const auto start_line = [&] {
    if (!std::exchange(first, false)) out.append(indent, ' ');
  };
  for (const Node& item : node.list) {
    start_line();
    out += "- ";
    if (IsBlock(item)) {
      PrintBlock(item, indent + 2, out);
    } else {
      out += InlineText(item) + '\n';
    }
  }
  for (const Node::Entry& entry : node.map) {
    start_line();
    out += ScalarText(entry.key, false) + ':';
    if (IsBlock(entry.value)) {
      out += '\n';
      out.append(indent + 2, ' ');
      PrintBlock(entry.value, indent + 2, out);
    } else {
      out += ' ' + InlineText(entry.value) + '\n';
    }
  }
}

}  // namespace

Result<Node> LoadYamlText(std::string_view text, const std::string& name) {
  if (text.size() > kYamlFileBytesMax) {
    return Fail(fmt::format("{} is larger than {} bytes", name, kYamlFileBytesMax),
                ExitCode::kConfig);
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark
  if (Status ok = CheckText(text, name); !ok) return std::unexpected(ok.error());
  // yaml-cpp closes a quote that is open at the end of the file by itself, but not at a document's
  // end.
  std::string closed(text);
  if (!closed.ends_with('\n')) closed += '\n';
  const int last_line = static_cast<int>(std::count(closed.begin(), closed.end(), '\n')) + 1;
  closed += "...\n";
  TreeBuilder builder(name);
  try {
    std::istringstream stream(closed);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop& stop) {
    return FailAt(stop.place, stop.message);
  } catch (const YAML::Exception& e) {
    Place place{name, std::max(e.mark.line, 0) + 1, std::max(e.mark.column, 0) + 1};
    if (place.line < last_line) return FailAt(place, e.msg);
    place = {name, last_line - 1, 1};
    return FailAt(place, e.msg == YAML::ErrorMsg::DOC_IN_SCALAR
                             ? "a quoted text has no closing quote"
                             : e.msg);
  }
  return builder.TakeRoot();
}

Result<Node> LoadYamlFile(const std::string& path) {
  Result<std::string> text = ReadFile(path, kYamlFileBytesMax);
  if (!text) return Fail(fmt::format("{} {}", path, text.error().message), ExitCode::kConfig);
  return LoadYamlText(*text, path);
}

std::optional<std::string> ProcessEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return {};
  return value;
}

void Substitute(Node& node, const EnvLookup& lookup, Findings& findings) {
  if (node.kind == Node::Kind::kScalar && node.scalar.find('$') != std::string::npos) {
    Result<std::string> expanded = Expand(node.scalar, node.place, lookup);
    if (expanded) {
      node.scalar = *std::move(expanded);
    } else {
      findings.Error(node.place, expanded.error().message);
    }
  }
  for (Node& item : node.list) Substitute(item, lookup, findings);
  for (Node::Entry& entry : node.map) Substitute(entry.value, lookup, findings);
}

Node Merge(Node base, const Node& over) {
  if (over.kind != Node::Kind::kNull) MergeInto(base, over);
  return base;
}

void ReportRepeatedRuleIds(const Node& file, Findings& findings) {
  const Node* rules = file.Find("rules");
  if (rules == nullptr) return;
  std::map<std::string_view, int> lines;
  for (const Node& rule : rules->list) {
    const Node* id = rule.Find("id");
    if (id == nullptr || id->kind != Node::Kind::kScalar) continue;
    const auto [earlier, is_new] = lines.emplace(id->scalar, id->place.line);
    if (is_new) continue;
    findings.Error(id->place, fmt::format("a second rule with the id '{}': the first is in line {}",
                                          id->scalar, earlier->second));
  }
}

std::string PrintYaml(const Node& node) {
  if (!IsBlock(node)) return InlineText(node) + '\n';
  std::string out;
  PrintBlock(node, 0, out);
  return out;
}

}  // namespace heartbeatd
