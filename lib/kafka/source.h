// EventSource over librdkafka: the input as a member of the consumer group, and the changelog by
// assignment only.
#pragma once

#include <memory>

#include "base/clock.h"
#include "base/error.h"
#include "kafka/client.h"
#include "kafka/prober.h"
#include "shard/io.h"

namespace heartbeatd {

// A static member of the group `app`, subscribed to the input topics: eager `range` assignor,
// reading committed records. It joins while it is polled. Start() delivers from the offsets it is
// given; there is no automatic reset and nothing is ever committed through it.
//
// kAssigned may come with no partitions (more members than partitions); its kRevoked then has none
// either. After kFencedInstance nothing else comes, no kLost either: everything assigned is gone;
// Reopen(). kFailed repeats until Reopen(); its error's code is kConfig where that cannot help (a
// missing right).
//
// Records should be released before Reopen() and destruction. If some are still held the old client
// lingers, harmlessly fenced, until the last of them goes.
//
// `clock` must outlive the source. Destruction never waits for a broker and sends no LeaveGroup: a
// process that comes back within the session timeout finds its partitions where they were.
Result<std::unique_ptr<EventSource>> MakeGroupSource(const KafkaOptions& options,
                                                     std::shared_ptr<Prober> prober,
                                                     const Clock& clock);

// Reads committed records of what Start() names, with large fetches and prompt end-of-partition
// events. Member of nothing: IsMember() is false, CommittedOffsets() fails, LatestEnd() is empty.
Result<std::unique_ptr<EventSource>> MakeChangelogSource(const KafkaOptions& options,
                                                         std::shared_ptr<Prober> prober);

}  // namespace heartbeatd
