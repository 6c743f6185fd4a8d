#include "measure/measure.h"

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "given.h"

using namespace heartbeatd;

namespace {

// One measure under `time.zone`, kept for `kept` closed buckets.
struct Series {
  explicit Series(const std::string& definition, const std::string& zone = "UTC",
                  int32_t kept = 100)
      : rules(RulesOf("time: {zone: " + zone + "}\nmeasures: {m: " + definition + "}\n")),
        def(rules->measures[0]),
        calendar(rules->calendar) {
    def.buckets_kept = kept;
  }

  // An event that arrives while the shard's clock is at `now`; by default in time.
  Applied Add(EventTime at, std::string_view fields = R"("type":"purchase")",
              EventTime now = EventTime::Min()) {
    newest = std::max({newest, at, now});
    return Apply(def, calendar, EventOf(*rules, at, fields), newest, &state);
  }
  // Of the buckets from the one of `from` up to before that of `to`.
  [[nodiscard]] WindowTotals Totals(EventTime from, EventTime to) const {
    return TotalsOf(def, calendar, state, BucketOf(def.resolution, calendar, from),
                    BucketOf(def.resolution, calendar, to));
  }

  std::shared_ptr<const RuleSet> rules;
  MeasureDef def;
  Calendar calendar;
  MeasureState state;
  EventTime newest = EventTime::Min();
};

constexpr std::string_view kPurchase = R"("type":"purchase")";

}  // namespace

TEST_CASE("measure: the bucket of a time begins at or before it and ends after it") {
  struct Row {
    Resolution resolution;
    const char* zone;
    const char* at;
    const char* begin;
    const char* end;
  };
  const Row row = GENERATE(values<Row>({
      {Resolution::kDay, "UTC", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z",
       "2026-03-02T00:00:00Z"},
      {Resolution::kDay, "UTC", "2026-03-01T23:59:59.999Z", "2026-03-01T00:00:00Z",
       "2026-03-02T00:00:00Z"},
      {Resolution::kDay, "UTC", "1969-12-31T23:59:59.999Z", "1969-12-31T00:00:00Z",
       "1970-01-01T00:00:00Z"},
      // Berlin is an hour ahead, two in summer; the days of change have 23 and 25 hours.
      {Resolution::kDay, "Europe/Berlin", "2026-01-10T22:59:59Z", "2026-01-09T23:00:00Z",
       "2026-01-10T23:00:00Z"},
      {Resolution::kDay, "Europe/Berlin", "2026-01-10T23:00:00Z", "2026-01-10T23:00:00Z",
       "2026-01-11T23:00:00Z"},
      {Resolution::kDay, "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z",
       "2026-03-29T22:00:00Z"},
      {Resolution::kDay, "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z",
       "2026-10-25T23:00:00Z"},
      {Resolution::kDay, "America/New_York", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z",
       "2026-11-02T05:00:00Z"},
      // No midnight at all: the day starts with the change.
      {Resolution::kDay, "America/Santiago", "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z",
       "2026-09-07T03:00:00Z"},
      {Resolution::kDay, "Asia/Kolkata", "2026-03-01T18:30:00Z", "2026-03-01T18:30:00Z",
       "2026-03-02T18:30:00Z"},
      // Hours and minutes are the same in every zone.
      {Resolution::kHour, "UTC", "2026-03-01T09:59:59.999Z", "2026-03-01T09:00:00Z",
       "2026-03-01T10:00:00Z"},
      {Resolution::kHour, "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-29T01:00:00Z",
       "2026-03-29T02:00:00Z"},
      {Resolution::kHour, "Asia/Kolkata", "2026-03-29T01:30:00Z", "2026-03-29T01:00:00Z",
       "2026-03-29T02:00:00Z"},
      {Resolution::kHour, "UTC", "1969-12-31T23:59:59.999Z", "1969-12-31T23:00:00Z",
       "1970-01-01T00:00:00Z"},
      {Resolution::kMinute, "UTC", "2026-03-01T09:59:59.999Z", "2026-03-01T09:59:00Z",
       "2026-03-01T10:00:00Z"},
      {Resolution::kMinute, "UTC", "1969-12-31T23:59:00Z", "1969-12-31T23:59:00Z",
       "1970-01-01T00:00:00Z"},
  }));
  CAPTURE(row.zone, row.at);
  const Calendar calendar = *Calendar::Make(row.zone);
  const int32_t bucket = BucketOf(row.resolution, calendar, At(row.at));
  CHECK(BucketStart(row.resolution, calendar, bucket) == At(row.begin));
  CHECK(BucketStart(row.resolution, calendar, bucket + 1) == At(row.end));
  CHECK(BucketOf(row.resolution, calendar, At(row.begin)) == bucket);
  CHECK(BucketOf(row.resolution, calendar, At(row.end) - Ms(1)) == bucket);
  CHECK(BucketOf(row.resolution, calendar, At(row.end)) == bucket + 1);
}

