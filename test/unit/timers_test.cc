// The index of deadlines, alone and under the table of customers that keeps it in step with the
// store.
#include "shard/timers.h"

#include <array>
#include <map>
#include <random>
#include <set>

#include "one_customer.h"
#include "shard/customers.h"
#include "store/memory_store.h"
#include "store_wrap.h"

using namespace heartbeatd;

namespace {

Timer T(int64_t due, const char* customer) { return {EventTime(due), customer}; }

void Put(Store& store, const std::vector<Timer>& added, const std::vector<Timer>& removed = {}) {
  StoreBatch batch;
  batch.timers_added = added;
  batch.timers_removed = removed;
  REQUIRE(store.Write(batch));
}

std::optional<Timer> First(TimerIndex& index, int64_t up_to) {
  Result<std::optional<Timer>> first = index.First(EventTime(up_to));
  REQUIRE(first);
  return *first;
}

// A rule for deadlines that are easy to foresee: 10 days after the last purchase.
const char* const kRules = R"(
measures: {m: {type: purchase}}
lifecycle: {at_risk: {after: 3000d}, dormant: {after: 3200d}, lost: {after: 3400d}}
rules: [{id: r, detector: silence, measure: m, after: 10d, minimum: {days: 1}}]
)";

}  // namespace

TEST_CASE("timers: the earliest of the store and of what changed since comes first") {
  const auto store = MakeMemoryStore();
  Put(*store, {T(10, "a"), T(30, "c")});
  TimerIndex index(*store, [](const Timer&) { return false; });
  CHECK_FALSE(First(index, 9));
  CHECK(First(index, 10) == T(10, "a"));
  index.Add(T(5, "b"));
  CHECK(First(index, 100) == T(5, "b"));
  index.Remove(T(5, "b"));
  CHECK(First(index, 100) == T(10, "a"));
  index.Remove(T(10, "a"));
  CHECK(First(index, 100) == T(30, "c"));
  index.Remove(T(30, "c"));
  CHECK_FALSE(First(index, 100));
}

TEST_CASE("timers: among equal times the customer's name decides") {
  const auto store = MakeMemoryStore();
  Put(*store, {T(10, "b"), T(10, "d")});
  TimerIndex index(*store, [](const Timer&) { return false; });
  index.Add(T(10, "c"));
  index.Add(T(10, "a"));
  std::string order;
  while (const auto first = First(index, 10)) {
    order += first->customer;
    index.Remove(*first);
  }
  CHECK(order == "abcd");
}

TEST_CASE("timers: a time of never is no deadline, and times before 1970 are") {
  const auto store = MakeMemoryStore();
  TimerIndex index(*store, [](const Timer&) { return false; });
  index.Add({EventTime::Never(), "a"});
  CHECK_FALSE(First(index, EventTime::Never().ms()));
  index.Add(T(-5, "b"));
  CHECK(First(index, -5) == T(-5, "b"));
}

TEST_CASE("timers: entries of the store that are out of date are passed over") {
  const auto store = MakeMemoryStore();
  Put(*store, {T(10, "moved"), T(20, "kept")});
  TimerIndex index(*store, [](const Timer& timer) {
    return timer.customer == "moved" && timer.due == EventTime(10);
  });
  index.Add(T(40, "moved"));
  CHECK(First(index, 100) == T(20, "kept"));
  index.Remove(T(20, "kept"));
  CHECK(First(index, 100) == T(40, "moved"));
}

