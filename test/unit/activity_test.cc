#include "lifecycle/activity.h"

#include <random>
#include <set>
#include <utility>
#include <vector>

#include "given.h"

using namespace heartbeatd;

namespace {

using A = Activity;
constexpr A kAll[] = {A::kNone,    A::kNew,  A::kActive,     A::kAtRisk,
                      A::kDormant, A::kLost, A::kReactivated};

// One customer's pulse and life, moved by hand.
struct Life {
  LifecycleConfig config;
  MeasureDef def;
  Calendar calendar;
  MeasureState pulse;
  LifecycleState state;

  explicit Life(double population_gap_days = 10) {
    config.population_gap_days = population_gap_days;
  }

  // An event, after everything that silence did before it. True if the event changed the activity.
  bool Event(EventTime at) { return LateEvent(at, at); }
  bool LateEvent(EventTime at, EventTime now) {
    Wait(now);
    heartbeatd::Event event;
    event.time = at;
    Apply(def, calendar, event, now, &pulse);
    return OnPulse(pulse, at, now, &state);
  }
  void Wait(EventTime until) {
    while (OnSilence(config, pulse, until, &state)) {
    }
  }
  // A customer with a rhythm: events on `days` days, `gap` days apart, the last one at `last`.
  void Rhythm(EventTime last, int days = 6, int gap = 1) {
    for (int i = days - 1; i >= 0; --i) Event(last - Days(i * gap));
  }
  EventTime Next() const { return NextSilence(config, pulse, state); }
};

const EventTime kT = At("2026-03-01T09:00:00Z");

}  // namespace

TEST_CASE("activity: the legal transitions are exactly these") {
  const std::set<std::pair<A, A>> legal = {
      {A::kNone, A::kNew},         {A::kNew, A::kActive},         {A::kNew, A::kAtRisk},
      {A::kActive, A::kAtRisk},    {A::kAtRisk, A::kActive},      {A::kAtRisk, A::kNew},
      {A::kAtRisk, A::kDormant},   {A::kDormant, A::kLost},       {A::kDormant, A::kReactivated},
      {A::kLost, A::kReactivated}, {A::kReactivated, A::kActive}, {A::kReactivated, A::kAtRisk},
  };
  for (const A from : kAll) {
    for (const A to : kAll) {
      CAPTURE(from, to);
      CHECK(IsLegal(from, to) == legal.contains({from, to}));
    }
  }
}

TEST_CASE("activity: names read back") {
  for (const A a : kAll) CHECK(ActivityOf(NameOf(a)) == a);
  CHECK_FALSE(ActivityOf("asleep"));
  CHECK_FALSE(ActivityOf(""));
  CHECK(NameOf(A::kAtRisk) == "at_risk");
}

TEST_CASE("activity: nobody changes without an event or time") {
  Life life;
  CHECK(life.Next() == EventTime::Never());
  CHECK_FALSE(OnSilence(life.config, life.pulse, EventTime(INT64_MAX - 1), &life.state));
  CHECK(life.state.activity == A::kNone);
}

TEST_CASE("activity: new until the fourth activity day, then active") {
  Life life(1000);
  CHECK(life.Event(kT));
  CHECK(life.state.activity == A::kNew);
  CHECK(life.state.previous == A::kNone);
  CHECK(life.state.since == kT);
  CHECK_FALSE(life.Event(kT + Hours(1)));  // the same day
  CHECK_FALSE(life.Event(kT + Days(1)));
  CHECK_FALSE(life.Event(kT + Days(2)));
  CHECK_FALSE(life.Event(kT + Days(2) + Hours(1)));
  CHECK(life.state.activity == A::kNew);
  CHECK(life.Event(kT + Days(3)));
  CHECK(life.state.activity == A::kActive);
  CHECK(life.state.previous == A::kNew);
  CHECK(life.state.since == kT + Days(3));
  CHECK_FALSE(life.Event(kT + Days(4)));
}