TEST_CASE("measure: which events count") {
  struct Row {
    const char* measure;
    const char* event;
    bool counts;
  };
  const Row row = GENERATE(values<Row>({
      {"{type: purchase}", R"("type":"purchase")", true},
      {"{type: purchase}", R"("type":"login")", false},
      {"{type: purchase}", R"("type":"refund","amount":3)", false},
      {"{type: [login, session]}", R"("type":"session")", true},
      {"{type: [login, session]}", R"("type":"purchase")", false},
      {"{type: opened_app}", R"("type":"opened_app")", true},
      // `where`: keys are ANDed, a list means any of them, what is missing never matches.
      {"{type: purchase, where: {channel: app}}",
       R"("type":"purchase","properties":{"channel":"app"})", true},
      {"{type: purchase, where: {channel: app}}",
       R"("type":"purchase","properties":{"channel":"web"})", false},
      {"{type: purchase, where: {channel: app}}",
       R"("type":"purchase","properties":{"Channel":"app"})", false},
      {"{type: purchase, where: {channel: app}}", R"("type":"purchase")", false},
      {"{type: purchase, where: {channel: app}}",
       R"("type":"purchase","properties":{"channel":null})", false},
      {"{type: purchase, where: {channel: [app, web]}}",
       R"("type":"purchase","properties":{"channel":"web"})", true},
      {"{type: purchase, where: {channel: [app, web]}}",
       R"("type":"purchase","properties":{"channel":"shop"})", false},
      {"{type: purchase, where: {channel: app, size: L}}",
       R"("type":"purchase","properties":{"channel":"app","size":"L"})", true},
      {"{type: purchase, where: {channel: app, size: L}}",
       R"("type":"purchase","properties":{"channel":"app"})", false},
      {"{type: purchase, where: {channel: app, size: L}}",
       R"("type":"purchase","properties":{"size":"L"})", false},
      // Numbers and booleans in one canonical text, whoever wrote them how.
      {"{type: purchase, where: {level: 3}}", R"("type":"purchase","properties":{"level":3})",
       true},
      {"{type: purchase, where: {level: 3}}", R"("type":"purchase","properties":{"level":3.0})",
       true},
      {"{type: purchase, where: {level: 3.0}}", R"("type":"purchase","properties":{"level":3})",
       true},
      {"{type: purchase, where: {level: 3}}", R"("type":"purchase","properties":{"level":"3"})",
       true},
      {"{type: purchase, where: {level: 3}}", R"("type":"purchase","properties":{"level":4})",
       false},
      {"{type: purchase, where: {level: 2.50}}", R"("type":"purchase","properties":{"level":2.5})",
       true},
      {"{type: purchase, where: {level: 1000000}}",
       R"("type":"purchase","properties":{"level":1e6})", true},
      {"{type: purchase, where: {level: 1e6}}",
       R"("type":"purchase","properties":{"level":1000000})", true},
      {"{type: purchase, where: {gift: true}}", R"("type":"purchase","properties":{"gift":true})",
       true},
      {"{type: purchase, where: {gift: true}}", R"("type":"purchase","properties":{"gift":false})",
       false},
      {"{type: purchase, where: {gift: false}}", R"("type":"purchase","properties":{"gift":false})",
       true},
      // What only looks like a number is text: a postcode keeps its zeros.
      {"{type: purchase, where: {code: 007}}", R"("type":"purchase","properties":{"code":"007"})",
       true},
      {"{type: purchase, where: {code: 007}}", R"("type":"purchase","properties":{"code":7})",
       false},
      {"{type: purchase, where: {code: '3.0'}}", R"("type":"purchase","properties":{"code":"3.0"})",
       true},
      {"{type: purchase, where: {code: inf}}", R"("type":"purchase","properties":{"code":"inf"})",
       true},
      {"{type: purchase, where: {code: nan}}", R"("type":"purchase","properties":{"code":"nan"})",
       true},
      {"{type: purchase, where: {code: 1e300}}", R"("type":"purchase","properties":{"code":1e300})",
       true},
      {"{type: purchase, where: {code: 12345678901234567}}",
       R"("type":"purchase","properties":{"code":12345678901234567})", true},
  }));
  CAPTURE(row.measure, row.event);
  Series series(row.measure);
  CHECK(series.Add(At("2026-03-01"), row.event).touched == row.counts);
  CHECK(series.state.count == (row.counts ? 1 : 0));
}

