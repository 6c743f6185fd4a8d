#include "alert/policy.h"

#include <optional>
#include <vector>

#include "given.h"

using namespace heartbeatd;

namespace {

using Phase = Episode::Phase;
using Action = Decision::Action;
using Quiet = Decision::Quiet;

const EventTime kT = At("2026-03-01");

Verdict Say(Condition condition, EventTime since, double value = 1) {
  return {.condition = condition, .reason = Reason::kBelowBaseline, .since = since, .value = value};
}
Verdict True(EventTime since) { return Say(Condition::kFiring, since); }
Verdict False(EventTime since) { return Say(Condition::kClear, since); }

// The row's times are hours after kT.
EventTime H(int hours) { return kT + Hours(hours); }

std::string ShowAction(Action a) {
  return a == Action::kFire ? "fire" : a == Action::kResolve ? "resolve" : "none";
}
std::string ShowPhase(Phase p) {
  return p == Phase::kClosed    ? "closed"
         : p == Phase::kPending ? "pending"
         : p == Phase::kFiring  ? "firing"
                                : "waiting";
}

}  // namespace

TEST_CASE("policy: every phase under every condition") {
  constexpr int kNever = -1;
  constexpr auto kInsufficient = Condition::kInsufficient;
  constexpr auto kClear = Condition::kClear;
  constexpr auto kFiring = Condition::kFiring;
  struct Row {
    const char* what;
    Phase phase;
    Condition condition;
    int hold;
    int resolve_hold;
    int now;
    // Expected.
    Action action;
    Quiet quiet;
    int time;
    int next_due;
    Phase after;
  };
  // The episode, where there is one, began at 10; it fired at 10 + hold; the condition holds since
  // `now`.
  const Row row = GENERATE(values<Row>({
      {"nothing", Phase::kClosed, kInsufficient, 0, 0, 20, Action::kNone, Quiet::kNoChange, 0,
       kNever, Phase::kClosed},
      {"nothing", Phase::kClosed, kClear, 0, 0, 20, Action::kNone, Quiet::kNoChange, 0, kNever,
       Phase::kClosed},
      {"a crossing", Phase::kClosed, kFiring, 0, 0, 20, Action::kFire, Quiet::kNone, 20, kNever,
       Phase::kFiring},
      {"a crossing, held", Phase::kClosed, kFiring, 5, 0, 20, Action::kNone, Quiet::kPending, 0, 25,
       Phase::kPending},

      {"held: unknown", Phase::kPending, kInsufficient, 5, 0, 12, Action::kNone, Quiet::kNoChange,
       0, kNever, Phase::kClosed},
      {"held: over", Phase::kPending, kClear, 5, 0, 12, Action::kNone, Quiet::kNoChange, 0, kNever,
       Phase::kClosed},
      {"held: still true", Phase::kPending, kFiring, 5, 0, 12, Action::kNone, Quiet::kPending, 0,
       15, Phase::kPending},
      {"held: at its end", Phase::kPending, kFiring, 5, 0, 15, Action::kFire, Quiet::kNone, 15,
       kNever, Phase::kFiring},
      {"held: noticed late", Phase::kPending, kFiring, 5, 0, 40, Action::kFire, Quiet::kNone, 15,
       kNever, Phase::kFiring},

      {"firing: unknown", Phase::kFiring, kInsufficient, 0, 0, 20, Action::kNone, Quiet::kNoChange,
       0, kNever, Phase::kFiring},
      {"firing: still true", Phase::kFiring, kFiring, 0, 0, 20, Action::kNone, Quiet::kNoChange, 0,
       kNever, Phase::kFiring},
      {"firing: over", Phase::kFiring, kClear, 0, 0, 20, Action::kResolve, Quiet::kNone, 20, kNever,
       Phase::kClosed},
      {"firing: over, held", Phase::kFiring, kClear, 0, 6, 20, Action::kNone, Quiet::kResolveHold,
       0, 26, Phase::kFiring},

      {"waiting: unknown", Phase::kWaiting, kInsufficient, 0, 0, 20, Action::kNone,
       Quiet::kNoChange, 0, kNever, Phase::kClosed},
      {"waiting: over", Phase::kWaiting, kClear, 0, 0, 20, Action::kNone, Quiet::kNoChange, 0,
       kNever, Phase::kClosed},
      {"waiting: cooled", Phase::kWaiting, kFiring, 0, 0, 20, Action::kFire, Quiet::kNone, 20,
       kNever, Phase::kFiring},
  }));
  CAPTURE(row.what);
  const Policy policy{.hold = Hours(row.hold), .resolve_hold = Hours(row.resolve_hold)};
  Episode episode{.phase = row.phase, .starts_at = H(10), .value = 7};
  if (row.phase == Phase::kFiring) episode.last_fired = H(10 + row.hold);
  const Decision decision = Advance(policy, Say(row.condition, H(row.now)), H(row.now), &episode);
  CHECK(ShowAction(decision.action) == ShowAction(row.action));
  CHECK(NameOf(decision.quiet) == NameOf(row.quiet));
  if (row.action != Action::kNone) CHECK(decision.time == H(row.time));
  CHECK(decision.next_due == (row.next_due == kNever ? EventTime::Never() : H(row.next_due)));
  CHECK(ShowPhase(episode.phase) == ShowPhase(row.after));
  CHECK(decision.crossed == ((row.phase == Phase::kClosed || row.phase == Phase::kWaiting) &&
                             row.condition == kFiring));
}

