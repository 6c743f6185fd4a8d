#include "store/store.h"

namespace heartbeatd {

Status Store::VisitCustomers(const Visit& visit) {
  constexpr size_t kChunk = 10'000;
  std::string last;
  while (true) {
    const auto chunk = Customers(last, kChunk);
    if (!chunk) return std::unexpected(chunk.error());
    for (const auto& [customer, state] : *chunk) {
      if (Status visited = visit(customer, state); !visited) return visited;
    }
    if (chunk->size() < kChunk) return {};
    last = chunk->back().first;
  }
}

}  // namespace heartbeatd
