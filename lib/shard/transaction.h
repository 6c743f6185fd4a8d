// One commit of a worker: everything that its shards have done since the last one, in one Kafka
// transaction {alerts, dead letters, changelog, offsets}. Steps 2 to 5 of the commit protocol
// (docs/architecture.md); what follows from the result is the worker's to do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shard/io.h"
#include "shard/shard.h"

namespace heartbeatd {

struct OutputTopics {
  std::string alerts;
  std::string dead_letters;
  std::string changelog;
  bool dead_letter_payload = false;
};

struct TransactionResult {
  TxResult result;
  uint64_t records = 0;
  std::vector<int64_t> positions;  // kOk: next changelog offset, parallel to `shards`
};

// Commits `shards`, whose states it only reads. On anything but kOk the transaction may still be
// open.
TransactionResult CommitShards(const std::vector<Shard*>& shards, const OutputTopics& topics,
                               const GroupGeneration& generation, Committer& committer);

}  // namespace heartbeatd
