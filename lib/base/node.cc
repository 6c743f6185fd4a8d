#include "base/node.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

namespace heartbeatd {
namespace {

std::optional<double> ParseNumber(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [last, failure] = std::from_chars(text.data(), end, value);
  if (failure != std::errc() || last != end || !std::isfinite(value)) return {};
  return value;
}

// Levenshtein distance.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Place::ToString() const { return fmt::format("{}:{}:{}", file, line, column); }

const Node* Node::Find(std::string_view key) const {
  const auto it =
      std::find_if(map.begin(), map.end(), [&](const Entry& e) { return e.key == key; });
  return it == map.end() ? nullptr : &it->value;
}

Node* Node::Find(std::string_view key) {
  const auto it =
      std::find_if(map.begin(), map.end(), [&](const Entry& e) { return e.key == key; });
  return it == map.end() ? nullptr : &it->value;
}

std::string DidYouMean(std::string_view word, const std::vector<std::string>& known) {
  const std::string* best = nullptr;
  // Fewer changes than letters: else every short key would be "meant".
  size_t best_distance = std::min(std::max<size_t>(2, word.size() / 3) + 1, word.size());
  for (const std::string& candidate : known) {
    const size_t distance = Distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = &candidate;
    }
  }
  return best != nullptr ? fmt::format(" (did you mean '{}'?)", *best) : "";
}

MapReader::MapReader(const Node* node, std::string what, Findings& findings)
    : node_(node), what_(std::move(what)), findings_(findings) {
  if (node_ != nullptr && node_->kind != Node::Kind::kMap && node_->kind != Node::Kind::kNull) {
    findings_.Error(node_->place, fmt::format("{} must be a map of keys and values", what_));
    node_ = nullptr;
  }
}

bool MapReader::Has(std::string_view key) { return Child(key) != nullptr; }

const Node* MapReader::Child(std::string_view key) {
  known_.emplace(key);
  return node_ != nullptr ? node_->Find(key) : nullptr;
}

const Node* MapReader::Required(std::string_view key) {
  const Node* child = Child(key);
  if (child == nullptr && node_ != nullptr) {
    findings_.Error(node_->place, fmt::format("{} needs '{}'", what_, key));
  }
  return child;
}

const Node* MapReader::Scalar(std::string_view key) {
  const Node* child = Child(key);
  if (child == nullptr) return nullptr;
  if (child->kind != Node::Kind::kScalar) {
    findings_.Error(child->place, fmt::format("'{}' of {} must be a single value", key, what_));
    return nullptr;
  }
  return child;
}

std::optional<std::string> MapReader::Text(std::string_view key) {
  const Node* child = Scalar(key);
  if (child == nullptr) return {};
  return child->scalar;
}

std::string MapReader::Text(std::string_view key, std::string fallback) {
  return Text(key).value_or(std::move(fallback));
}

std::optional<double> MapReader::Number(std::string_view key, double low, double high) {
  const Node* child = Scalar(key);
  if (child == nullptr) return {};
  const std::optional<double> value = ParseNumber(child->scalar);
  if (!value) {
    findings_.Error(child->place, fmt::format("'{}' of {} must be a number, not '{}'", key, what_,
                                              child->scalar));
    return {};
  }
  if (*value < low || *value > high) {
    findings_.Error(child->place, fmt::format("'{}' of {} must be from {} to {}, not {}", key,
                                              what_, low, high, child->scalar));
    return {};
  }
  return value;
}

double MapReader::Number(std::string_view key, double fallback, double low, double high) {
  return Number(key, low, high).value_or(fallback);
}

std::optional<int64_t> MapReader::Integer(std::string_view key, int64_t low, int64_t high) {
  const std::optional<double> value =
      Number(key, static_cast<double>(low), static_cast<double>(high));
  const Node* child = Child(key);
  if (!value || child == nullptr) return {};
  if (*value != std::floor(*value)) {
    ErrorAt(key, fmt::format("'{}' of {} must be a whole number", key, what_));
    return {};
  }
  // A double rounds beyond 2^53, and 2^63 does not fit.
  const std::string& text = child->scalar;
  int64_t exact = 0;
  const auto [last, failure] = std::from_chars(text.data(), text.data() + text.size(), exact);
  if (failure == std::errc() && last == text.data() + text.size() && exact >= low && exact <= high)
    return exact;
  constexpr double kExactMax = 9007199254740992.0;
  if (std::abs(*value) <= kExactMax) return static_cast<int64_t>(*value);
  ErrorAt(key,
          fmt::format("'{}' of {} must be from {} to {}, not {}", key, what_, low, high, text));
  return {};
}

int64_t MapReader::Integer(std::string_view key, int64_t fallback, int64_t low, int64_t high) {
  return Integer(key, low, high).value_or(fallback);
}

std::optional<Duration> MapReader::Time(std::string_view key) {
  const Node* child = Scalar(key);
  if (child == nullptr) return {};
  const Result<Duration> value = ParseDuration(child->scalar);
  if (!value) {
    findings_.Error(child->place, fmt::format("'{}' of {}: {}", key, what_, value.error().message));
    return {};
  }
  return *value;
}

Duration MapReader::Time(std::string_view key, Duration fallback) {
  return Time(key).value_or(fallback);
}

bool MapReader::Flag(std::string_view key, bool fallback) {
  const Node* child = Scalar(key);
  if (child == nullptr) return fallback;
  if (child->scalar == "true") return true;
  if (child->scalar == "false") return false;
  findings_.Error(child->place, fmt::format("'{}' of {} must be true or false, not '{}'", key,
                                            what_, child->scalar));
  return fallback;
}

std::vector<std::string> MapReader::Texts(std::string_view key) {
  const Node* child = Child(key);
  std::vector<std::string> out;
  if (child == nullptr) return out;
  if (child->kind == Node::Kind::kScalar) return {child->scalar};
  if (child->kind != Node::Kind::kList) {
    findings_.Error(child->place,
                    fmt::format("'{}' of {} must be a value or a list of values", key, what_));
    return out;
  }
  for (const Node& item : child->list) {
    if (item.kind == Node::Kind::kScalar) {
      out.push_back(item.scalar);
    } else {
      findings_.Error(item.place,
                      fmt::format("'{}' of {}: every item must be a single value", key, what_));
    }
  }
  return out;
}

std::vector<size_t> MapReader::Words(std::string_view key, std::string_view kind,
                                     const std::vector<std::string>& words) {
  std::vector<size_t> out;
  const std::vector<std::string> texts = Texts(key);
  const Node* child = Child(key);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto it = std::find(words.begin(), words.end(), texts[i]);
    if (it != words.end()) {
      out.push_back(static_cast<size_t>(it - words.begin()));
      continue;
    }
    const bool listed = child->kind == Node::Kind::kList && child->list.size() == texts.size();
    findings_.Error(listed ? child->list[i].place : child->place,
                    fmt::format("'{}' of {}: '{}' is no {}{}; there are {}", key, what_, texts[i],
                                kind, DidYouMean(texts[i], words), fmt::join(words, ", ")));
  }
  return out;
}

std::optional<size_t> MapReader::Choice(std::string_view key,
                                        std::initializer_list<std::string_view> choices) {
  const Node* child = Scalar(key);
  if (child == nullptr) return {};
  const auto it = std::find(choices.begin(), choices.end(), child->scalar);
  if (it != choices.end()) return static_cast<size_t>(it - choices.begin());
  findings_.Error(child->place, fmt::format("'{}' of {} must be one of {}, not '{}'", key, what_,
                                            fmt::join(choices, ", "), child->scalar));
  return {};
}

void MapReader::Finish() {
  if (node_ == nullptr) return;
  for (const Node::Entry& entry : node_->map) {
    if (known_.contains(entry.key)) continue;
    const std::vector<std::string> known(known_.begin(), known_.end());
    findings_.Error(entry.place, fmt::format("unknown key '{}' in {}{}", entry.key, what_,
                                             DidYouMean(entry.key, known)));
  }
}

void MapReader::ErrorAt(std::string_view key, const std::string& message) {
  const Node* child = node_ != nullptr ? node_->Find(key) : nullptr;
  findings_.Error(child != nullptr ? child->place : place(), message);
}

}  // namespace heartbeatd