TEST_CASE("measure: the pulse hears every event that shows life, and no other") {
  const auto rules = RulesOf("measures: {m: {type: purchase}}");
  const MeasureDef& pulse = rules->measures[rules->pulse];
  REQUIRE(pulse.name != "m");
  struct Row {
    const char* type;
    bool counts;
  };
  const Row row = GENERATE(values<Row>({{"purchase", true},
                                        {"login", true},
                                        {"signup", true},
                                        {"review", true},
                                        {"share", true},
                                        {"referral", true},
                                        {"opened_app", true},
                                        {"refund", false},
                                        {"support", false},
                                        {"feedback", false},
                                        {"contract", false},
                                        {"subscription", false}}));
  CAPTURE(row.type);
  MeasureState state;
  const Event event =
      EventOf(*rules, At("2026-03-01"), fmt::format(R"("type":"{}","amount":1)", row.type));
  CHECK(Apply(pulse, rules->calendar, event, event.time, &state).touched == row.counts);
  CHECK(state.count == (row.counts ? 1 : 0));
}

TEST_CASE("measure: first, last, count, sum and activity days") {
  Series series("{type: purchase, sum: amount}");
  series.Add(At("2026-03-01T10:00:00Z"), R"("type":"purchase","amount":10)");
  series.Add(At("2026-03-01T18:00:00Z"),
             R"("type":"purchase","amount":0)");  // an amount of 0 is an event
  series.Add(At("2026-03-03T18:00:00Z"), R"("type":"purchase","amount":2.5)");
  series.Add(At("2026-03-07T09:00:00Z"));  // no amount: an event that adds nothing
  CHECK(series.state.first == At("2026-03-01T10:00:00Z"));
  CHECK(series.state.last == At("2026-03-07T09:00:00Z"));
  CHECK(series.state.count == 4);
  CHECK(series.state.sum_micros == 12'500'000);
  CHECK(series.state.cadence.days == 3);
  // Gaps of 2 and 4 days: x = 0.9*1 + 1, s = 0.9*2 + 4.
  CHECK(series.state.cadence.x == Approx(1.9));
  CHECK(series.state.cadence.s == Approx(5.8));
  const WindowTotals all = series.Totals(At("2026-03-01"), At("2026-03-08"));
  CHECK(all.count == 4);
  CHECK(all.sum_micros == 12'500'000);
  CHECK(all.days == 3);
  const WindowTotals first_two_days = series.Totals(At("2026-03-01"), At("2026-03-03"));
  CHECK(first_two_days.count == 2);
  CHECK(first_two_days.days == 1);
  CHECK(series.Totals(At("2026-03-04"), At("2026-03-07")).count == 0);
}

TEST_CASE("measure: activity days are calendar days of the zone") {
  // 23:30 and 00:30 in Berlin: two days there, one in UTC.
  for (const auto& [zone, days] :
       std::map<std::string, uint32_t>{{"UTC", 1}, {"Europe/Berlin", 2}}) {
    CAPTURE(zone);
    Series series("{type: purchase, resolution: 1h}", zone);
    series.Add(At("2026-01-10T22:30:00Z"));
    series.Add(At("2026-01-10T23:30:00Z"));
    CHECK(series.state.cadence.days == days);
    CHECK(series.Totals(At("2026-01-10T00:00:00Z"), At("2026-01-11T00:00:00Z")).days == days);
  }
}

TEST_CASE("measure: a gap over a change of daylight saving time is whole days") {
  Series series("{type: purchase}", "Europe/Berlin");
  series.Add(At("2026-03-28T12:00:00+01:00"));
  series.Add(At("2026-03-29T12:00:00+02:00"));
  series.Add(At("2026-03-30T00:00:00+02:00"));
  CHECK(series.state.cadence.days == 3);
  CHECK(series.state.cadence.s == Approx(1.9));
}

