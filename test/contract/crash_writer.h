// Writes batches into a store on disk until it kills itself: what a SIGKILL leaves behind can only
// be seen by another process.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace heartbeatd {

// What the store holds after the first `batches` batches of `seed`: customers and their bytes.
std::map<std::string, std::string> CrashWriterStates(uint64_t seed, int batches);

// Opens shard 0 in `directory`, writes and sometimes flushes batch after batch, and dies by SIGKILL
// after a number of them that depends on the seed. Returns only after an error.
int CrashWriter(const std::string& directory, const std::string& seed);

}  // namespace heartbeatd
