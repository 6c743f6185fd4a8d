// The bytes that a detector remembers of a customer between evaluations: numbers of variable
// length, so that a small memory stays small.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"

namespace heartbeatd {

class MemoryWriter {
 public:
  void Unsigned(uint64_t value);
  void Signed(int64_t value);  // small ones of either sign are short
  void Text(std::string_view text);
  void Time(EventTime t, EventTime since = EventTime());  // the nearer to `since`, the shorter
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Reads what a MemoryWriter wrote, in the same order. Beyond the end, or after bytes that it did
// not write, everything is 0 and empty, and ok() is false.
class MemoryReader {
 public:
  explicit MemoryReader(std::string_view bytes) : rest_(bytes) {}

  uint64_t Unsigned();
  int64_t Signed();
  std::string Text();
  // One beyond IsWithinReach() was not written either.
  EventTime Time(EventTime since = EventTime());
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace heartbeatd
