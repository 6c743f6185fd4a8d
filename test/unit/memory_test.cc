// The bytes that detectors remember.
#include "detect/memory.h"

#include <limits>

#include "catch.h"

using namespace heartbeatd;

TEST_CASE("memory: numbers and texts come back in order, and small ones are short") {
  MemoryWriter writer;
  const std::vector<int64_t> numbers = {0,
                                        1,
                                        -1,
                                        63,
                                        -64,
                                        64,
                                        1'772'445'600'000,
                                        std::numeric_limits<int64_t>::min(),
                                        std::numeric_limits<int64_t>::max()};
  for (const int64_t n : numbers) writer.Signed(n);
  writer.Unsigned(std::numeric_limits<uint64_t>::max());
  writer.Text("");
  writer.Text(std::string("a\0b", 3));
  MemoryReader reader(writer.bytes());
  for (const int64_t n : numbers) CHECK(reader.Signed() == n);
  CHECK(reader.Unsigned() == std::numeric_limits<uint64_t>::max());
  CHECK(reader.Text().empty());
  CHECK(reader.Text() == std::string("a\0b", 3));
  CHECK(reader.empty());
  CHECK(reader.ok());

  MemoryWriter small;
  small.Signed(-64);
  CHECK(small.bytes().size() == 1);
  MemoryWriter time;
  time.Signed(1'772'445'600'000);
  CHECK(time.bytes().size() == 6);
}

TEST_CASE("memory: times come back as they were, counted from any other") {
  const EventTime times[] = {EventTime(-5),       EventTime(0),       kEventTimeMin,
                             EventTime(kReachMs), EventTime::Never(), EventTime::Min()};
  for (const EventTime since : times) {
    for (const EventTime t : times) {
      CAPTURE(since.ms(), t.ms());
      MemoryWriter writer;
      writer.Time(t, since);
      MemoryReader reader(writer.bytes());
      CHECK(reader.Time(since) == t);
      CHECK(reader.ok());
    }
  }
  MemoryWriter far;
  far.Time(EventTime(kReachMs + 1));
  MemoryReader reader(far.bytes());
  CHECK(reader.Time() == EventTime());
  CHECK_FALSE(reader.ok());
}

TEST_CASE("memory: bytes that nobody wrote are no harm") {
  for (const std::string& bytes :
       {std::string(), std::string("\x80"), std::string("\x05xyz"), std::string(20, '\xff')}) {
    CAPTURE(bytes.size());
    MemoryReader reader(bytes);
    CHECK(reader.Text().empty());
    CHECK(reader.Signed() == 0);
    CHECK_FALSE(reader.ok());
    CHECK(reader.empty());
  }
}