TEST_CASE("policy: the crossing may lie before the moment at which it is noticed") {
  Episode episode;
  const Decision decision = Advance({.hold = Hours(5)}, True(H(0)), H(30), &episode);
  CHECK(decision.action == Action::kFire);
  CHECK(decision.time == H(5));
  CHECK(episode.starts_at == H(0));
  CHECK(episode.last_fired == H(5));
}

TEST_CASE("policy: an episode remembers the value at its crossing") {
  Episode episode;
  const Policy policy{.hold = Hours(5)};
  Advance(policy, Say(Condition::kFiring, H(0), 3), H(0), &episode);
  Advance(policy, Say(Condition::kFiring, H(1), 2), H(1), &episode);
  Advance(policy, Say(Condition::kFiring, H(5), 1), H(5), &episode);
  CHECK(episode.phase == Phase::kFiring);
  CHECK(episode.value == 3);
  CHECK(episode.starts_at == H(0));
}

TEST_CASE("policy: a resolution that is held starts over when the condition returns") {
  const Policy policy{.resolve_hold = Hours(6)};
  Episode episode;
  Advance(policy, True(H(0)), H(0), &episode);
  CHECK(Advance(policy, False(H(2)), H(2), &episode).next_due == H(8));
  CHECK(Advance(policy, False(H(7)), H(7), &episode).next_due ==
        H(8));  // clear since 2, whatever it says now
  CHECK(Advance(policy, True(H(7)), H(7), &episode).action == Action::kNone);
  CHECK(Advance(policy, False(H(7)), H(7), &episode).next_due == H(13));
  CHECK(Advance(policy, Say(Condition::kInsufficient, H(8)), H(8), &episode).action ==
        Action::kNone);
  CHECK(Advance(policy, False(H(9)), H(9), &episode).next_due == H(15));
  const Decision end = Advance(policy, False(H(15)), H(15), &episode);
  CHECK(end.action == Action::kResolve);
  CHECK(end.time == H(15));
  CHECK(episode.phase == Phase::kClosed);
}

TEST_CASE(
    "policy: a condition that returns within the hold of the resolution crosses anew, in the same "
    "episode") {
  const Policy policy{.resolve_hold = Hours(6)};
  Episode episode;
  Advance(policy, Say(Condition::kFiring, H(0), 3), H(0), &episode);
  Advance(policy, Say(Condition::kFiring, H(1), 2), H(1), &episode);
  CHECK(episode.value == 3);
  Advance(policy, Say(Condition::kClear, H(2), 9), H(2), &episode);
  Advance(policy, Say(Condition::kFiring, H(4), 1), H(4), &episode);
  CHECK(episode.value == 1);
  CHECK(episode.starts_at == H(0));
}

