// Protobuf's wire format, as far as state.proto needs it: whatever these write, protobuf reads, and
// the reverse. A customer is read and written with every event, so a field asks once whether there
// is room for it, not with each byte, and no tree of objects lies between bytes and state.
//
// Source: https://protobuf.dev/programming-guides/encoding/
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace heartbeatd::wire {

static_assert(std::endian::native == std::endian::little, "fixed fields are copied as they are");

enum class Type : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// What begins a field. Numbers stay below 16, so that it is one byte.
constexpr uint32_t Key(uint32_t number, Type type) {
  return number << 3 | static_cast<uint32_t>(type);
}

constexpr size_t kVarintBytesMax = 10;

// The bytes are none that a writer writes.
class Malformed : public std::runtime_error {
 public:
  Malformed() : std::runtime_error("malformed") {}
};
// The writer has been given too little room.
class NoRoom : public std::runtime_error {
 public:
  NoRoom() : std::runtime_error("no room") {}
};

inline uint64_t ZigZag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1 ^ (~(value & 1) + 1));
}

// Eight bytes at once: those of a varint, the low one first, into seven bits of each; and back.
inline uint64_t JoinSevens(uint64_t bytes) {
  bytes = (bytes & 0x007f007f007f007f) | (bytes & 0x7f007f007f007f00) >> 1;
  bytes = (bytes & 0x00003fff00003fff) | (bytes & 0x3fff00003fff0000) >> 2;
  return (bytes & 0x000000000fffffff) | (bytes & 0x0fffffff00000000) >> 4;
}
inline uint64_t SplitSevens(uint64_t value) {
  value = (value & 0x000000000fffffff) | (value & 0x00fffffff0000000) << 4;
  value = (value & 0x00003fff00003fff) | (value & 0x0fffc0000fffc000) << 2;
  return (value & 0x007f007f007f007f) | (value & 0x3f803f803f803f80) << 1;
}
constexpr uint64_t kMoreBits = 0x8080808080808080;  // that another byte of the varint follows

// The next varint; moves *at behind it.
inline uint64_t TakeLongVarint(const char** at, const char* end) {
  const char* from = *at;
  uint64_t bytes = 0;
  if (static_cast<size_t>(end - from) >= sizeof bytes) {  // times, most of them
    std::memcpy(&bytes, from, sizeof bytes);
    if (const uint64_t stops = ~bytes & kMoreBits; stops != 0) {
      *at = from + std::countr_zero(stops) / 8 + 1;
      return JoinSevens(bytes & (stops ^ (stops - 1)) & ~kMoreBits);
    }
  }
  uint64_t value = 0;
  for (unsigned shift = 0; from != end && shift < 7 * kVarintBytesMax; shift += 7) {
    const auto byte = static_cast<uint8_t>(*from++);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *at = from;
      return value;
    }
  }
  throw Malformed();
}
inline uint64_t TakeVarint(const char** at, const char* end) {
  // Almost all of them: keys, lengths, counts, differences of days.
  // The analyzer takes the two ends of an empty view for different ones.
  // NOLINTNEXTLINE(clang-analyzer-core.NullDereference)
  if (*at != end && static_cast<uint8_t>(**at) < 0x80) return static_cast<uint8_t>(*(*at)++);
  return TakeLongVarint(at, end);
}

// Writes into memory of its caller's. Fields of the default value are left out, unless their method
// says otherwise. Throws NoRoom.
class Writer {
 public:
  Writer(char* begin, char* end) : begin_(begin), at_(begin), end_(end) {}

  [[nodiscard]] std::string_view written() const {
    return {begin_, static_cast<size_t>(at_ - begin_)};
  }

  void Uint(uint32_t number, uint64_t value) {
    if (value != 0) AnyUint(number, value);
  }
  void Int(uint32_t number, int64_t value) { Uint(number, static_cast<uint64_t>(value)); }
  void Sint(uint32_t number, int64_t value) { Uint(number, ZigZag(value)); }
  void Bool(uint32_t number, bool value) { Uint(number, value ? 1 : 0); }
  void Fixed64(uint32_t number, uint64_t value) {
    if (value == 0) return;
    Need(1 + sizeof value);
    PutKey(number, Type::kFixed64);
    Put(value);
  }
  void Double(uint32_t number, double value) { Fixed64(number, std::bit_cast<uint64_t>(value)); }
  void Text(uint32_t number, std::string_view value) {
    if (value.empty()) return;
    Need(1 + kVarintBytesMax + value.size());
    PutKey(number, Type::kBytes);
    PutVarint(value.size());
    at_ = std::copy(value.begin(), value.end(), at_);
  }

