// A configuration file as a tree that remembers where each thing stands, and a reader that turns
// its maps into structs while collecting every error, not only the first.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/duration.h"
#include "base/error.h"
#include "base/time.h"

namespace heartbeatd {

// Where something stands, for people: line and column count from 1.
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
  [[nodiscard]] std::string ToString() const;  // "file:line:column"
};

// One value of a configuration tree. Maps keep the order of their keys. Plain data.
class Node {
 public:
  enum class Kind { kNull, kScalar, kList, kMap };

  struct Entry;

  Kind kind = Kind::kNull;
  Place place;
  std::string scalar;   // kScalar: its text
  bool quoted = false;  // kScalar: written in quotes, hence a string even if it looks like a number
  std::vector<Node> list;  // kList
  std::vector<Entry> map;  // kMap

  [[nodiscard]] const Node* Find(std::string_view key) const;
  Node* Find(std::string_view key);
};

struct Node::Entry {
  std::string key;
  Place place;  // of the key
  Node value;
};

// All errors and warnings found so far, in the order in which they were found.
class Findings {
 public:
  void Error(const Place& place, const std::string& message) {
    errors_.push_back(place.ToString() + ": " + message);
  }
  void Warn(const Place& place, const std::string& message) {
    warnings_.push_back(place.ToString() + ": " + message);
  }
  [[nodiscard]] bool ok() const { return errors_.empty(); }
  [[nodiscard]] const std::vector<std::string>& errors() const { return errors_; }
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::vector<std::string> errors_;
  std::vector<std::string> warnings_;
};

// The nearest of `known` to a mistyped `word`, as " (did you mean 'x'?)", or nothing.
std::string DidYouMean(std::string_view word, const std::vector<std::string>& known);

// Reads one map. Every getter notes its key as known; Finish() reports all others. A getter that
// finds a value it cannot use reports it and returns the default, so reading goes on.
// `node` may be null: then every key is absent. Keeps references: must not outlive node or
// findings.
class MapReader {
 public:
  // `what` names the map in messages: "rule", "measure 'logins'".
  MapReader(const Node* node, std::string what, Findings& findings);

  bool Has(std::string_view key);
  // The value, or null if it is absent; notes the key as known.
  const Node* Child(std::string_view key);
  // As Child, but its absence is an error.
  const Node* Required(std::string_view key);

  std::optional<std::string> Text(std::string_view key);
  std::string Text(std::string_view key, std::string fallback);
  // A number within [low, high].
  std::optional<double> Number(std::string_view key, double low, double high);
  double Number(std::string_view key, double fallback, double low, double high);
  std::optional<int64_t> Integer(std::string_view key, int64_t low, int64_t high);
  int64_t Integer(std::string_view key, int64_t fallback, int64_t low, int64_t high);
  std::optional<Duration> Time(std::string_view key);  // a duration
  Duration Time(std::string_view key, Duration fallback);
  bool Flag(std::string_view key, bool fallback);
  // A scalar or a list of scalars.
  std::vector<std::string> Texts(std::string_view key);
  // A scalar or a list of scalars, each one of `words`: their indexes. `kind` says what they name,
  // as in "stage".
  std::vector<size_t> Words(std::string_view key, std::string_view kind,
                            const std::vector<std::string>& words);
  // One of `choices`: its index.
  std::optional<size_t> Choice(std::string_view key,
                               std::initializer_list<std::string_view> choices);

  // Reports keys that nobody asked for. Call once, after the last getter.
  void Finish();

  void ErrorAt(std::string_view key,
               const std::string& message);  // at the key's value, or at the map
  [[nodiscard]] Findings& findings() { return findings_; }
  [[nodiscard]] Place place() const { return node_ != nullptr ? node_->place : Place{}; }
  [[nodiscard]] const std::string& what() const { return what_; }

 private:
  const Node* Scalar(std::string_view key);

  const Node* node_;
  std::string what_;
  Findings& findings_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace heartbeatd