TEST_CASE("measure: a late event repairs its bucket and the totals, never the cadence") {
  Series series("{type: purchase, sum: amount}");
  series.Add(At("2026-03-01"), R"("type":"purchase","amount":1)");
  series.Add(At("2026-03-11"), R"("type":"purchase","amount":1)");
  const Cadence before = series.state.cadence;
  const Applied late =
      series.Add(At("2026-03-05"), R"("type":"purchase","amount":7)", At("2026-03-20"));
  CHECK(late.touched);
  CHECK_FALSE(late.beyond_retention);
  CHECK(series.state.cadence == before);
  CHECK(series.state.count == 3);
  CHECK(series.state.sum_micros == 9'000'000);
  CHECK(series.state.last == At("2026-03-11"));
  CHECK(series.Totals(At("2026-03-05"), At("2026-03-06")).sum_micros == 7'000'000);
  // Earlier than the first: `first` moves, the cadence does not.
  series.Add(At("2026-02-20"));
  CHECK(series.state.first == At("2026-02-20"));
  CHECK(series.state.cadence == before);
  // Late, yet after the newest activity day: it moves the cadence as it would have in time.
  series.Add(At("2026-03-15"));
  CHECK(series.state.cadence.days == 3);
  CHECK(series.state.cadence.s == Approx(0.9 * 10 + 4));
  CHECK(series.state.last == At("2026-03-15"));
}

TEST_CASE("measure: beyond retention only the totals change") {
  Series series("{type: purchase, sum: amount}", "UTC", /*kept=*/7);
  const EventTime now = At("2026-03-20T12:00:00Z");
  struct Row {
    const char* at;
    bool beyond;
  };
  // Seven closed days before the running one.
  for (const Row& row :
       {Row{"2026-03-13", false}, Row{"2026-03-12T23:59:59.999Z", true}, Row{"2020-01-01", true}}) {
    CAPTURE(row.at);
    const uint64_t count = series.state.count;
    const Applied applied = series.Add(At(row.at), R"("type":"purchase","amount":1)", now);
    CHECK(applied.touched);
    CHECK(applied.beyond_retention == row.beyond);
    CHECK(series.state.count == count + 1);
    const int64_t in_bucket = series.Totals(At(row.at), At(row.at) + Days(1)).count;
    CHECK(in_bucket == (row.beyond ? 0 : 1));
  }
  CHECK(series.state.sum_micros == 3'000'000);
}

TEST_CASE("measure: buckets that no window reaches any more are dropped") {
  Series series("{type: purchase}", "UTC", /*kept=*/3);
  for (int day = 0; day < 30; ++day) {
    series.Add(At("2026-03-01") + Days(day));
    CHECK(series.state.buckets.size() <= 4);  // three closed ones and the running one
  }
  CHECK(series.state.count == 30);
  Series none("{type: purchase}", "UTC", /*kept=*/0);
  none.Add(At("2026-03-01"));
  CHECK(none.state.buckets.empty());
  CHECK(none.state.count == 1);
}

TEST_CASE("measure: a refund subtracts in its own bucket, from money only") {
  struct Row {
    const char* measure;
    const char* refund;
    int64_t sum_micros;  // after a purchase of 20 that the measure counts
  };
  const Row row = GENERATE(values<Row>({
      {"{type: purchase, sum: amount}", R"("type":"refund","amount":5)", 15'000'000},
      {"{type: purchase, sum: amount}", R"("type":"refund","amount":-5)", 15'000'000},
      {"{type: purchase, sum: amount}", R"("type":"refund","amount":50)", -30'000'000},
      {"{type: purchase, sum: amount}", R"("type":"refund")", 20'000'000},
      {"{type: purchase, sum: amount, where: {channel: app}}",
       R"("type":"refund","amount":5,"properties":{"channel":"app"})", 15'000'000},
      {"{type: purchase, sum: amount, where: {channel: app}}",
       R"("type":"refund","amount":5,"properties":{"channel":"web"})", 20'000'000},
      {"{type: purchase, sum: amount, where: {channel: app}}", R"("type":"refund","amount":5)",
       20'000'000},
      {"{type: purchase, sum: points}", R"("type":"refund","amount":5,"properties":{"points":5})",
       20'000'000},
      {"{type: purchase}", R"("type":"refund","amount":5)", 0},
      {"{type: [login, purchase], sum: amount}", R"("type":"refund","amount":5)", 15'000'000},
  }));
  CAPTURE(row.measure, row.refund);
  Series series(row.measure);
  series.Add(At("2026-03-01"),
             R"("type":"purchase","amount":20,"properties":{"channel":"app","points":20})");
  const MeasureState before = series.state;
  series.Add(At("2026-03-05"), row.refund);
  CHECK(series.state.sum_micros == row.sum_micros);
  // Everything that counts events stays.
  CHECK(series.state.count == before.count);
  CHECK(series.state.last == before.last);
  CHECK(series.state.cadence == before.cadence);
  const WindowTotals day = series.Totals(At("2026-03-05"), At("2026-03-06"));
  CHECK(day.count == 0);
  CHECK(day.days == 0);
  CHECK(day.sum_micros == row.sum_micros - before.sum_micros);
}

