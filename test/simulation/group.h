// The simulated group coordinator: static members, generations, eager rebalances with the range
// assignor, sessions that expire.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"

namespace heartbeatd::sim {

// What a member knows of itself; behind heartbeatd's opaque GroupGeneration.
struct Membership {
  std::string instance;
  std::string member;
  int generation = 0;
};

// Not thread-safe.
class Group {
 public:
  enum class Answer : uint8_t { kOk, kRebalancing, kUnknownMember, kFencedInstance };

  Group(int32_t partitions, Duration session_timeout, Duration rebalance_timeout)
      : partitions_(partitions),
        session_timeout_(session_timeout),
        rebalance_timeout_(rebalance_timeout) {}

  // A client (re)starts under this instance's name and gets a new member id. In a stable group that
  // knows the name it takes its predecessor's place, without a rebalance.
  std::string Join(const std::string& instance, Duration now);
  // A member has given its partitions back and is ready for the next generation.
  Answer Rejoin(const Membership& who, Duration now);
  Answer Heartbeat(const Membership& who, Duration now);
  // Is this one allowed to commit offsets?
  [[nodiscard]] Answer Check(const Membership& who) const;
  // Expires sessions, completes rebalances.
  void Tick(Duration now);

  // True once the group is stable and this member is in it.
  [[nodiscard]] bool IsAssigned(const std::string& instance) const;
  [[nodiscard]] int generation() const { return generation_; }
  [[nodiscard]] std::vector<int32_t> AssignmentOf(const std::string& instance) const;

 private:
  struct Member {
    std::string id;
    Duration heard{0};
    bool ready = false;  // for the next generation
    std::vector<int32_t> assignment;
  };

  void Prepare(Duration now);
  void Complete();

  const int32_t partitions_;
  const Duration session_timeout_;
  const Duration rebalance_timeout_;
  std::map<std::string, Member> members_;  // by instance
  bool preparing_ = false;
  Duration deadline_{0};
  int generation_ = 0;
  int ids_ = 0;
};

}  // namespace heartbeatd::sim
