#include "event/number.h"

#include <charconv>
#include <cmath>

namespace heartbeatd {
namespace {

template <typename Number>
std::string_view Write(Number value, NumberText* buffer) {
  const std::to_chars_result done =
      std::to_chars(buffer->data(), buffer->data() + buffer->size(), value);
  return {buffer->data(), static_cast<size_t>(done.ptr - buffer->data())};
}

template <typename Number>
bool Read(std::string_view text, Number* value) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return failure == std::errc() && end == text.data() + text.size();
}

}  // namespace

size_t JsonNumberEnd(std::string_view text, size_t pos) {
  const auto digits = [&](size_t at) {
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at;
  };
  const auto is = [&](size_t at, std::string_view any) {
    return at < text.size() && any.find(text[at]) != std::string_view::npos;
  };
  const size_t first = pos + (is(pos, "-") ? 1 : 0);
  size_t end = digits(first);
  if (end == first || (text[first] == '0' && end != first + 1)) return pos;
  if (is(end, ".")) {
    const size_t fraction = end + 1;
    end = digits(fraction);
    if (end == fraction) return pos;
  }
  if (is(end, "eE")) {
    const size_t exponent = end + 1 + (is(end + 1, "+-") ? 1 : 0);
    end = digits(exponent);
    if (end == exponent) return pos;
  }
  return end;
}

std::string_view CanonicalNumber(int64_t value, NumberText* buffer) { return Write(value, buffer); }
std::string_view CanonicalNumber(uint64_t value, NumberText* buffer) {
  return Write(value, buffer);
}

std::string_view CanonicalNumber(double value, NumberText* buffer) {
  // to_chars would write one million as 1e+06, and the integer 1000000 must give the same text.
  constexpr double kTwoTo63 = 9223372036854775808.0;
  if (value >= -kTwoTo63 && value < kTwoTo63 && std::trunc(value) == value) {
    return Write(static_cast<int64_t>(value), buffer);
  }
  return Write(value, buffer);
}

std::string CanonicalScalar(std::string_view value) {
  NumberText buffer;
  if (value.empty() || JsonNumberEnd(value, 0) != value.size()) return std::string(value);
  if (int64_t whole = 0; Read(value, &whole)) return std::string(CanonicalNumber(whole, &buffer));
  if (uint64_t whole = 0; Read(value, &whole)) return std::string(CanonicalNumber(whole, &buffer));
  // A decoder keeps what is too large for both as it is written.
  if (value.find_first_of(".eE") == std::string_view::npos) return std::string(value);
  if (double number = 0; Read(value, &number)) return std::string(CanonicalNumber(number, &buffer));
  return std::string(value);
}

}  // namespace heartbeatd
