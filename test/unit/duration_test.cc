#include "base/duration.h"

#include "catch.h"

using namespace heartbeatd;

TEST_CASE("duration: what people write") {
  struct Row {
    const char* text;
    int64_t ms;
  };
  const Row row = GENERATE(values<Row>({
      {"0", 0},
      {"0s", 0},
      {"0.0", 0},
      {"1ms", 1},
      {"100ms", 100},
      {"0.1s", 100},
      {"90s", 90'000},
      {"1m", 60'000},
      {"1.5h", 5'400'000},
      {".5h", 1'800'000},
      {"28d", 28 * kMsPerDay},
      {"007d", 7 * kMsPerDay},
      {"2w", 14 * kMsPerDay},
      {"0.001s", 1},
      {"1.4ms", 1},  // to the nearest millisecond
      {"1.5ms", 2},
      {"36525d", kDurationMax.count()},
      {"876600h", kDurationMax.count()},
  }));
  CAPTURE(row.text);
  const auto duration = ParseDuration(row.text);
  REQUIRE(duration);
  CHECK(duration->count() == row.ms);
}

TEST_CASE("duration: what is refused") {
  const char* text = GENERATE("", " ", "s", "5", "1", "-1s", "-0.5d", "+1s", "1 s", " 1s", "1s ",
                              "1S", "1D", "1d12h", "1e3s", "0x10s", "1,5h", "1_000ms", "inf",
                              "infs", "nan", "nand", "1us", "1y", "1mo", "36526d", "36525.1d",
                              "1e400d", "99999999999999999999999999w", "d1", "1..5s");
  CAPTURE(text);
  const auto duration = ParseDuration(text);
  REQUIRE_FALSE(duration);
  CHECK(duration.error().message.find("'" + std::string(text) + "'") != std::string::npos);
}

TEST_CASE("duration: printed in the largest unit in which it is whole") {
  struct Row {
    int64_t ms;
    const char* text;
  };
  const Row row = GENERATE(values<Row>({
      {0, "0s"},
      {1, "1ms"},
      {1500, "1500ms"},
      {1000, "1s"},
      {60'000, "1m"},
      {61'000, "61s"},
      {3'600'000, "1h"},
      {36 * 3'600'000, "36h"},
      {kMsPerDay, "1d"},
      {7 * kMsPerDay, "7d"},  // never weeks
      {kDurationMax.count(), "36525d"},
      {-1500, "-1500ms"},
  }));
  CHECK(FormatDuration(Duration(row.ms)) == row.text);
}

TEST_CASE("duration: format and parse are inverse") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    constexpr int64_t kUnits[] = {1, 1000, 60'000, 3'600'000, kMsPerDay};
    const int64_t unit = kUnits[random() % 5];
    const Duration duration(
        static_cast<int64_t>(random() % static_cast<uint64_t>(kDurationMax.count() / unit)) * unit);
    const std::string text = FormatDuration(duration);
    const auto back = ParseDuration(text);
    if (!back || *back != duration) FAIL(text << " is not " << duration.count() << " ms");
  }
}