  // Also 0.
  void AnySint(uint32_t number, int64_t value) { AnyUint(number, ZigZag(value)); }
  void AnyDouble(uint32_t number, double value) {
    Need(1 + sizeof value);
    PutKey(number, Type::kFixed64);
    Put(value);
  }
  // What `write(*this)` writes, as one field; also if it is nothing.
  template <typename Write>
  void Message(uint32_t number, const Write& write) {
    Need(2);
    PutKey(number, Type::kBytes);
    const size_t length_at = static_cast<size_t>(at_ - begin_);
    ++at_;
    write(*this);
    char* const body = begin_ + length_at + 1;
    const auto length = static_cast<size_t>(at_ - body);
    size_t more = 0;  // bytes of the length
    for (size_t rest = length >> 7; rest != 0; rest >>= 7) ++more;
    if (more > 0) {
      Need(more);
      std::memmove(body + more, body, length);
    }
    char* length_to = begin_ + length_at;  // byte by byte: the body follows at once
    for (size_t rest = length;; rest >>= 7) {
      *length_to++ = static_cast<char>(rest < 0x80 ? rest : rest | 0x80);
      if (rest < 0x80) break;
    }
    at_ = body + more + length;
  }

  // Lists, one field each: `value(item)` of every item.
  template <typename Items, typename Value>
  void Uints(uint32_t number, const Items& items, const Value& value) {
    Message(number, [&](Writer& /*this*/) {
      Need(items.size() * kVarintBytesMax);
      char* at = at_;
      for (const auto& item : items) at = AppendVarint(at, static_cast<uint64_t>(value(item)));
      at_ = at;
    });
  }
  template <typename Items, typename Value>
  void Sints(uint32_t number, const Items& items, const Value& value) {
    Uints(number, items, [&](const auto& item) { return ZigZag(value(item)); });
  }
  // Elements of a list, within Message(): of fixed size, and as a varint.
  template <typename T>
  void Element(T value) {
    Need(sizeof value);
    Put(value);
  }
  void SintElement(int64_t value) {
    Need(kVarintBytesMax);
    PutVarint(ZigZag(value));
  }

 private:
  void Need(size_t bytes) const {
    if (static_cast<size_t>(end_ - at_) < bytes) throw NoRoom();
  }
  // Below: what was asked for.
  void PutKey(uint32_t number, Type type) { *at_++ = static_cast<char>(Key(number, type)); }
  void PutVarint(uint64_t value) { at_ = AppendVarint(at_, value); }
  // Of a copy of at_: a char that is stored might be part of at_ itself, for all the compiler
  // knows.
  static char* AppendVarint(char* at, uint64_t value) {
    if (value < 0x80) {
      *at = static_cast<char>(value);
      return at + 1;
    }
    if (value < uint64_t{1} << 56) {
      const int more = (static_cast<int>(std::bit_width(value)) - 1) / 7;  // bytes behind the first
      const uint64_t bytes = SplitSevens(value) | (kMoreBits >> 8 * (8 - more));
      std::memcpy(at, &bytes, sizeof bytes);
      return at + more + 1;
    }
    for (; value >= 0x80; value >>= 7) *at++ = static_cast<char>(value | 0x80);
    *at++ = static_cast<char>(value);
    return at;
  }
  template <typename T>
  void Put(T value) {
    std::memcpy(at_, &value, sizeof value);
    at_ += sizeof value;
  }
  void AnyUint(uint32_t number, uint64_t value) {
    Need(1 + kVarintBytesMax);
    PutKey(number, Type::kVarint);
    PutVarint(value);
  }

  char* begin_;
  char* at_;
  char* end_;
};