TEST_CASE("policy: an end that lies in the past is told as of then, but never before the start") {
  for (const int since : {-5, 3}) {
    Episode episode;
    Advance({}, True(H(0)), H(0), &episode);
    const Decision end = Advance({}, False(H(since)), H(9), &episode);
    CHECK(end.action == Action::kResolve);
    CHECK(end.time == H(std::max(0, since)));
  }
}

TEST_CASE("policy: a crossing inside the cool-down waits and fires at its end") {
  const Policy policy{.cooldown = Hours(24)};
  Episode episode;
  CHECK(Advance(policy, True(H(0)), H(0), &episode).action == Action::kFire);
  CHECK(Advance(policy, False(H(1)), H(1), &episode).action == Action::kResolve);
  const Decision waits = Advance(policy, True(H(2)), H(2), &episode);
  CHECK(waits.quiet == Quiet::kCooldown);
  CHECK(waits.next_due == H(24));
  CHECK_FALSE(waits.crossed);
  CHECK(Advance(policy, True(H(20)), H(20), &episode).next_due == H(24));
  const Decision fires = Advance(policy, True(H(24)), H(24), &episode);
  CHECK(fires.action == Action::kFire);
  CHECK(fires.time == H(24));
  CHECK(fires.crossed);
  CHECK(episode.starts_at == H(24));  // that moment, not the crossing
}

TEST_CASE("policy: a crossing that is over before the cool-down's end is never told") {
  const Policy policy{.cooldown = Hours(24)};
  Episode episode;
  Advance(policy, True(H(0)), H(0), &episode);
  Advance(policy, False(H(1)), H(1), &episode);
  Advance(policy, True(H(2)), H(2), &episode);
  CHECK(Advance(policy, False(H(3)), H(3), &episode).action == Action::kNone);
  CHECK(episode.phase == Phase::kClosed);
  // The cool-down counts from the alert, not from the crossing that nobody heard of.
  CHECK(Advance(policy, True(H(30)), H(30), &episode).action == Action::kFire);
  CHECK(episode.starts_at == H(30));
}

TEST_CASE("policy: a cool-down that is over leaves no trace") {
  const Policy policy{.cooldown = Hours(24)};
  Episode remembered;
  Advance(policy, True(H(0)), H(0), &remembered);
  Advance(policy, False(H(1)), H(1), &remembered);
  Episode forgotten;
  // A crossing that is noticed late, and lies within the cool-down.
  for (Episode* episode : {&remembered, &forgotten}) {
    const Decision decision = Advance(policy, True(H(20)), H(40), episode);
    CHECK(decision.action == Action::kFire);
    CHECK(decision.time == H(20));
  }
}

TEST_CASE("policy: within one episode nothing repeats, however long it lasts") {
  const Policy policy{.cooldown = Hours(24)};
  Episode episode;
  Advance(policy, True(H(0)), H(0), &episode);
  for (int hour = 1; hour < 100; ++hour) {
    CHECK(Advance(policy, True(H(hour)), H(hour), &episode).action == Action::kNone);
  }
  CHECK(Advance(policy, False(H(100)), H(100), &episode).action == Action::kResolve);
  CHECK(Advance(policy, True(H(101)), H(101), &episode).action == Action::kFire);
}

TEST_CASE("policy: the cool-down counts from the firing alert, which comes after the hold") {
  const Policy policy{.hold = Hours(10), .cooldown = Hours(24)};
  Episode episode;
  Advance(policy, True(H(0)), H(0), &episode);
  CHECK(Advance(policy, True(H(10)), H(10), &episode).action == Action::kFire);
  Advance(policy, False(H(11)), H(11), &episode);
  CHECK(Advance(policy, True(H(30)), H(30), &episode).next_due == H(34));
  const Decision cooled = Advance(policy, True(H(34)), H(34), &episode);
  CHECK(cooled.quiet == Quiet::kPending);  // a new crossing, held like any other
  CHECK(cooled.next_due == H(44));
  CHECK(Advance(policy, True(H(44)), H(44), &episode).time == H(44));
}