TEST_CASE("measure: a measure of refunds counts them") {
  Series series("{type: refund, sum: amount}");
  series.Add(At("2026-03-01"), R"("type":"refund","amount":5)");
  series.Add(At("2026-03-02"), R"("type":"refund","amount":7)");
  CHECK(series.state.count == 2);
  CHECK(series.state.sum_micros == 12'000'000);
  CHECK(series.state.last == At("2026-03-02"));
  CHECK(series.state.cadence.days == 2);
}

TEST_CASE("measure: sums of a property") {
  struct Row {
    const char* value;
    int64_t micros;
  };
  const Row row = GENERATE(values<Row>({{"3", 3'000'000},
                                        {"-2.5", -2'500'000},
                                        {"0.0000014", 1},
                                        {"\"3\"", 0},
                                        {"null", 0},
                                        {"true", 0},
                                        {"1e300", kAmountMicrosMax},
                                        {"-1e300", -kAmountMicrosMax}}));
  CAPTURE(row.value);
  Series series("{type: purchase, sum: points}");
  series.Add(At("2026-03-01"),
             fmt::format(R"("type":"purchase","properties":{{"points":{}}})", row.value));
  CHECK(series.state.count == 1);
  CHECK(series.state.sum_micros == row.micros);
}

TEST_CASE("measure: sums stop at the ends of their range") {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  CHECK(SaturatingAdd(kMax, 1) == kMax);
  CHECK(SaturatingAdd(kMax - 1, 1) == kMax);
  CHECK(SaturatingAdd(kMin, -1) == kMin);
  CHECK(SaturatingAdd(kMin, kMax) == -1);
  CHECK(SaturatingAdd(2, -5) == -3);

  Series series("{type: purchase, sum: amount}");
  for (int i = 0; i < 100; ++i)
    series.Add(At("2026-03-01") + Days(i % 2), R"("type":"purchase","amount":100000000000)");
  CHECK(series.state.sum_micros == kMax);
  CHECK(series.Totals(At("2026-03-01"), At("2026-03-03")).sum_micros == kMax);
  Series down("{type: purchase, sum: amount}");
  for (int i = 0; i < 100; ++i)
    down.Add(At("2026-03-01"), R"("type":"purchase","amount":-100000000000)");
  CHECK(down.state.sum_micros == kMin);
}

TEST_CASE("measure: distinct values of a window are the union of its buckets") {
  Series series("{type: purchase, distinct: category}");
  const auto buy = [&](const char* day, const char* category) {
    return series.Add(At(day),
                      fmt::format(R"("type":"purchase","properties":{{"category":{}}})", category));
  };
  buy("2026-03-01", "\"books\"");
  buy("2026-03-01", "\"books\"");
  buy("2026-03-01", "\"toys\"");
  buy("2026-03-02", "\"toys\"");
  buy("2026-03-02", "\"food\"");
  buy("2026-03-03", "7");
  buy("2026-03-03", "7.0");      // the same value
  buy("2026-03-03", "\"\"");     // a value like any other
  series.Add(At("2026-03-03"));  // without the property: an event, no value
  CHECK(series.Totals(At("2026-03-01"), At("2026-03-02")).distinct == 2);
  CHECK(series.Totals(At("2026-03-02"), At("2026-03-03")).distinct == 2);
  CHECK(series.Totals(At("2026-03-01"), At("2026-03-03")).distinct == 3);
  CHECK(series.Totals(At("2026-03-01"), At("2026-03-04")).distinct == 5);
  CHECK(series.Totals(At("2026-03-03"), At("2026-03-04")).count == 4);
}