// A packed list of varints. Throws Malformed.
class Varints {
 public:
  Varints() = default;
  explicit Varints(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  [[nodiscard]] bool empty() const { return at_ == end_; }
  // So many at most. As a rule that is their number: each takes a byte.
  [[nodiscard]] size_t size_max() const { return static_cast<size_t>(end_ - at_); }
  uint64_t Next() { return TakeVarint(&at_, end_); }
  uint32_t NextUint32() { return static_cast<uint32_t>(Next()); }
  int64_t NextSint() { return UnZigZag(Next()); }
  int32_t NextSint32() { return static_cast<int32_t>(UnZigZag(NextUint32())); }

 private:
  const char* at_ = nullptr;
  const char* end_ = nullptr;
};

// A packed list of values of fixed size.
template <typename T>
class Fixeds {
 public:
  Fixeds() = default;
  explicit Fixeds(std::string_view bytes) : bytes_(bytes) {
    if (bytes.size() % sizeof(T) != 0) throw Malformed();
  }

  [[nodiscard]] size_t size() const { return bytes_.size() / sizeof(T); }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  // Only if it is not empty.
  T Next() {
    T value;
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }

 private:
  std::string_view bytes_;
};

// Reads a message: each method takes its field if that is the next one, and says whether it was.
//   while (from.More()) {
//     from.Uint(1, &count);
//     from.Sint(2, &ms);
//   }
// Fields may come in any order, but of those in the order of the calls each costs one comparison.
// What no call takes is skipped; of a field that comes twice the last counts. As protobuf does, but
// for a key in more bytes than it needs, which is skipped, too. Throws Malformed.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // Whether there is anything left. Skips a field if nothing was taken since it was last asked.
  bool More() {
    if (at_ == passed_ && at_ != end_) Skip();
    passed_ = at_;
    return at_ != end_;
  }

  // Numbers. `to` may be an optional.
  template <typename T>
  bool Uint(uint32_t number, T* to) {
    if (!Take(number, Type::kVarint)) return false;
    *to = static_cast<ValueOf<T>>(TakeVarint(&at_, end_));
    return true;
  }
  template <typename T>
  bool Sint(uint32_t number, T* to) {
    if (!Take(number, Type::kVarint)) return false;
    const uint64_t value = TakeVarint(&at_, end_);
    if constexpr (sizeof(ValueOf<T>) == sizeof(uint32_t)) {
      *to = static_cast<ValueOf<T>>(UnZigZag(static_cast<uint32_t>(value)));
    } else {
      *to = UnZigZag(value);
    }
    return true;
  }
  bool Bool(uint32_t number, bool* to) {
    if (!Take(number, Type::kVarint)) return false;
    *to = TakeVarint(&at_, end_) != 0;
    return true;
  }
  template <typename T>
  bool Fixed64(uint32_t number, T* to) {
    static_assert(sizeof(ValueOf<T>) == sizeof(uint64_t));
    if (!Take(number, Type::kFixed64)) return false;
    ValueOf<T> value{};
    std::memcpy(&value, TakeBytes(sizeof value).data(), sizeof value);
    *to = value;
    return true;
  }

  // Bytes: as a text, a list or a message.
  template <typename T>
  bool Bytes(uint32_t number, T* to) {
    if (!Take(number, Type::kBytes)) return false;
    *to = T(TakeBytes(TakeVarint(&at_, end_)));
    return true;
  }

 private:
  template <typename T>
  struct ValueIn {
    using type = T;
  };
  template <typename T>
  struct ValueIn<std::optional<T>> {
    using type = T;
  };
  template <typename T>
  using ValueOf = typename ValueIn<T>::type;

  [[gnu::always_inline]] bool Take(uint32_t number, Type type) {
    if (at_ == end_ || static_cast<uint8_t>(*at_) != Key(number, type)) return false;
    ++at_;
    return true;
  }
  std::string_view TakeBytes(uint64_t size) {
    if (static_cast<uint64_t>(end_ - at_) < size) throw Malformed();
    const std::string_view bytes(at_, size);
    at_ += size;
    return bytes;
  }
  void Skip() {
    const auto key = static_cast<uint32_t>(TakeVarint(&at_, end_));
    if (key >> 3 == 0) throw Malformed();
    switch (static_cast<Type>(key & 7)) {
      case Type::kVarint:
        TakeVarint(&at_, end_);
        return;
      case Type::kFixed64:
        TakeBytes(sizeof(uint64_t));
        return;
      case Type::kBytes:
        TakeBytes(TakeVarint(&at_, end_));
        return;
      case Type::kFixed32:
        TakeBytes(sizeof(uint32_t));
        return;
    }
    throw Malformed();
  }

  const char* at_;
  const char* end_;
  const char* passed_ = nullptr;  // where More() was last asked
};

}  // namespace heartbeatd::wire
