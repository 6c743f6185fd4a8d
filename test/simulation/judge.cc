// What a world has come to, against what had to come of it.
#include <fmt/format.h>

#include <map>
#include <string>

#include "customer/codec.h"
#include "faulty/fault.h"
#include "shard/customers.h"
#include "simulation/machine.h"

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

void World::Judge() {
  const Outcome expected = [&] {
    const fault::Undisturbed undisturbed;
    return oracle_.Finish(end_);
  }();
  for (const auto& [payload, n] : expected.alerts) tally_.alerts += static_cast<uint64_t>(n);
  JudgeAlerts(expected);
  JudgeChangelog(expected);
  for (const auto& machine : machines_) machine->Stop();
  JudgeDisks();
  for (const auto& [at, log] : broker_.logs()) {
    if (log.last_stable() != log.end())
      Complain(fmt::format("{}[{}]: the last stable offset stays below the end", at.topic,
                           at.partition));
  }
}

void World::JudgeAlerts(const Outcome& expected) {
  std::map<std::string, int> alerts;
  std::map<std::tuple<std::string, int32_t, int64_t>, int> dead;
  for (const auto& [at, log] : broker_.logs()) {
    ForEachCommitted(log, [&, &topic = at.topic](const Entry& entry) {
      if (topic == "alerts" && TimeOfAlert(*entry.value) <= end_)
        ++alerts[WithoutLateBy(*entry.value)];
      if (topic == "dead") {
        ++dead[{HeaderOf(entry, "reason"), std::stoi(HeaderOf(entry, "source_partition")),
                std::stoll(HeaderOf(entry, "source_offset"))}];
      }
    });
  }
  for (const std::string& difference :
       Differences(expected.alerts, alerts, [](const std::string& payload) { return payload; }))
    Complain("alert " + difference);
  for (const std::string& difference :
       Differences(expected.dead_letters, dead, [](const auto& key) {
         return fmt::format("{} at {}/{}", std::get<0>(key), std::get<1>(key), std::get<2>(key));
       }))
    Complain("dead letter " + difference);
}

void World::JudgeChangelog(const Outcome& expected) {
  for (int32_t p = 0; p < shape_.partitions; ++p) {
    std::map<std::string, std::string> states;
    std::optional<ShardMeta> meta;
    ForEachCommitted(broker_.log({"changelog", p}), [&](const Entry& entry) {
      if (*entry.key == kChangelogMetaKey) {
        meta = *DecodeMeta(*entry.value);
      } else if (entry.value) {
        states[std::string(*CustomerOf(*entry.key))] = *entry.value;
      } else {
        states.erase(std::string(*CustomerOf(*entry.key)));
      }
    });
    // Where wall time goes on after the end so do the states.
    if (shape_.time_source == TimeSource::kEvent) {
      const auto of = expected.states.find(p);
      const bool equal = of == expected.states.end() ? states.empty() : states == of->second;
      if (!equal)
        Complain(fmt::format("changelog[{}]: the states are not those of an undisturbed run", p));
    }
    for (const std::string& topic : shape_.topics) {
      const std::optional<int64_t> committed = broker_.CommittedOffset({topic, p}).offset;
      if (!meta || committed != meta->next[topic]) {
        Complain(fmt::format("{}[{}]: the group's offset {} is not that of the shard's record, {}",
                             topic, p, committed.value_or(-1), meta ? meta->next[topic] : -1));
      }
    }
  }
}

// What a machine has of a shard that it owned at the end is what the changelog says up to there.
void World::JudgeDisks() {
  for (const auto& machine : machines_) {
    for (int32_t p = 0; p < shape_.partitions; ++p) {
      const Image& image = machine->disk().image(p);
      if (!image.local_meta) continue;
      const LocalMeta local = *DecodeLocalMeta(*image.local_meta);
      const Log& log = broker_.log({"changelog", p});
      if (local.position < log.end() - 1)
        continue;  // an old one; the last commit's marker is the end
      std::map<std::string, std::string> states;
      ForEachCommitted(log, [&](const Entry& entry) {
        const std::optional<std::string_view> customer = CustomerOf(*entry.key);
        if (customer && entry.value) states[std::string(*customer)] = *entry.value;
        if (customer && !entry.value) states.erase(std::string(*customer));
      });
      size_t timers = 0;
      for (const auto& [customer, stored] : image.states) {
        const CustomerTable::Stored parsed = *CustomerTable::ParseStored(stored);
        const auto it = states.find(customer);
        if (it == states.end() || it->second != parsed.encoded)
          Complain(fmt::format("disk, shard {}: {} is not as in the changelog", p, customer));
        const EventTime due = *CustomerCodec::DueOf(parsed.encoded);
        if (parsed.indexed > due)
          Complain(fmt::format("disk, shard {}: {} is looked at too late", p, customer));
        if (parsed.indexed == EventTime::Never()) continue;
        ++timers;
        if (!image.timers.contains({parsed.indexed, customer}))
          Complain(fmt::format("disk, shard {}: {} has lost its timer", p, customer));
      }
      if (image.states.size() != states.size())
        Complain(fmt::format("disk, shard {}: {} customers instead of {}", p, image.states.size(),
                             states.size()));
      tally_.timers += timers;
    }
  }
}

}  // namespace heartbeatd::sim
