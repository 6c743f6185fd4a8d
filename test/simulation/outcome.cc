#include "simulation/outcome.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "customer/codec.h"

namespace heartbeatd::sim {
namespace {

constexpr size_t kExamplesMax = 5;  // of each kind of mistake

template <typename Fold>
void ForEachCommitted(const Log& log, const Fold& fold) {
  int64_t end = 0;
  for (int64_t next = 0;;) {
    const Entry* entry = log.ReadCommitted(next, &end);
    if (entry == nullptr) return;
    fold(*entry);
    next = entry->offset + 1;
  }
}

std::string HeaderOf(const Entry& entry, std::string_view name) {
  for (const Header& header : entry.headers) {
    if (header.key == name) return header.value;
  }
  return "";
}

std::map<std::string, int64_t> NextOf(const std::string& record) {
  Result<ShardMeta> meta = DecodeMeta(record);
  return meta ? std::move(meta->next) : std::map<std::string, int64_t>();
}

// "missing", "twice", "extra" of two multisets, as lines.
template <typename Key>
std::vector<std::string> Differences(const std::map<Key, int>& expected,
                                     const std::map<Key, int>& seen, const auto& name) {
  std::vector<std::string> out;
  for (const auto& [key, n] : expected) {
    const auto it = seen.find(key);
    const int found = it == seen.end() ? 0 : it->second;
    if (found < n) out.push_back(fmt::format("missing ({} of {}): {}", found, n, name(key)));
    if (found > n) out.push_back(fmt::format("twice ({} instead of {}): {}", found, n, name(key)));
  }
  for (const auto& [key, n] : seen) {
    if (!expected.contains(key)) out.push_back(fmt::format("extra ({}): {}", n, name(key)));
  }
  if (out.size() > kExamplesMax) {
    out[kExamplesMax] = fmt::format("... and {} more", out.size() - kExamplesMax);
    out.resize(kExamplesMax + 1);
  }
  return out;
}

}  // namespace

std::string WithoutLateBy(std::string payload) {
  const size_t begin = payload.find("\"late_by\":\"");
  if (begin == std::string::npos) return payload;
  return payload.erase(begin, payload.find("\",", begin) + 2 - begin);
}

EventTime TimeOfAlert(const std::string& payload) {
  constexpr std::string_view kName = "\"time\":\"";
  const size_t begin = payload.find(kName) + kName.size();
  const std::optional<EventTime> time =
      ParseRfc3339(payload.substr(begin, payload.find('"', begin) - begin));
  if (time) return *time;
  fmt::print(stderr, "an alert without a time: {}\n", payload);
  std::abort();
}

Outcome SeenIn(const std::map<TopicPartition, Log>& logs, EventTime until) {
  Outcome seen;
  for (const auto& [at, log] : logs) {
    if (at.topic == "alerts") {
      ForEachCommitted(log, [&](const Entry& entry) {
        if (TimeOfAlert(*entry.value) <= until) ++seen.alerts[WithoutLateBy(*entry.value)];
      });
    } else if (at.topic == "dead") {
      ForEachCommitted(log, [&](const Entry& entry) {
        ++seen.dead_letters[{HeaderOf(entry, "reason"),
                             std::stoi(HeaderOf(entry, "source_partition")),
                             std::stoll(HeaderOf(entry, "source_offset"))}];
      });
    } else if (at.topic == "changelog") {
      auto& states = seen.states[at.partition];
      ForEachCommitted(log, [&, &at = at](const Entry& entry) {
        const std::optional<std::string_view> customer = CustomerOf(*entry.key);
        if (customer && entry.value) states[std::string(*customer)] = *entry.value;
        if (customer && !entry.value) states.erase(std::string(*customer));
        if (*entry.key == kChangelogMetaKey) seen.next[at.partition] = NextOf(*entry.value);
      });
    }
  }
  return seen;
}

std::vector<std::string> DifferentRecords(const Outcome& expected, const Outcome& seen) {
  std::vector<std::string> out;
  for (const std::string& difference : Differences(
           expected.alerts, seen.alerts, [](const std::string& payload) { return payload; }))
    out.push_back("alert " + difference);
  for (const std::string& difference :
       Differences(expected.dead_letters, seen.dead_letters, [](const auto& key) {
         return fmt::format("{} at {}/{}", std::get<0>(key), std::get<1>(key), std::get<2>(key));
       }))
    out.push_back("dead letter " + difference);
  return out;
}

std::vector<std::string> DifferentStates(const Outcome& expected, const Outcome& seen) {
  std::vector<std::string> out;
  for (const auto& [partition, states] : seen.states) {
    const auto of = expected.states.find(partition);
    const bool equal = of == expected.states.end() ? states.empty() : states == of->second;
    if (!equal)
      out.push_back(
          fmt::format("changelog[{}]: the states are not those of an undisturbed run", partition));
  }
  return out;
}

}  // namespace heartbeatd::sim
