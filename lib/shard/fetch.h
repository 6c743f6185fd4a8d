// For whoever goes through many things that lie anywhere in memory, as the customers of a shard do:
// they are fetched ahead of their turn, since waiting for one takes as long as most of the work on
// it, and waiting for several hardly longer.
//
// Everything here is inlined: GCC 12 takes a function that does nothing but fetch for one without
// effect, and leaves calls of it out.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

namespace heartbeatd {

// Begins to fetch these bytes into the processor's cache, and waits for nothing.
[[gnu::always_inline]] inline void Fetch(const void* at, size_t bytes) {
  constexpr size_t kLine = 64;
  for (size_t offset = 0; offset < bytes; offset += kLine)
    __builtin_prefetch(static_cast<const char*>(at) + offset);
}

// Most of what is that long: the processor fetches on by itself.
[[gnu::always_inline]] inline void Fetch(std::string_view bytes) {
  constexpr size_t kMost = 384;
  Fetch(bytes.data(), std::min(bytes.size(), kMost));
}

// For the i-th turn of n: fetches what later ones need, in two steps, the second of which needs
// what the first has fetched. `at(i)`: a pointer to the i-th; null: it needs no fetching.
// `bytes_of`: of such a thing, those elsewhere that are needed of it (may be a member).
template <typename At, typename BytesOf>
[[gnu::always_inline]] inline void FetchAhead(size_t n, size_t i, const At& at,
                                              const BytesOf& bytes_of) {
  constexpr size_t kAhead = 12;
  if (i + 2 * kAhead < n) {
    if (const auto* thing = at(i + 2 * kAhead)) Fetch(thing, sizeof *thing);
  }
  if (i + kAhead < n) {
    if (const auto* thing = at(i + kAhead)) Fetch(std::string_view(std::invoke(bytes_of, *thing)));
  }
}

// The i-th of these, with those that follow fetched.
template <typename T, typename BytesOf>
[[gnu::always_inline]] inline T* FetchAhead(const std::vector<T*>& things, size_t i,
                                            const BytesOf& bytes_of) {
  FetchAhead(things.size(), i, [&](size_t n) { return things[n]; }, bytes_of);
  return things[i];
}

// Sorts by ids: `id_of` a thing (may be a member). Each thing is looked at twice, in turn,
// instead of with each comparison: those compare the eight bytes that follow what all ids begin
// with, and the rest only where these are equal.
template <typename T, typename IdOf>
void SortById(std::vector<T*>* things, const IdOf& id_of) {
  struct Keyed {
    uint64_t bytes;
    T* thing;
  };
  if (things->empty()) return;
  const auto id = [&](const T& thing) { return std::string_view(std::invoke(id_of, thing)); };
  std::string_view common = id(*things->front());
  for (size_t i = 0; i < things->size(); ++i) {
    const std::string_view next = id(*FetchAhead(*things, i, id_of));
    common = {common.begin(), std::ranges::mismatch(common, next).in1};
  }
  std::vector<Keyed> keyed;
  keyed.reserve(things->size());
  for (size_t i = 0; i < things->size(); ++i) {
    T* const thing = FetchAhead(*things, i, id_of);
    const std::string_view end = id(*thing).substr(common.size());
    uint64_t bytes = 0;
    std::memcpy(&bytes, end.data(), std::min(end.size(), sizeof bytes));
    // As a number that orders as the bytes do.
    if constexpr (std::endian::native == std::endian::little) bytes = __builtin_bswap64(bytes);
    keyed.push_back({bytes, thing});
  }
  std::ranges::sort(keyed, [&](const Keyed& a, const Keyed& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : id(*a.thing) < id(*b.thing);
  });
  std::ranges::transform(keyed, things->begin(), &Keyed::thing);
}

}  // namespace heartbeatd