TEST_CASE("timers: more than fit into memory are forgotten after a save and found again") {
  const auto store = MakeMemoryStore();
  TimerIndex index(*store, [](const Timer&) { return false; });
  constexpr int kMany = 150'000;
  // All within one hour, or a few in each of many hours.
  const int64_t apart_ms = GENERATE(1, 60'000);
  const int64_t end = 1000 + kMany * apart_ms;
  std::vector<Timer> all;
  for (int i = 0; i < kMany; ++i)
    all.push_back(T(1000 + i / 3 * apart_ms, fmt::format("c{}", i).c_str()));
  for (const Timer& timer : all) index.Add(timer);
  Put(*store, all);
  CHECK(index.size() == kMany);
  index.OnSaved();
  CHECK(index.size() < kMany / 2);
  std::sort(all.begin(), all.end());
  for (const Timer& timer : all) {
    const auto first = First(index, end);
    if (first != timer) REQUIRE(first == timer);
    index.Remove(timer);
  }
  CHECK_FALSE(First(index, end));
}

TEST_CASE("timers: what is due in hours to come moves as often as it likes") {
  const auto store = MakeMemoryStore();
  TimerIndex index(*store, [](const Timer&) { return false; });
  const int64_t hour = 3'600'000;
  CHECK_FALSE(First(index, 0));
  for (int64_t i = 1; i <= 20; ++i) {
    if (i > 1) index.Remove(T((20 - i + 2) * hour, "a"));
    index.Add(T((20 - i + 1) * hour, "a"));
    index.Add(T((20 - i + 1) * hour, "a"));
    CHECK(index.size() == 1);
  }
  index.Add(T(5 * hour + 1, "b"));
  index.Add(T(5 * hour, "c"));
  index.Remove(T(6 * hour, "nobody"));
  CHECK(index.size() == 3);
  CHECK_FALSE(First(index, hour - 1));
  CHECK(First(index, hour) == T(hour, "a"));
  index.Remove(T(hour, "a"));
  CHECK_FALSE(First(index, 5 * hour - 1));
  CHECK(First(index, 100 * hour) == T(5 * hour, "c"));
  index.Remove(T(5 * hour, "c"));
  CHECK(First(index, 5 * hour + 1) == T(5 * hour + 1, "b"));
  CHECK(index.size() == 1);
}

TEST_CASE("timers: a store that cannot be read is an error, and can be asked again") {
  auto inner = std::shared_ptr<Store>(MakeMemoryStore());
  FlakyStore store(inner);
  Put(*inner, {T(10, "a")});
  TimerIndex index(store, [](const Timer&) { return false; });
  store.fail_reads = 1;
  CHECK_FALSE(index.First(EventTime(100)));
  CHECK(First(index, 100) == T(10, "a"));
}

// Random customers whose deadlines move to and fro, with saves between, against a plain map.
TEST_CASE(
    "timers: the customers' deadlines fire in order, each at its own time, through any saves") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    const auto rules = RulesOf(kRules);
    Evaluator evaluator(*rules);
    auto inner = std::shared_ptr<Store>(MakeMemoryStore());
    auto store = std::make_unique<FlakyStore>(inner);
    // With 0 every saved customer leaves the memory, with little some are packed.
    const size_t cache = std::array<size_t, 3>{0, 8000, 1u << 20}[random() % 3];
    auto table = std::make_unique<CustomerTable>(*rules, evaluator.NewState(), *store, cache);
    std::map<std::string, EventTime> model;        // deadlines
    std::map<std::string, EventTime> saved_model;  // as of the last save
    const auto find = [&](const std::string& id) {
      Result<Customer*> customer = table->Find(id);
      while (!customer) customer = table->Find(id);
      return *customer;
    };
    EventTime now = At("2026-01-01");
    for (int step = 0; step < 300; ++step) {
      const std::string id = fmt::format("c{}", random() % 12);
      switch (random() % 10) {
        case 0:
        case 1:
        case 2:
        case 3: {  // the deadline moves anywhere
          Customer* customer = find(id);
          customer->state->rules[0].due = random() % 6 == 0
                                              ? EventTime::Never()
                                              : now + Hours(static_cast<int64_t>(random() % 500));
          customer->state->lifecycle_due = EventTime::Never();
          table->MarkChanged(customer);
          model[id] = customer->state->rules[0].due;
          break;
        }
        case 4: {  // forgotten
          table->Erase(find(id));
          model.erase(id);
          break;
        }
        case 5:
        case 6: {  // time goes on: everything due fires, earliest first
          now = now + Hours(static_cast<int64_t>(random() % 200));
          if (random() % 3 == 0) store->fail_reads = 1;
          while (true) {
            EventTime due;
            const size_t mended_max = 1 + random() % 8;
            size_t mended = 0;
            const Result<Customer*> next = table->NextDue(now, mended_max, &due, &mended);
            if (!next || (*next == nullptr && mended == mended_max)) continue;
            std::optional<std::pair<EventTime, std::string>> expected;
            for (const auto& [name, time] : model) {
              if (time <= now && (!expected || std::pair(time, name) < *expected))
                expected = {time, name};
            }
            if (!expected) {
              REQUIRE(*next == nullptr);
              break;
            }
            REQUIRE(*next != nullptr);
            CHECK(due == expected->first);
            CHECK(std::string((*next)->id) == expected->second);
            model[expected->second] = (*next)->state->rules[0].due =
                due + Hours(static_cast<int64_t>(1 + random() % 900));
            (*next)->state->lifecycle_due = EventTime::Never();
            table->MarkChanged(*next);
          }
          break;
        }
        case 7:  // commit and save
        case 8: {
          for (size_t i = 0; table->Uncommitted(i); ++i) {
          }
          table->OnProduced();
          table->OnCommitted();
          if (random() % 2 == 0) (void)table->Trim();
          if (random() % 4 == 0) {
            store->fail_writes = 1;
            CHECK_FALSE(table->Save("x"));
          }
          if (random() % 4 == 0) break;  // a later save must write what this one could not
          REQUIRE(table->Save("x"));
          saved_model = model;
          break;
        }
        default: {  // the process dies: what was saved is there
          table = std::make_unique<CustomerTable>(*rules, evaluator.NewState(), *store, cache);
          model = saved_model;
          break;
        }
      }
    }
  }
}

TEST_CASE("timers: a save that fails loses no deadline") {
  const auto rules = RulesOf(kRules);
  Evaluator evaluator(*rules);
  FlakyStore store{std::shared_ptr<Store>(MakeMemoryStore())};
  const EventTime early = At("2026-03-01");
  const EventTime late = At("2026-04-01");
  {
    CustomerTable table(*rules, evaluator.NewState(), store, 1u << 20);
    const auto set_due = [&](EventTime due) {
      Customer* customer = *table.Find("c");
      customer->state->rules[0].due = due;
      customer->state->lifecycle_due = EventTime::Never();
      table.MarkChanged(customer);
      table.OnProduced();
      table.OnCommitted();
    };
    set_due(late);
    REQUIRE(table.Save("1"));
    // Earlier for a while, but the store hears of it only when it is over.
    set_due(early);
    store.fail_writes = 1;
    REQUIRE_FALSE(table.Save("2"));
    EventTime due;
    size_t mended = 0;
    REQUIRE(*table.NextDue(early, 100, &due, &mended) != nullptr);
    CHECK(due == early);
    set_due(late);
    CHECK(*table.NextDue(early, 100, &due, &mended) == nullptr);
    REQUIRE(table.Save("3"));
  }
  CustomerTable again(*rules, evaluator.NewState(), store, 1u << 20);
  EventTime due;
  size_t mended = 0;
  const Result<Customer*> next = again.NextDue(late, 100, &due, &mended);
  REQUIRE(next);
  REQUIRE(*next != nullptr);
  CHECK(due == late);
}
