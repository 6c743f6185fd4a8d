#include "simulation/group.h"

#include <algorithm>

namespace heartbeatd::sim {

std::string Group::Join(const std::string& instance, Duration now) {
  const bool known = members_.contains(instance);
  Member& member = members_[instance];
  member.id = instance + "-" + std::to_string(++ids_);
  member.heard = now;
  if (!known || preparing_) {
    member.ready = true;
    if (!preparing_) Prepare(now);
  }
  return member.id;
}

Group::Answer Group::Check(const Membership& who) const {
  const auto it = members_.find(who.instance);
  if (it == members_.end()) return Answer::kUnknownMember;
  if (it->second.id != who.member) return Answer::kFencedInstance;
  return who.generation == generation_ ? Answer::kOk : Answer::kUnknownMember;
}

Group::Answer Group::Rejoin(const Membership& who, Duration now) {
  const auto it = members_.find(who.instance);
  if (it == members_.end()) return Answer::kUnknownMember;
  if (it->second.id != who.member) return Answer::kFencedInstance;
  it->second.heard = now;
  it->second.ready = true;
  if (!preparing_) Prepare(now);
  return Answer::kOk;
}

Group::Answer Group::Heartbeat(const Membership& who, Duration now) {
  const auto it = members_.find(who.instance);
  if (it == members_.end()) return Answer::kUnknownMember;
  if (it->second.id != who.member) return Answer::kFencedInstance;
  it->second.heard = now;
  return preparing_ && !it->second.ready ? Answer::kRebalancing : Answer::kOk;
}

void Group::Tick(Duration now) {
  const size_t expired = std::erase_if(
      members_, [&](const auto& member) { return now - member.second.heard > session_timeout_; });
  if (expired > 0 && !preparing_) Prepare(now);
  if (!preparing_) return;
  if (now >= deadline_)
    std::erase_if(members_, [](const auto& member) { return !member.second.ready; });
  if (std::all_of(members_.begin(), members_.end(),
                  [](const auto& member) { return member.second.ready; }))
    Complete();
}

void Group::Prepare(Duration now) {
  preparing_ = true;
  deadline_ = now + rebalance_timeout_;
}

void Group::Complete() {
  preparing_ = false;
  ++generation_;
  int32_t next = 0;
  auto left = static_cast<int32_t>(members_.size());
  for (auto& [instance, member] : members_) {
    member.ready = false;
    member.assignment.clear();
    const int32_t share = (partitions_ - next + left - 1) / left;
    --left;
    for (const int32_t end = next + share; next < end; ++next) member.assignment.push_back(next);
  }
}

bool Group::IsAssigned(const std::string& instance) const {
  return !preparing_ && members_.contains(instance);
}

std::vector<int32_t> Group::AssignmentOf(const std::string& instance) const {
  const auto it = members_.find(instance);
  return it == members_.end() ? std::vector<int32_t>{} : it->second.assignment;
}

}  // namespace heartbeatd::sim
