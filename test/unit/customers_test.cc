// What a shard's customers take in memory, and how they get to the store.
#include "shard/customers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "catch.h"
#include "given.h"
#include "shard/evaluator.h"
#include "store/memory_store.h"
#include "store_wrap.h"

namespace heartbeatd {
namespace {

constexpr const char* kRules = R"(
measures: {purchases: {type: purchase, sum: amount, distinct: category}}
rules:
  - {id: quiet, detector: silence, measure: purchases, after: 10d, minimum: {days: 1}}
  - {id: fewer, detector: dropping, measure: purchases, value: distinct, window: 28d, baseline: {periods: 3}, ratio: 0.5,
     minimum: {baseline_count: 8, observed_for: 112d}}
)";
const EventTime kT = At("2026-03-02T09:00:00Z");

// A store that knows which batches it was given, and takes only so many.
class RecordingStore final : public StoreWrap {
 public:
  RecordingStore() : StoreWrap(MakeMemoryStore()) {}

  struct Batch {
    std::set<std::string> states, timers;  // customers
    std::vector<std::string> order;        // of the states
    std::string local_meta;
  };

  Status Write(const StoreBatch& batch) override {
    if (batches.size() >= batches_max) return Fail("the disk is full", ExitCode::kTemporary);
    Batch& kept = batches.emplace_back();
    for (const StoreBatch::State& state : batch.states) {
      kept.states.emplace(state.customer);
      kept.order.emplace_back(state.customer);
      bytes += state.customer.size() + state.bytes.value_or("").size();
    }
    for (const auto* timers : {&batch.timers_removed, &batch.timers_added}) {
      for (const Timer& timer : *timers) {
        kept.timers.insert(timer.customer);
        bytes += 8 + timer.customer.size();
      }
    }
    kept.local_meta = batch.local_meta;
    return StoreWrap::Write(batch);
  }

  std::vector<Batch> batches;
  size_t batches_max = SIZE_MAX;
  uint64_t bytes = 0;  // of states and timers
};

struct World {
  explicit World(size_t cache_bytes_max)
      : table(*rules, evaluator.NewState(), store, cache_bytes_max) {}

  // Purchases of these customers, committed together.
  void Purchase(int first, int last, EventTime at = kT) {
    for (int number = first; number < last; ++number) Change(number, at);
    Produce();
    table.OnCommitted();
  }
  // What has changed becomes a transaction.
  void Produce() {
    for (size_t i = 0; table.Uncommitted(i); ++i) {
    }
    table.OnProduced();
  }
  // A purchase of one of them, in no transaction yet.
  void Change(int number, EventTime at) {
    Result<Customer*> found = table.Find(fmt::format("customer{:04}", number));
    REQUIRE(found);
    const Event event = EventOf(
        *rules, at,
        fmt::format(R"("type":"purchase","amount":1,"properties":{{"category":"{}"}})", number),
        fmt::format("e{}-{}", number, at.ms()));
    std::vector<OutgoingAlert> alerts;
    evaluator.OnEvent((*found)->id, event, at, at, (*found)->state, &alerts);
    table.MarkChanged(*found);
  }
  // How many purchases the store knows of.
  uint64_t Stored(int number) {
    const auto value = *store.Get(fmt::format("customer{:04}", number));
    if (!value) return 0;
    CustomerState state;
    REQUIRE(table.codec().Decode(CustomerTable::ParseStored(*value)->encoded, &state));
    return state.measures[0].count;
  }

  // Every stored customer is found by its timer, and every timer finds its customer.
  void CheckStore(size_t customers) {
    const auto listed = *store.Timers({EventTime::Min(), ""}, SIZE_MAX);
    const std::set<Timer> timers(listed.begin(), listed.end());
    const auto stored = *store.Customers("", SIZE_MAX);
    CHECK(stored.size() == customers);
    CHECK(timers.size() == customers);
    for (const auto& [customer, value] : stored)
      CHECK(timers.contains({CustomerTable::ParseStored(value)->indexed, customer}));
  }