TEST_CASE("measure: a bucket remembers 64 distinct values and says when it is full") {
  Series series("{type: purchase, distinct: item}");
  const auto buy = [&](const char* day, int item) {
    return series.Add(At(day), fmt::format(R"("type":"purchase","properties":{{"item":{}}})", item))
        .distinct_saturated;
  };
  for (int item = 0; item < 64; ++item) CHECK_FALSE(buy("2026-03-01", item));
  CHECK_FALSE(buy("2026-03-01", 5));  // known
  CHECK(buy("2026-03-01", 64));
  CHECK(buy("2026-03-01", 65));
  CHECK(series.Totals(At("2026-03-01"), At("2026-03-02")).distinct == 64);
  CHECK(series.Totals(At("2026-03-01"), At("2026-03-02")).count == 67);
  // The next day has room of its own, and the union passes 64.
  for (int item = 60; item < 100; ++item) CHECK_FALSE(buy("2026-03-02", item));
  CHECK(series.Totals(At("2026-03-01"), At("2026-03-03")).distinct == 100);
}

// Random events in random order against a plain list of them.
TEST_CASE("measure: totals equal those recomputed from the list of events") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  for (int round = 0; round < 60; ++round) {
    const Resolution resolution = static_cast<Resolution>(pick(0, 2));
    static constexpr const char* kResolutions[] = {"1d", "1h", "1m"};
    static constexpr const char* kZones[] = {"UTC", "Europe/Berlin", "America/New_York",
                                             "Asia/Kolkata"};
    const int32_t kept = pick(1, 40);
    Series series(fmt::format("{{type: purchase, sum: amount, distinct: item, resolution: {}}}",
                              kResolutions[static_cast<int>(resolution)]),
                  kZones[pick(0, 3)], kept);
    struct Seen {
      EventTime at;
      int64_t micros;
      int item;
      bool refund;
      bool in_bucket;
    };
    std::vector<Seen> seen;
    Cadence cadence;
    const int64_t step_ms = LengthOf(resolution).count();
    EventTime now = At("2026-03-20T10:00:00Z") + Ms(pick(0, 1'000'000));
    for (int i = 0; i < 150; ++i) {
      if (pick(0, 2) > 0) now = now + Ms(static_cast<int64_t>(pick(0, 3000)) * step_ms / 1000);
      const EventTime at =
          pick(0, 2) > 0 ? now
                         : now - Ms(static_cast<int64_t>(pick(0, kept * 1500)) * step_ms / 1000);
      const bool refund = pick(0, 9) == 0;
      const int item = pick(0, 8);
      const int amount = pick(0, 50);
      const Applied applied =
          series.Add(at,
                     fmt::format(R"("type":"{}","amount":{},"properties":{{"item":{}}})",
                                 refund ? "refund" : "purchase", amount, item),
                     now);
      const bool in_bucket = BucketOf(resolution, series.calendar, at) >=
                             BucketOf(resolution, series.calendar, now) - kept;
      CHECK(applied.beyond_retention == !in_bucket);
      seen.push_back(
          {at, (refund ? -1 : 1) * int64_t{amount} * kMicrosPerUnit, item, refund, in_bucket});
      const int32_t day = series.calendar.DayOf(at);
      if (!refund && (cadence.days == 0 || day > cadence.last_day)) {
        if (cadence.days > 0) cadence.x = 0.9 * cadence.x + 1;
        if (cadence.days > 0) cadence.s = 0.9 * cadence.s + (day - cadence.last_day);
        cadence.last_day = day;
        ++cadence.days;
      }
      if (i % 10 != 0) continue;
      // Any window within what is kept.
      const int32_t end = BucketOf(resolution, series.calendar, now);
      const int32_t from = end - pick(0, kept);
      const int32_t to = pick(from, end + 1);
      CAPTURE(round, i, from, to);
      WindowTotals expected;
      std::set<int> items;
      std::set<int32_t> days;
      for (const Seen& s : seen) {
        const int32_t bucket = BucketOf(resolution, series.calendar, s.at);
        if (!s.in_bucket || bucket < from || bucket >= to) continue;
        expected.sum_micros += s.micros;
        if (s.refund) continue;
        ++expected.count;
        items.insert(s.item);
        days.insert(series.calendar.DayOf(BucketStart(resolution, series.calendar, bucket)));
      }
      const WindowTotals totals = TotalsOf(series.def, series.calendar, series.state, from, to);
      CHECK(totals.count == expected.count);
      CHECK(totals.sum_micros == expected.sum_micros);
      CHECK(totals.distinct == static_cast<int64_t>(items.size()));
      CHECK(totals.days == static_cast<int64_t>(days.size()));
      CHECK(series.state.cadence.days == cadence.days);
      CHECK(series.state.cadence.x == Approx(cadence.x));
      CHECK(series.state.cadence.s == Approx(cadence.s));
    }
  }
}
