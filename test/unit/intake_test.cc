// The merge of a shard's input topics.
#include "shard/intake.h"

#include <deque>
#include <random>

#include "given.h"

using namespace heartbeatd;

namespace {

const EventTime kT = At("2026-03-01");
constexpr WallTime kNow(1'800'000'000'000);

// The wall clock does not jump, unless a test says so.
Moment Read(WallTime now) { return {now, Duration(now.ms())}; }

// Keeps the payloads that the intake's records point to.
struct Input {
  explicit Input(size_t topics, const std::vector<int64_t>& next = {})
      : rules(RulesOf("measures: {m: {type: purchase}}")),
        intake(rules->schema, {}, next.empty() ? std::vector<int64_t>(topics, 0) : next) {}

  void Offer(size_t topic, int64_t offset, EventTime at, WallTime now = kNow) {
    Raw(topic, offset, JsonOf("c", fmt::format("{}-{}", topic, offset), at, R"("type":"purchase")"),
        now);
  }
  void Raw(size_t topic, int64_t offset, std::string payload, WallTime now = kNow) {
    payloads.push_back(std::move(payload));
    intake.Offer(topic, InputRecord{.offset = offset, .payload = payloads.back()}, Read(now));
  }
  // "topic/offset" of everything that can be applied now.
  std::string Take() {
    std::string out;
    while (Pending* head = intake.Head()) {
      out += fmt::format("{}{}/{}", out.empty() ? "" : " ", head->topic, head->record.offset);
      intake.Pop();
    }
    return out;
  }

  std::shared_ptr<const RuleSet> rules;
  std::deque<std::string> payloads;
  Intake intake;
};

}  // namespace

TEST_CASE("intake: one topic goes through in its own order, whatever the times") {
  Input input(1);
  input.Offer(0, 0, kT + Ms(5));
  input.Offer(0, 1, kT);
  input.Offer(0, 2, kT + Ms(9));
  CHECK(input.Take() == "0/0 0/1 0/2");
  CHECK(input.intake.next(0) == 3);
}

TEST_CASE("intake: two topics merge by time, and the first topic goes first among equals") {
  Input input(2);
  input.Offer(0, 0, kT);
  input.Offer(0, 1, kT + Ms(10));
  input.Offer(0, 2, kT + Ms(20));
  input.Offer(1, 0, kT + Ms(5));
  input.Offer(1, 1, kT + Ms(10));
  input.Offer(1, 2, kT + Ms(30));
  // The last one has nobody to be held against.
  CHECK(input.Take() == "0/0 1/0 0/1 1/1 0/2");
  CHECK(input.intake.buffered() == 1);
}

TEST_CASE("intake: a topic with nothing buffered is waited for") {
  Input input(2);
  input.Offer(0, 0, kT);
  CHECK(input.Take().empty());
  input.Offer(1, 0, kT + Ms(1));
  CHECK(input.Take() == "0/0");
}

TEST_CASE("intake: ... unless it is confirmed drained, as of after the head was received") {
  Input input(2);
  input.Offer(0, 0, kT, kNow);
  SECTION("asked before") {
    input.intake.OnConfirmedEnd(1, {0, Read(kNow - Ms(1))});
    CHECK(input.Take().empty());
  }
  SECTION("asked then") {
    input.intake.OnConfirmedEnd(1, {0, Read(kNow)});
    CHECK(input.Take() == "0/0");
  }
  SECTION("asked then, but there is more than has arrived") {
    input.intake.OnConfirmedEnd(1, {3, Read(kNow)});
    CHECK(input.Take().empty());
    input.Offer(1, 2, kT - Ms(1), kNow + Ms(1));  // offsets have gaps
    CHECK(input.Take() == "1/2");                 // the smallest first, then it is empty again
    input.intake.OnConfirmedEnd(1, {3, Read(kNow + Ms(5))});
    CHECK(input.Take() == "0/0");
  }
  SECTION("control records at its end count as delivered") {
    input.intake.OnEndOfPartition(1, 3);
    input.intake.OnConfirmedEnd(1, {3, Read(kNow + Ms(1))});
    CHECK(input.Take() == "0/0");
  }
}

TEST_CASE("intake: what has been seen before is dropped") {
  Input input(1, {10});
  input.Offer(0, 8, kT);
  input.Offer(0, 9, kT);
  input.Offer(0, 10, kT);
  input.Offer(0, 10, kT);
  input.Offer(0, 14, kT);
  input.Offer(0, 12, kT);
  CHECK(input.Take() == "0/10 0/14");
  CHECK(input.intake.next(0) == 15);
}

TEST_CASE("intake: a refused message waits for nobody") {
  Input input(2);
  input.Offer(0, 0, kT);
  input.Raw(0, 1, "not json");
  input.Raw(1, 0, "not json");
  CHECK(input.Take() == "1/0");
  input.Offer(1, 1, kT + Ms(1));
  CHECK(input.Take() == "0/0 0/1");
}

TEST_CASE("intake: a tombstone is refused like an empty message") {
  Input input(1);
  input.intake.Offer(0, InputRecord{.offset = 0}, Read(kNow));
  Pending* head = input.intake.Head();
  REQUIRE(head != nullptr);
  CHECK(head->refused == DeadLetterReason::kNotJson);
}