TEST_CASE("activity: silence of 2, 3 and 6 population gaps takes a new customer down") {
  Life life(10);
  life.Event(kT);
  struct Step {
    Duration after;
    A to;
  };
  for (const Step& step :
       {Step{Days(20), A::kAtRisk}, Step{Days(30), A::kDormant}, Step{Days(60), A::kLost}}) {
    CAPTURE(step.to);
    CHECK(life.Next() == kT + step.after);
    CHECK_FALSE(OnSilence(life.config, life.pulse, kT + step.after - Ms(1), &life.state));
    CHECK(OnSilence(life.config, life.pulse, kT + step.after, &life.state));
    CHECK(life.state.activity == step.to);
    CHECK(life.state.since == kT + step.after);
  }
  CHECK(life.Next() == EventTime::Never());
  CHECK_FALSE(OnSilence(life.config, life.pulse, kT + Days(100'000), &life.state));
}

TEST_CASE("activity: the gaps of new customers count from the last event and may be configured") {
  Life life(10);
  life.config.new_gaps[0] = 1.5;
  life.Event(kT);
  CHECK(life.Next() == kT + Days(15));
  life.Event(kT + Days(4));
  CHECK(life.Next() == kT + Days(19));
}

TEST_CASE(
    "activity: the lapse score takes a customer with a rhythm down, at its own three thresholds") {
  Life life(10);
  life.Rhythm(kT);
  CHECK(life.state.activity == A::kActive);
  struct Step {
    double false_alerts;
    A to;
  };
  for (const Step& step :
       {Step{0.05, A::kAtRisk}, Step{0.01, A::kDormant}, Step{0.002, A::kLost}}) {
    CAPTURE(step.to);
    const EventTime due =
        LapseTime(life.pulse.cadence, 10, LapseThreshold(step.false_alerts), kT, Days(3650));
    CHECK(life.Next() == due);
    CHECK_FALSE(OnSilence(life.config, life.pulse, due - Ms(1), &life.state));
    CHECK(OnSilence(life.config, life.pulse, due, &life.state));
    CHECK(life.state.activity == step.to);
    CHECK(life.state.since == due);
  }
  CHECK(life.Next() == EventTime::Never());
}

TEST_CASE("activity: an event brings each state up as the table says") {
  struct Row {
    int days;  // activity days before the silence
    A down_to;
    A after_event;
  };
  const Row row = GENERATE(values<Row>({
      {1, A::kNew, A::kNew},
      {1, A::kAtRisk, A::kNew},
      {3, A::kAtRisk, A::kActive},  // the event makes the fourth activity day
      {6, A::kAtRisk, A::kActive},
      {1, A::kDormant, A::kReactivated},
      {6, A::kDormant, A::kReactivated},
      {1, A::kLost, A::kReactivated},
      {6, A::kLost, A::kReactivated},
  }));
  CAPTURE(row.days, row.down_to);
  Life life(10);
  life.Rhythm(kT, row.days);
  while (life.state.activity != row.down_to)
    REQUIRE(OnSilence(life.config, life.pulse, life.Next(), &life.state));
  const EventTime at = life.state.since + Hours(25);
  REQUIRE(at < life.Next());
  CHECK(life.Event(at) == (row.down_to != row.after_event));
  CHECK(life.state.activity == row.after_event);
}

TEST_CASE("activity: reactivated becomes active on the next activity day, not on the same one") {
  Life life(10);
  life.Rhythm(kT);
  life.Wait(kT + Days(1000));
  REQUIRE(life.state.activity == A::kLost);
  const EventTime back = At("2029-05-05T10:00:00Z");
  CHECK(life.Event(back));
  CHECK(life.state.activity == A::kReactivated);
  CHECK(life.state.since == back);
  CHECK_FALSE(life.Event(back + Hours(3)));
  CHECK_FALSE(life.Event(At("2029-05-05T23:59:59.999Z")));
  CHECK(life.state.activity == A::kReactivated);
  CHECK(life.Event(At("2029-05-06T00:00:00Z")));
  CHECK(life.state.activity == A::kActive);
  CHECK(life.state.previous == A::kReactivated);
}

TEST_CASE("activity: a reactivated customer who leaves again goes the same way down") {
  Life life(10);
  life.Rhythm(kT);
  life.Wait(kT + Days(1000));
  life.Event(kT + Days(1001));
  REQUIRE(life.state.activity == A::kReactivated);
  CHECK(OnSilence(life.config, life.pulse, life.Next(), &life.state));
  CHECK(life.state.activity == A::kAtRisk);
  CHECK(life.state.previous == A::kReactivated);
}

TEST_CASE("activity: fixed times instead of the score") {
  Life life(10);
  life.config.after[0] = Days(30);
  life.config.after[1] = Days(60);
  life.config.after[2] = Days(90);
  const int days = GENERATE(1, 6);  // new or with a rhythm: the same
  life.Rhythm(kT, days);
  for (const auto& [after, to] :
       {std::pair{Days(30), A::kAtRisk}, {Days(60), A::kDormant}, {Days(90), A::kLost}}) {
    CHECK(life.Next() == kT + after);
    CHECK(OnSilence(life.config, life.pulse, kT + after, &life.state));
    CHECK(life.state.activity == to);
  }
}

TEST_CASE("activity: steps that fall together come one at a time and in order") {
  Life life(10);
  life.config.horizon = Days(5);  // caps all three
  life.Rhythm(kT);
  const EventTime due = kT + Days(5);
  for (const A to : {A::kAtRisk, A::kDormant, A::kLost}) {
    CHECK(OnSilence(life.config, life.pulse, due, &life.state));
    CHECK(life.state.activity == to);
    CHECK(life.state.since == due);
  }
  CHECK_FALSE(OnSilence(life.config, life.pulse, due, &life.state));
}

TEST_CASE("activity: a long way behind, each step still has its own moment") {
  Life late(10);
  late.Rhythm(kT);
  Life in_time(10);
  in_time.Rhythm(kT);
  for (int step = 0; step < 3; ++step) {
    REQUIRE(OnSilence(in_time.config, in_time.pulse, in_time.Next(), &in_time.state));
    REQUIRE(OnSilence(late.config, late.pulse, kT + Days(3000), &late.state));
    CHECK(late.state == in_time.state);
  }
}

TEST_CASE("activity: late events") {
  Life life(10);
  life.Rhythm(kT);
  life.Wait(kT + Days(1000));
  REQUIRE(life.state.activity == A::kLost);
  const LifecycleState lost = life.state;
  const EventTime now = kT + Days(1000);
  SECTION("from before the newest event: nothing new") {
    CHECK_FALSE(life.LateEvent(kT - Hours(30), now));
    CHECK(life.state == lost);
  }
  SECTION("from after the customer was lost: the return, when it was") {
    CHECK(life.LateEvent(lost.since + Hours(5), now));
    CHECK(life.state.activity == A::kReactivated);
    CHECK(life.state.since == lost.since + Hours(5));
  }
  SECTION("from between: the customer was not lost when it was said; corrected now") {
    CHECK(life.LateEvent(lost.since - Hours(5), now));
    CHECK(life.state.activity == A::kReactivated);
    CHECK(life.state.since == now);
  }
}

TEST_CASE("activity: random lives only ever make legal transitions, forward in time") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::set<std::pair<A, A>> seen;
  for (int i = 0; i < 300; ++i) {
    Life life(std::exponential_distribution<double>(0.1)(random) + 0.01);
    EventTime now = kT;
    LifecycleState before = life.state;
    const auto check = [&] {
      if (life.state == before) return;
      CAPTURE(i, before.activity, life.state.activity);
      CHECK(life.state.previous == before.activity);
      REQUIRE(IsLegal(before.activity, life.state.activity));
      CHECK((before.activity == A::kNone || life.state.since >= before.since));
      CHECK(life.state.since <= now);
      seen.insert({before.activity, life.state.activity});
      before = life.state;
    };
    for (int step = 0; step < 60; ++step) {
      now = now + Ms(static_cast<int64_t>(std::exponential_distribution<double>(1.0)(random) *
                                          (step % 9 == 0 ? 4e10 : 2e8)));
      while (OnSilence(life.config, life.pulse, now, &life.state)) check();
      life.Event(now);
      check();
    }
  }
  CHECK(seen.size() == 12);  // and all of the legal ones were met
}