  std::shared_ptr<const RuleSet> rules = RulesOf(kRules);
  Evaluator evaluator{*rules};
  RecordingStore store;
  CustomerTable table;
};

TEST_CASE("customers: they are saved in parts, each with its timer, and the record comes last") {
  World world(256u << 10);
  world.Purchase(0, 1000);
  REQUIRE(world.table.Save("record"));
  REQUIRE(world.store.batches.size() > 3);
  std::set<std::string> seen;
  for (const RecordingStore::Batch& batch : world.store.batches) {
    CHECK(batch.local_meta == (&batch == &world.store.batches.back() ? "record" : ""));
    CHECK(batch.timers == batch.states);
    for (const std::string& customer : batch.states) CHECK(seen.insert(customer).second);
  }
  world.CheckStore(1000);
}

TEST_CASE("customers: a save that fails on the way is finished by the next") {
  World world(256u << 10);
  world.Purchase(0, 1000);
  world.store.batches_max = 2;
  REQUIRE_FALSE(world.table.Save("first"));
  CHECK(world.table.unsaved() < 1000);
  CHECK(world.table.unsaved() > 600);
  CHECK_FALSE(*world.store.LocalMeta());
  // Meanwhile deadlines move to where nothing was written yet, in both directions.
  world.Purchase(0, 400, kT + Days(2));
  EventTime due;
  size_t mended = 0;
  for (int i = 0; i < 100; ++i)
    REQUIRE(world.table.NextDue(kT + Days(11), SIZE_MAX, &due, &mended));
  world.store.batches_max = SIZE_MAX;
  REQUIRE(world.table.Save("second"));
  CHECK(*world.store.LocalMeta() == "second");
  CHECK(world.table.saved_bytes() == world.store.bytes);
  world.CheckStore(1000);
}

TEST_CASE("customers: memory stays within its limit, and nobody is forgotten") {
  constexpr size_t kLimit = 256u << 10;
  World world(kLimit);
  size_t saves = 0;
  for (int day = 0; day < 5; ++day) {
    for (int first = 0; first < 2000; first += 20) {
      world.Purchase(first, first + 20, kT + Days(day));
      CHECK(world.table.memory_bytes() < kLimit + kLimit / 8);
      if (world.table.Trim()) continue;
      REQUIRE(world.table.Save("record"));
      ++saves;
      CHECK(world.table.memory_bytes() <= kLimit);
    }
  }
  CHECK(saves > 10);
  CHECK(world.table.cached() < 1000);
  CHECK(world.table.cached() > 20);
  REQUIRE(world.table.Save("record"));
  world.CheckStore(2000);
  for (int number = 0; number < 2000; number += 97) {
    const Result<Customer*> found = world.table.Find(fmt::format("customer{:04}", number));
    REQUIRE(found);
    CHECK((*found)->state->measures[0].count == 5);
  }
}

TEST_CASE("customers: what is read and not changed goes without a save") {
  World world(256u << 10);
  world.Purchase(0, 2000);
  REQUIRE(world.table.Save("record"));
  for (int number = 0; number < 2000; ++number) {
    REQUIRE(world.table.Find(fmt::format("customer{:04}", number)));
    CHECK(world.table.Trim());
    CHECK(world.table.memory_bytes() <= 256u << 10);
  }
}

TEST_CASE("customers: whoever is changed again before a save is saved as he was last") {
  World world(256u << 10);
  world.Purchase(0, 400);
  CHECK(world.table.Trim());
  world.Purchase(300, 700, kT + Days(1));
  (void)world.table.Trim();
  CHECK(world.table.unsaved() == 700);
  CHECK(world.store.batches.empty());
  for (int number : {0, 299, 300, 399, 699}) {
    const Result<Customer*> found = world.table.Find(fmt::format("customer{:04}", number));
    REQUIRE(found);
    CHECK((*found)->unsaved);
    CHECK((*found)->state->measures[0].count == (number >= 300 && number < 400 ? 2 : 1));
  }
  REQUIRE(world.table.Save("record"));
  CHECK(world.table.unsaved() == 0);
  world.CheckStore(700);
}

TEST_CASE("customers: a commit has everybody's last state, in the order of the first changes") {
  // With little memory only the first changes fit into what waits for the commit in one piece.
  const size_t cache_bytes_max = GENERATE(64u << 10, 1u << 20, 64u << 20);
  World world(cache_bytes_max);
  std::mt19937 random(7);
  std::map<std::string, uint64_t> purchases;
  for (int transaction = 0; transaction < 20; ++transaction) {
    std::vector<std::string> changed;
    for (int step = 0; step < 300; ++step) {
      const int number = static_cast<int>(random() % 200);
      const std::string id = fmt::format("customer{:04}", number);
      if (random() % 8 == 0) {
        const Result<Customer*> found = world.table.Find(id);
        REQUIRE(found);
        world.table.Erase(*found);
        purchases[id] = 0;
      } else {
        world.Change(number, kT + Days(transaction) + std::chrono::minutes(step));
        ++purchases[id];
      }
      if (std::find(changed.begin(), changed.end(), id) == changed.end()) changed.push_back(id);
    }
    std::vector<std::string> sent;
    for (size_t i = 0; const auto change = world.table.Uncommitted(i); ++i) {
      sent.emplace_back(change->id);
      uint64_t count = 0;
      if (change->value) {
        CustomerState state;
        REQUIRE(world.table.codec().Decode(*change->value, &state));
        count = state.measures[0].count;
      }
      CHECK(count == purchases[sent.back()]);
    }
    CHECK(sent == changed);
    world.table.OnProduced();
    world.table.OnCommitted();
  }
}

TEST_CASE("customers: what nobody asked for before the commit is no part of the next") {
  World world(1u << 20);
  world.Change(1, kT);
  const Customer* first = *world.table.Find("customer0001");
  world.table.OnProduced();
  world.table.OnCommitted();
  world.Change(2, kT);
  // Others drive the first out of what unpacked customers share.
  for (int other = 10; first->state != nullptr; ++other)
    REQUIRE(world.table.Find(fmt::format("customer{:04}", other)));
  REQUIRE(world.table.Uncommitted(0));
  CHECK(world.table.Uncommitted(0)->id == "customer0002");
  CHECK_FALSE(world.table.Uncommitted(1));
}

TEST_CASE("customers: a save goes in the order of the keys") {
  const std::string common = GENERATE("", "a prefix of all of them ");
  std::vector<std::string> ids;
  for (const std::string_view end : {"a", "ab", "abcdefgh", "abcdefgh1", "abcdefgh2", "b", "\xff"})
    ids.push_back(common + std::string(end));
  ids.insert(ids.begin() + 1, common + std::string("a\0", 2));
  if (!common.empty()) ids.insert(ids.begin(), common);
  const std::vector<std::string> sorted = ids;
  World world(1u << 20);
  std::shuffle(ids.begin(), ids.end(), std::mt19937(3));
  for (const std::string& id : ids) world.table.MarkChanged(*world.table.Find(id));
  world.Produce();
  world.table.OnCommitted();
  REQUIRE(world.table.Save("record"));
  REQUIRE(world.store.batches.size() == 1);
  CHECK(world.store.batches[0].order == sorted);
}

TEST_CASE("customers: a deadline that moves while a save goes on is kept") {
  World world(1u << 20);
  const auto set_due = [&](std::string_view id, EventTime due) {
    Customer* customer = *world.table.Find(id);
    customer->state->rules[0].due = due;
    customer->state->lifecycle_due = EventTime::Never();
    world.table.MarkChanged(customer);
  };
  for (const char* id : {"a", "b"}) set_due(id, kT + Days(10));
  world.Produce();
  world.table.OnCommitted();
  set_due("c", kT + Days(20));
  world.table.BeginSave("record");  // of c only with the next commit
  REQUIRE(world.table.SaveSome());
  REQUIRE(world.table.IsSaving());
  set_due("a", kT + Days(12));  // later: his entry stays where it is, which is in the store
  set_due("b", kT + Days(5));   // earlier: only in memory
  world.Produce();
  world.table.OnCommitted();
  while (world.table.IsSaving()) REQUIRE(world.table.SaveSome());
  for (const auto& [id, day] :
       std::vector<std::pair<std::string_view, int>>{{"b", 5}, {"a", 12}, {"c", 20}}) {
    EventTime due;
    size_t mended = 0;
    const Result<Customer*> next = world.table.NextDue(kT + Days(30), 100, &due, &mended);
    REQUIRE(next);
    REQUIRE(*next != nullptr);
    CHECK((*next)->id == id);
    CHECK(due == kT + Days(day));
    (*next)->state->rules[0].due = EventTime::Never();
    world.table.MarkChanged(*next);
  }
}

TEST_CASE("customers: so many deadlines are mended at a time") {
  World world(1u << 20);
  world.Purchase(0, 100);
  world.Purchase(0, 100, kT + Days(2));  // all move back: their entries stay where they were
  EventTime due;
  for (const size_t expected : {40U, 40U, 20U}) {
    size_t mended = 0;
    const Result<Customer*> next = world.table.NextDue(kT + Days(11), 40, &due, &mended);
    REQUIRE(next);
    CHECK(*next == nullptr);
    CHECK(mended == expected);
  }
  size_t mended = 0;
  CHECK(*world.table.NextDue(kT + Days(12), 40, &due, &mended) != nullptr);
  CHECK(due == kT + Days(12));
  CHECK(mended == 0);
}

TEST_CASE("customers: a timer that a restore has left behind goes with the next save") {
  World world(1u << 20);
  world.Purchase(0, 2);
  REQUIRE(world.table.Save("record"));
  const Timer left_behind{kT + Days(1), "customer0000"};
  REQUIRE(world.store.Write({.timers_added = {left_behind}}));
  EventTime due;
  size_t mended = 0;
  const Result<Customer*> next = world.table.NextDue(kT + Days(2), SIZE_MAX, &due, &mended);
  REQUIRE(next);
  CHECK(*next == nullptr);
  REQUIRE(world.table.Save("record"));
  world.CheckStore(2);
}

TEST_CASE("customers: memory that nobody uses any more is not counted") {
  World world(0);
  world.Purchase(0, 100);
  CHECK(world.table.memory_bytes() > 100 * sizeof(Customer));
  CHECK_FALSE(world.table.Trim());
  REQUIRE(world.table.Save("record"));
  CHECK(world.table.memory_bytes() == 0);
  CHECK(world.table.cached() == 0);
}

TEST_CASE("customers: what a customer grows by counts") {
  size_t before = 0;
  for (int days = 1; days <= 64; days *= 4) {
    World world(1u << 20);
    for (int day = 0; day < days; ++day) world.Purchase(0, 1, kT + Days(day));
    // Others drive him out of what unpacked customers share.
    for (int other = 1; other < 50; ++other)
      REQUIRE(world.table.Find(fmt::format("customer{:04}", other)));
    CHECK(world.table.memory_bytes() > before + static_cast<size_t>(days));
    before = world.table.memory_bytes();
    // While somebody works on him he weighs more than who is not known.
    const Result<Customer*> found = world.table.Find("customer0000");
    REQUIRE(found);
    CHECK(world.table.memory_bytes() > before + (*found)->encoded_bytes);
  }
}

TEST_CASE("customers: a pass goes on while they change, and saves nothing that is not committed") {
  World world(1u << 20);
  world.Purchase(0, 5);
  world.Change(1, kT + Days(1));  // not in any transaction yet
  world.table.BeginSave("record");
  REQUIRE(world.table.SaveSome());
  CHECK(world.table.IsSaving());
  CHECK(world.Stored(0) == 1);
  CHECK(world.Stored(1) == 0);
  CHECK_FALSE(*world.store.LocalMeta());
  SECTION("whoever rests after his commit is saved as he is") {
    world.Produce();
    REQUIRE(world.table.SaveSome());
    CHECK(world.Stored(1) == 0);  // under way is not committed
    world.table.OnCommitted();
    while (world.table.IsSaving()) REQUIRE(world.table.SaveSome());
    CHECK(world.Stored(1) == 2);
    CHECK(world.table.unsaved() == 0);
  }
  SECTION("whoever never rests is saved as of one of his commits") {
    for (int day = 2; day < 4; ++day) {
      world.Produce();
      world.Change(1, kT + Days(day));
      REQUIRE(world.table.SaveSome());
      CHECK(world.Stored(1) == 0);
      world.table.OnCommitted();
    }
    REQUIRE(world.table.SaveSome());
    CHECK(world.Stored(1) == 3);
    while (world.table.IsSaving()) REQUIRE(world.table.SaveSome());
    CHECK(world.table.unsaved() == 1);  // his fourth is for the next pass
    world.Produce();
    world.table.OnCommitted();
    REQUIRE(world.table.Save("record"));
    CHECK(world.Stored(1) == 4);
  }
  CHECK(*world.store.LocalMeta() == "record");
  world.CheckStore(5);
}

// Random changes, transactions, passes, failures and deaths, against a log of what was committed:
// the store, and on top of it the log from where its record was made, is everything.
TEST_CASE("customers: a store and the log from its record on are everything, whenever it ends") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 40; ++round) {
    CAPTURE(round);
    World world(random() % 2 == 0 ? 8000 : 1u << 20);
    std::vector<std::map<int, uint64_t>> log;  // by transaction: whose purchases are how many now
    std::map<int, uint64_t> now;
    std::map<int, uint64_t> next;  // what the open transaction changes
    std::map<int, uint64_t> under_way;
    bool is_under_way = false;
    EventTime at = kT;
    for (int step = 0; step < 400; ++step) {
      at = at + Hours(1);
      switch (random() % 8) {
        case 0:
        case 1:
        case 2: {
          const int number = random() % 3 == 0 ? 7 : static_cast<int>(random() % 40);
          world.Change(number, at);
          next[number] = ++now[number];
          break;
        }
        case 3:
          if (!is_under_way) {
            world.Produce();
            under_way = std::exchange(next, {});
            is_under_way = true;
          }
          break;
        case 4:
        case 5:
          if (is_under_way) {
            world.table.OnCommitted();
            log.push_back(under_way);
            is_under_way = false;
          }
          break;
        case 6:
          if (random() % 4 == 0) world.table.BeginSave(fmt::format("{}", log.size()));
          if (random() % 4 == 0) (void)world.table.Trim();
          break;
        default:
          if (!world.table.IsSaving()) break;
          world.store.batches_max = random() % 4 == 0 ? 0 : SIZE_MAX;
          (void)world.table.SaveSome();
          world.store.batches_max = SIZE_MAX;
      }
      const std::string record = (*world.store.LocalMeta()).value_or("0");
      std::map<int, uint64_t> replayed;
      for (size_t i = std::stoul(record); i < log.size(); ++i) {
        for (const auto& [number, count] : log[i]) replayed[number] = count;
      }
      std::map<int, uint64_t> committed;
      for (const auto& transaction : log) {
        for (const auto& [number, count] : transaction) committed[number] = count;
      }
      for (const auto& [number, count] : committed) {
        const auto from_log = replayed.find(number);
        const uint64_t stored = world.Stored(number);
        REQUIRE((from_log != replayed.end() ? from_log->second : stored) == count);
        REQUIRE(stored <= count);
      }
    }
  }
}

}  // namespace
}  // namespace heartbeatd
