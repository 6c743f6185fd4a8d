#include "detect/memory.h"

namespace heartbeatd {

// Base 128, the low seven bits first, as in protobuf; signed numbers as zigzag.
void MemoryWriter::Unsigned(uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(0x80 | (value & 0x7f));
  bytes_ += static_cast<char>(value);
}

void MemoryWriter::Signed(int64_t value) {
  Unsigned((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
}

void MemoryWriter::Text(std::string_view text) {
  Unsigned(text.size());
  bytes_ += text;
}

// Differences wrap around, so that Never() comes back as itself.
void MemoryWriter::Time(EventTime t, EventTime since) {
  Signed(static_cast<int64_t>(static_cast<uint64_t>(t.ms()) - static_cast<uint64_t>(since.ms())));
}

uint64_t MemoryReader::Unsigned() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  ok_ = false;
  rest_ = {};
  return 0;
}

int64_t MemoryReader::Signed() {
  const uint64_t value = Unsigned();
  return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

std::string MemoryReader::Text() {
  const uint64_t size = Unsigned();
  if (size > rest_.size()) {
    ok_ = false;
    rest_ = {};
  }
  if (!ok_) return {};
  std::string text(rest_.substr(0, size));
  rest_.remove_prefix(size);
  return text;
}

EventTime MemoryReader::Time(EventTime since) {
  const EventTime t(
      static_cast<int64_t>(static_cast<uint64_t>(since.ms()) + static_cast<uint64_t>(Signed())));
  if (IsWithinReach(t)) return t;
  ok_ = false;
  rest_ = {};
  return {};
}

}  // namespace heartbeatd
