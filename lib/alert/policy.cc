#include "alert/policy.h"

#include <algorithm>

namespace heartbeatd {
namespace {

using Phase = Episode::Phase;
using Action = Decision::Action;
using Quiet = Decision::Quiet;

Decision Nothing(Quiet quiet, EventTime next_due = EventTime::Never()) {
  return {
      .action = Action::kNone, .quiet = quiet, .time = {}, .crossed = false, .next_due = next_due};
}

// The episode has been true since starts_at: fires once `hold` is over.
Decision FireWhenHeld(const Policy& policy, EventTime now, Episode* episode) {
  const EventTime fires_at = episode->starts_at + policy.hold;
  if (fires_at > now) return Nothing(Quiet::kPending, fires_at);
  episode->phase = Phase::kFiring;
  episode->last_fired = fires_at;
  episode->clear_since.reset();
  episode->muted = policy.active_from && episode->starts_at < *policy.active_from;
  if (episode->muted) return Nothing(Quiet::kBeforeActiveFrom);
  return {.action = Action::kFire,
          .quiet = Quiet::kNone,
          .time = fires_at,
          .crossed = false,
          .next_due = EventTime::Never()};
}

Decision Cross(const Policy& policy, const Verdict& verdict, EventTime now, Episode* episode) {
  if (policy.once && episode->last_fired) return Nothing(Quiet::kOnce);
  EventTime starts_at = verdict.since;
  if (episode->last_fired) {
    const EventTime cooled = *episode->last_fired + policy.cooldown;
    if (cooled > now) {
      episode->phase = Phase::kWaiting;
      episode->value = verdict.value;
      return Nothing(Quiet::kCooldown, cooled);
    }
    // Only for who waited: a cool-down that is over may be remembered or not, and must not matter.
    if (episode->phase == Phase::kWaiting) starts_at = std::max(starts_at, cooled);
  }
  episode->phase = Phase::kPending;
  episode->starts_at = starts_at;
  episode->value = verdict.value;
  episode->instant = verdict.instant;
  Decision decision = FireWhenHeld(policy, now, episode);
  decision.crossed = true;
  return decision;
}

void Close(Episode* episode) {
  episode->phase = Phase::kClosed;
  episode->clear_since.reset();
  episode->muted = false;
  episode->evidence.clear();
}

Decision End(const Policy& policy, const Verdict& verdict, EventTime now, Episode* episode) {
  if (episode->instant) {
    Close(episode);
    return Nothing(Quiet::kNoChange);
  }
  if (!episode->clear_since) episode->clear_since = std::max(verdict.since, episode->starts_at);
  const EventTime ends_at = *episode->clear_since + policy.resolve_hold;
  if (ends_at > now) return Nothing(Quiet::kResolveHold, ends_at);
  const bool muted = episode->muted;
  Close(episode);
  if (muted) return Nothing(Quiet::kBeforeActiveFrom);
  return {.action = Action::kResolve,
          .quiet = Quiet::kNone,
          .time = ends_at,
          .crossed = false,
          .next_due = EventTime::Never()};
}

}  // namespace

std::string_view NameOf(Decision::Quiet quiet) {
  switch (quiet) {
    case Quiet::kNone:
      return "none";
    case Quiet::kNoChange:
      return "no_change";
    case Quiet::kPending:
      return "pending";
    case Quiet::kCooldown:
      return "cooldown";
    case Quiet::kOnce:
      return "once";
    case Quiet::kBeforeActiveFrom:
      return "before_active_from";
    case Quiet::kResolveHold:
      return "resolve_hold";
  }
  __builtin_unreachable();
}

Decision Advance(const Policy& policy, const Verdict& verdict, EventTime now, Episode* episode) {
  switch (episode->phase) {
    case Phase::kClosed:
      return verdict.condition == Condition::kFiring ? Cross(policy, verdict, now, episode)
                                                     : Nothing(Quiet::kNoChange);
    case Phase::kWaiting:
      if (verdict.condition == Condition::kFiring) return Cross(policy, verdict, now, episode);
      Close(episode);
      return Nothing(Quiet::kNoChange);
    case Phase::kPending:
      if (verdict.condition == Condition::kFiring) return FireWhenHeld(policy, now, episode);
      Close(episode);
      return Nothing(Quiet::kNoChange);
    case Phase::kFiring:
      if (verdict.condition == Condition::kClear) return End(policy, verdict, now, episode);
      // Back before the end was held for long enough: the same episode, crossed anew.
      if (episode->clear_since && verdict.condition == Condition::kFiring)
        episode->value = verdict.value;
      episode->clear_since.reset();
      return Nothing(Quiet::kNoChange);
  }
  __builtin_unreachable();
}

}  // namespace heartbeatd
