// The whole point of deadlines: looking only when the detector asked to be looked at must show what
// looking all the time shows, to the last byte of every alert.
#pragma once

#include <cmath>
#include <functional>
#include <random>
#include <string>

#include "one_customer.h"

namespace heartbeatd {

// A life at random: events at an uneven pace, some of them late.
struct RandomLife {
  Resolution looks = Resolution::kDay;  // the dense looker looks at the start of every bucket
  int events = 60;
  double pace = 1;      // events a bucket
  double uneven = 0;    // spread of the pace, which changes now and then: a factor of exp(+-uneven)
  int late_max = 0;     // buckets by which an event may be late; 0: none is
  int quiet_after = 0;  // buckets without an event at the end
  std::function<std::string(int i)> event;  // the fields of the i-th event
};

// Lives it in front of both lookers. Returns how many alerts there were.
inline size_t CompareLookers(const std::string& yaml, const RandomLife& life,
                             std::mt19937_64& random) {
  const auto chance = [&](double p) { return std::bernoulli_distribution(p)(random); };
  OneCustomer sparse(yaml);
  OneCustomer dense(yaml);
  const Calendar calendar = dense.rules->calendar;
  const auto look = [&] {
    dense.evaluator.OnRulesChanged("c42", dense.now, dense.now, &dense.state, &dense.alerts);
  };
  const auto advance_dense = [&](EventTime t) {
    while (dense.now != EventTime::Min()) {
      const EventTime next =
          BucketStart(life.looks, calendar, BucketOf(life.looks, calendar, dense.now) + 1);
      if (next > t) break;
      dense.AdvanceTo(next);
      look();
    }
    dense.AdvanceTo(t);
  };
  const int64_t unit_ms = LengthOf(life.looks).count();
  EventTime now = At("2026-03-20") + Hours(std::uniform_int_distribution<int>(0, 400)(random));
  double pace = life.pace;
  for (int i = 0; i < life.events; ++i) {
    if (chance(0.1))
      pace = life.pace *
             std::exp(std::uniform_real_distribution<double>(-life.uneven, life.uneven)(random));
    now = now + Ms(static_cast<int64_t>(std::exponential_distribution<double>(pace)(random) *
                                        static_cast<double>(unit_ms)));
    const bool late = life.late_max > 0 && chance(0.1);
    const int by = late ? std::uniform_int_distribution<int>(0, life.late_max)(random) : 0;
    const std::string fields = life.event(i);
    const std::string id = fmt::format("e{}", i);
    advance_dense(now);
    dense.On(now - Ms(by * unit_ms), fields, id);
    look();
    sparse.AdvanceTo(now);
    sparse.On(now - Ms(by * unit_ms), fields, id);
  }
  now = now + Ms(unit_ms * life.quiet_after);
  advance_dense(now);
  sparse.AdvanceTo(now);
  const Lines dense_lines = dense.Take();
  const Lines sparse_lines = sparse.Take();
  REQUIRE(Difference(sparse_lines, dense_lines) == Lines{});
  REQUIRE(sparse_lines == dense_lines);
  REQUIRE(sparse.taken == dense.taken);
  return sparse_lines.size();
}

}  // namespace heartbeatd