TEST_CASE("policy: once is once") {
  const Policy policy{.once = true};
  Episode episode;
  CHECK(Advance(policy, True(H(0)), H(0), &episode).action == Action::kFire);
  CHECK(Advance(policy, False(H(1)), H(1), &episode).action == Action::kResolve);
  const Decision again = Advance(policy, True(H(1000)), H(1000), &episode);
  CHECK(again.action == Action::kNone);
  CHECK(again.quiet == Quiet::kOnce);
  CHECK_FALSE(episode.empty());  // it must be remembered for ever
}

TEST_CASE("policy: a held crossing that never fired does not use up `once`") {
  const Policy policy{.hold = Hours(5), .once = true};
  Episode episode;
  Advance(policy, True(H(0)), H(0), &episode);
  Advance(policy, False(H(1)), H(1), &episode);
  Advance(policy, True(H(10)), H(10), &episode);
  CHECK(Advance(policy, True(H(15)), H(15), &episode).action == Action::kFire);
}

TEST_CASE("policy: crossings before active_from build state and tell nobody, nor does their end") {
  const Policy policy{.active_from = H(100)};
  SECTION("before") {
    Episode episode;
    const Decision muted = Advance(policy, True(H(99)), H(99), &episode);
    CHECK(muted.action == Action::kNone);
    CHECK(muted.quiet == Quiet::kBeforeActiveFrom);
    CHECK(episode.phase == Phase::kFiring);
    CHECK(Advance(policy, True(H(200)), H(200), &episode).action == Action::kNone);
    const Decision end = Advance(policy, False(H(300)), H(300), &episode);
    CHECK(end.action == Action::kNone);
    CHECK(end.quiet == Quiet::kBeforeActiveFrom);
    // The next one is told, both ends of it.
    CHECK(Advance(policy, True(H(400)), H(400), &episode).action == Action::kFire);
    CHECK(Advance(policy, False(H(401)), H(401), &episode).action == Action::kResolve);
  }
  SECTION("at that moment") {
    Episode episode;
    CHECK(Advance(policy, True(H(100)), H(100), &episode).action == Action::kFire);
  }
  SECTION("the crossing counts, not the end of the hold") {
    Episode episode;
    const Policy held{.hold = Hours(10), .active_from = H(100)};
    Advance(held, True(H(95)), H(95), &episode);
    CHECK(Advance(held, True(H(105)), H(105), &episode).quiet == Quiet::kBeforeActiveFrom);
  }
  SECTION("noticed after, crossed before") {
    Episode episode;
    CHECK(Advance(policy, True(H(50)), H(150), &episode).quiet == Quiet::kBeforeActiveFrom);
  }
}

TEST_CASE("policy: an instant has no end") {
  const Verdict change{.condition = Condition::kFiring,
                       .reason = Reason::kActivityChanged,
                       .since = H(0),
                       .instant = true};
  Episode episode;
  CHECK(Advance({}, change, H(0), &episode).action == Action::kFire);
  CHECK(Advance({}, change, H(1), &episode).action == Action::kNone);  // still the newest change
  const Decision next = Advance({}, False(H(2)), H(2), &episode);
  CHECK(next.action == Action::kNone);
  CHECK(episode.phase == Phase::kClosed);
}

TEST_CASE("policy: a crossing of somebody whom `where` leaves out waits") {
  Episode episode;
  CHECK(Advance({}, True(H(0)), H(0), &episode, {.matches = false}).quiet == Quiet::kNotMatching);
  CHECK(episode.phase == Phase::kWaiting);
  // Matching from now on: it counts from now on.
  const Decision fires = Advance({}, True(H(0)), H(5), &episode, {.matches_since = H(5)});
  CHECK(fires.action == Action::kFire);
  CHECK(fires.time == H(5));
  CHECK(episode.starts_at == H(5));
  // Once it fires it goes on, and ends when its condition does.
  CHECK(Advance({}, True(H(0)), H(6), &episode, {.matches = false}).action == Action::kNone);
  CHECK(Advance({}, False(H(7)), H(7), &episode, {.matches = false}).action == Action::kResolve);
}

