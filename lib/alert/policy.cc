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

void Close(Episode* episode) {
  episode->phase = Phase::kClosed;
  episode->clear_since.reset();
  episode->muted = false;
  episode->evidence.clear();
}

// Somebody whom `where` leaves out crosses: waits to match. A change is over by then, and must not
// be told as news.
Decision Pass(const Verdict& verdict, Episode* episode) {
  Close(episode);
  episode->phase = Phase::kWaiting;
  episode->value = verdict.value;
  if (verdict.instant) {
    episode->instant = episode->muted = true;
    episode->starts_at = verdict.since;
  }
  return Nothing(Quiet::kNotMatching);
}

// The episode has been true since starts_at: fires once `hold` and inhibition are over.
Decision FireWhenHeld(const Policy& policy, const Circumstances& circumstances, EventTime now,
                      Episode* episode) {
  const EventTime held_at = episode->starts_at + policy.hold;
  if (held_at > now) return Nothing(Quiet::kPending, held_at);
  if (circumstances.inhibited) return Nothing(Quiet::kInhibited);
  const EventTime fires_at = std::max(held_at, circumstances.inhibited_until);
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

Decision Cross(const Policy& policy, const Verdict& verdict, const Circumstances& circumstances,
               EventTime now, Episode* episode) {
  if (policy.once && episode->last_fired) return Nothing(Quiet::kOnce);
  if (!circumstances.matches) return Pass(verdict, episode);
  EventTime starts_at = std::max(verdict.since, circumstances.matches_since);
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
  Decision decision = FireWhenHeld(policy, circumstances, now, episode);
  decision.crossed = true;
  return decision;
}

Decision End(const Policy& policy, const Verdict& verdict, EventTime now, Episode* episode) {
  if (episode->instant) {
    Close(episode);
    Decision decision = Nothing(Quiet::kNoChange);
    decision.time = verdict.since;
    return decision;
  }
  if (!episode->clear_since) episode->clear_since = std::max(verdict.since, episode->starts_at);
  const EventTime ends_at = *episode->clear_since + policy.resolve_hold;
  if (ends_at > now) return Nothing(Quiet::kResolveHold, ends_at);
  const bool muted = episode->muted;
  Close(episode);
  return {.action = muted ? Action::kNone : Action::kResolve,
          .quiet = muted ? Quiet::kBeforeActiveFrom : Quiet::kNone,
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
    case Quiet::kNotMatching:
      return "not_matching";
    case Quiet::kInhibited:
      return "inhibited";
  }
  __builtin_unreachable();
}

Decision Advance(const Policy& policy, const Verdict& verdict, EventTime now, Episode* episode,
                 const Circumstances& circumstances) {
  const bool fires = verdict.condition == Condition::kFiring;
  switch (episode->phase) {
    case Phase::kClosed:
      return fires ? Cross(policy, verdict, circumstances, now, episode)
                   : Nothing(Quiet::kNoChange);
    case Phase::kWaiting:
      if (fires && episode->muted && episode->starts_at == verdict.since)
        return Nothing(Quiet::kNotMatching);
      if (fires) return Cross(policy, verdict, circumstances, now, episode);
      Close(episode);
      return Nothing(Quiet::kNoChange);
    case Phase::kPending:
      if (fires && !circumstances.matches) return Pass(verdict, episode);
      if (fires) return FireWhenHeld(policy, circumstances, now, episode);
      Close(episode);
      return Nothing(Quiet::kNoChange);
    case Phase::kFiring:
      if (verdict.condition == Condition::kClear) return End(policy, verdict, now, episode);
      // Back before the end was held for long enough: the same episode, crossed anew.
      if (episode->clear_since && fires) episode->value = verdict.value;
      episode->clear_since.reset();
      return Nothing(Quiet::kNoChange);
  }
  __builtin_unreachable();
}

}  // namespace heartbeatd
