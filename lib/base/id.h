// Stable identities: 64-bit hashes that go into stored state, and the UUIDs of alerts.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace heartbeatd {

// XXH64 with seed 0: the same on every machine and in every version, since it is stored.
uint64_t Hash64(std::string_view bytes);

// For hash maps by id that are asked with views.
struct IdHash {
  using is_transparent = void;
  size_t operator()(std::string_view id) const { return Hash64(id); }
};

// UUIDv5 (RFC 4122) in heartbeatd's name space 6f1d2c1e-5b0a-4c57-9a43-8d0b1c7a2e94 of `fields`,
// each written as a netstring ("3:abc,"), so that no two lists share a name.
std::string UuidOf(std::initializer_list<std::string_view> fields);

// A random (version 4) UUID, for names that only have to differ: instances, changelogs.
std::string RandomUuid();

}  // namespace heartbeatd