TEST_CASE("policy: who stops matching before the hold is over begins anew") {
  const Policy policy{.hold = Hours(3)};
  Episode episode;
  CHECK(Advance(policy, True(H(0)), H(0), &episode).next_due == H(3));
  Advance(policy, True(H(0)), H(1), &episode, {.matches = false});
  CHECK(episode.phase == Phase::kWaiting);
  CHECK(Advance(policy, True(H(0)), H(2), &episode, {.matches_since = H(2)}).next_due == H(5));
}

TEST_CASE("policy: a change of somebody whom `where` leaves out is no news later") {
  Verdict change = True(H(0));
  change.instant = true;
  Episode episode;
  CHECK(Advance({}, change, H(0), &episode, {.matches = false}).quiet == Quiet::kNotMatching);
  CHECK(Advance({}, change, H(5), &episode, {.matches_since = H(5)}).quiet == Quiet::kNotMatching);
  CHECK(Advance({}, change, H(6), &episode).action == Action::kNone);
  // The next one is.
  change.since = H(7);
  CHECK(Advance({}, change, H(7), &episode).time == H(7));
  CHECK(Advance({}, False(H(8)), H(8), &episode).action == Action::kNone);
  CHECK_FALSE(episode.muted);
}

TEST_CASE("policy: while it is inhibited it stays pending, and fires when that ends") {
  for (const int hold : {0, 3, 9}) {
    CAPTURE(hold);
    const Policy policy{.hold = Hours(hold)};
    Episode episode;
    Decision decision = Advance(policy, True(H(0)), H(0), &episode, {.inhibited = true});
    CHECK(decision.crossed);
    CHECK(decision.next_due == (hold == 0 ? EventTime::Never() : H(hold)));
    if (hold == 3) {
      decision = Advance(policy, True(H(0)), H(3), &episode, {.inhibited = true});
      CHECK(decision.quiet == Quiet::kInhibited);
      CHECK(decision.next_due == EventTime::Never());
    }
    decision = Advance(policy, True(H(0)), H(5), &episode, {.inhibited_until = H(5)});
    if (hold == 9) decision = Advance(policy, True(H(0)), H(9), &episode);
    CHECK(decision.action == Action::kFire);
    CHECK(decision.time == H(hold == 9 ? 9 : 5));
    CHECK(episode.starts_at == H(0));
    CHECK(episode.last_fired == decision.time);
  }
}

TEST_CASE("policy: an inhibition that outlasts the condition leaves nothing") {
  Episode episode;
  Advance({}, True(H(0)), H(0), &episode, {.inhibited = true});
  CHECK(Advance({}, False(H(2)), H(2), &episode, {.inhibited = true}).action == Action::kNone);
  CHECK(episode.empty());
}

TEST_CASE("policy: one that fires already is not ended by an inhibition") {
  Episode episode;
  Advance({}, True(H(0)), H(0), &episode);
  CHECK(Advance({}, True(H(0)), H(1), &episode, {.inhibited = true}).action == Action::kNone);
  CHECK(episode.phase == Phase::kFiring);
  CHECK(Advance({}, False(H(2)), H(2), &episode, {.inhibited = true}).action == Action::kResolve);
}

TEST_CASE("policy: an end that nobody is told of still says when it was") {
  Episode muted;
  const Policy policy{.active_from = H(100)};
  Advance(policy, True(H(0)), H(0), &muted);
  CHECK(Advance(policy, False(H(4)), H(5), &muted).time == H(4));
  Verdict change = True(H(0));
  change.instant = true;
  Episode instant;
  Advance({}, change, H(0), &instant);
  CHECK(Advance({}, False(H(4)), H(5), &instant).time == H(4));
}
