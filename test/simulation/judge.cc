// What a world has come to, against what had to come of it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "customer/codec.h"
#include "faulty/fault.h"
#include "shard/customers.h"
#include "simulation/machine.h"

namespace heartbeatd::sim {

void World::Judge() {
  const Outcome expected = [&] {
    const fault::Undisturbed undisturbed;
    return oracle_.Finish(end_);
  }();
  for (const auto& [payload, n] : expected.alerts) tally_.alerts += static_cast<uint64_t>(n);
  const Outcome seen = SeenIn(broker_.logs(), end_);
  for (std::string& difference : DifferentRecords(expected, seen)) Complain(std::move(difference));
  if (shape_.time_source == TimeSource::kEvent) {
    // Where wall time goes on after the end so do the states.
    for (std::string& difference : DifferentStates(expected, seen)) Complain(std::move(difference));
  }
  JudgeOffsets(seen);
  for (const auto& machine : machines_) machine->Stop();
  JudgeDisks(SeenIn(broker_.logs(), end_));
  for (const auto& [at, log] : broker_.logs()) {
    if (log.last_stable() != log.end())
      Complain(fmt::format("{}[{}]: the last stable offset stays below the end", at.topic,
                           at.partition));
  }
}

void World::JudgeReady(const std::string& machine, const Worker& worker) {
  for (const auto& [partition, shard] : worker.shards()) {
    const std::vector<Entry>& log = broker_.log({"changelog", partition}).entries();
    const bool recorded = std::any_of(log.begin(), log.end(), [](const Entry& entry) {
      return entry.fate == Entry::Fate::kCommitted && entry.key == kChangelogMetaKey;
    });
    if (!recorded)
      Complain(fmt::format("{} is ready, but shard {} has no record", machine, partition));
  }
}

void World::JudgeOffsets(const Outcome& seen) {
  for (int32_t p = 0; p < shape_.partitions; ++p) {
    const auto record = seen.next.find(p);
    for (const std::string& topic : shape_.topics) {
      std::optional<int64_t> next;
      if (record != seen.next.end() && record->second.contains(topic))
        next = record->second.at(topic);
      const std::optional<int64_t> committed = broker_.CommittedOffset({topic, p}).offset;
      if (!next || committed != next) {
        Complain(fmt::format("{}[{}]: the group's offset {} is not that of the shard's record, {}",
                             topic, p, committed.value_or(-1), next.value_or(-1)));
      }
    }
  }
}

// What a machine has of a shard that it owned at the end is what the changelog says up to there.
void World::JudgeDisks(const Outcome& seen) {
  for (const auto& machine : machines_) {
    for (int32_t p = 0; p < shape_.partitions; ++p) {
      const Image& image = machine->disk().image(p);
      if (!image.local_meta) continue;
      const LocalMeta local = *DecodeLocalMeta(*image.local_meta);
      if (local.synced.position < broker_.log({"changelog", p}).end() - 1)
        continue;  // an old one; the last commit's marker is the end
      const auto& states = seen.states.at(p);
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