TEST_CASE("intake: drained as of the oldest answer, and only while nothing is buffered") {
  Input input(2);
  CHECK_FALSE(input.intake.DrainedAsOf());
  input.intake.OnConfirmedEnd(0, {0, Read(kNow)});
  CHECK_FALSE(input.intake.DrainedAsOf());
  input.intake.OnConfirmedEnd(1, {0, Read(kNow + Ms(100))});
  CHECK(input.intake.DrainedAsOf() == kNow);
  input.intake.OnConfirmedEnd(0, {0, Read(kNow + Ms(200))});
  CHECK(input.intake.DrainedAsOf() == kNow + Ms(100));
  input.Offer(0, 0, kT, kNow + Ms(300));
  CHECK_FALSE(input.intake.DrainedAsOf());
  input.intake.OnConfirmedEnd(1, {0, Read(kNow + Ms(400))});
  CHECK(input.Take() == "0/0");
  CHECK(input.intake.DrainedAsOf() == kNow + Ms(200));
  // More has been announced than has arrived: what was known stays known, nothing newer comes.
  input.intake.OnConfirmedEnd(0, {5, Read(kNow + Ms(500))});
  CHECK(input.intake.DrainedAsOf() == kNow + Ms(200));
}

TEST_CASE("intake: lag counts what was announced and not yet applied") {
  Input input(2, {100, 0});
  CHECK(input.intake.Lag() == 0);
  input.intake.OnConfirmedEnd(0, {103, Read(kNow)});
  CHECK(input.intake.Lag() == 3);
  input.Offer(0, 100, kT);
  input.Offer(0, 101, kT);
  CHECK(input.intake.Lag() == 3);
  input.intake.OnConfirmedEnd(1, {0, Read(kNow)});
  CHECK(input.Take() == "0/100 0/101");
  CHECK(input.intake.Lag() == 1);
  input.intake.OnEndOfPartition(0, 103);  // a control record was last
  CHECK(input.intake.Lag() == 0);
}

TEST_CASE("intake: a partner that stays silent is waited for up to a bound") {
  Input input(2);
  const std::string payload = JsonOf("c", "e", kT, R"("type":"purchase")");
  input.payloads.push_back(payload);
  for (size_t i = 0; i < Intake::kBufferedMax - 1; ++i) {
    input.intake.Offer(
        0, InputRecord{.offset = static_cast<int64_t>(i), .payload = input.payloads.back()},
        Read(kNow));
  }
  CHECK(input.intake.Head() == nullptr);
  CHECK(input.intake.overflows() == 0);
  input.Offer(0, static_cast<int64_t>(Intake::kBufferedMax), kT);
  CHECK(input.intake.Head() != nullptr);
  CHECK(input.intake.overflows() > 0);
}

TEST_CASE("intake: a jump of the wall clock makes nothing look drained") {
  Input input(2);
  const Moment before = Read(kNow);
  const Moment after{kNow - Hours(1), before.monotonic + Ms(10)};
  input.intake.OnConfirmedEnd(1, {0, before});
  const std::string payload = JsonOf("c", "e", kT, R"("type":"purchase")");
  input.intake.Offer(0, InputRecord{.offset = 0, .payload = payload}, after);
  CHECK(input.intake.Head() == nullptr);
  input.intake.OnConfirmedEnd(1, {0, {after.wall + Ms(20), after.monotonic + Ms(20)}});
  CHECK(input.intake.Head() != nullptr);
}

// However the messages of three topics arrive, each sorted by time, they leave in order of time.
TEST_CASE("intake: any arrival order of sorted topics gives one order") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::vector<EventTime>> topics(3);
    for (auto& topic : topics) {
      EventTime t = kT;
      for (size_t n = random() % 60; n > 0; --n)
        topic.push_back(t = t + Ms(static_cast<int64_t>(random() % 50)));
    }
    Input input(3);
    std::vector<size_t> arrived(3, 0);
    std::vector<std::pair<EventTime, size_t>> order;
    WallTime now = kNow;
    const auto take = [&] {
      while (Pending* head = input.intake.Head()) {
        order.emplace_back(head->event.time, head->topic);
        input.intake.Pop();
      }
    };
    for (int step = 0; step < 1000; ++step) {
      now = now + Ms(1);
      const size_t topic = random() % 3;
      if (arrived[topic] < topics[topic].size()) {
        input.Offer(topic, static_cast<int64_t>(arrived[topic]), topics[topic][arrived[topic]],
                    now);
        ++arrived[topic];
      }
      // The broker's answer is the truth: everything exists from the beginning.
      if (random() % 5 == 0)
        input.intake.OnConfirmedEnd(topic, {static_cast<int64_t>(topics[topic].size()), Read(now)});
      if (random() % 3 == 0) take();
    }
    for (size_t topic = 0; topic < 3; ++topic)
      input.intake.OnConfirmedEnd(topic, {static_cast<int64_t>(topics[topic].size()), Read(now)});
    take();
    CAPTURE(round);
    CHECK(order.size() == topics[0].size() + topics[1].size() + topics[2].size());
    CHECK(std::is_sorted(order.begin(), order.end()));
  }
}
