// Committer over librdkafka: what one worker tells the outside world, in transactions.
#pragma once

#include <memory>

#include "base/error.h"
#include "kafka/client.h"
#include "shard/io.h"

namespace heartbeatd {

// A transactional producer under the worker's transactional id. Makes no client before Open().
//
// How its answers are to be read:
//   kAbort      a record was refused or not delivered, or offsets were not accepted in time;
//   nothing
//               is decided, Abort() ends the transaction.
//   kFenced     a newer producer has the transactional id, or the group no longer knows the member
//   or
//               the generation that the offsets were sent with; the transaction cannot commit.
//   kAmbiguous  the producer is broken for good, or Commit() or Abort() got no answer or an odd
//   one:
//               the coordinator may have decided either way.
// After kFenced and kAmbiguous Open() is what helps (Abort() does too if SendOffsets() said
// kFenced). A transaction, from Begin() to the end of Commit() or Abort(), waits for brokers no
// longer than the transaction timeout plus kCommitterGrace; so does Open().
//
// Not thread-safe; destruction never waits for a broker.
inline constexpr Duration kCommitterGrace{5'000};

std::unique_ptr<Committer> MakeCommitter(const KafkaOptions& options);

}  // namespace heartbeatd
