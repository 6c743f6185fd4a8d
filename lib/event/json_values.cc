#include "event/json_values.h"

#include <charconv>
#include <cmath>

#include "event/number.h"

namespace heartbeatd {
namespace {

namespace dom = simdjson::dom;
using Refused = std::optional<DeadLetterReason>;

constexpr double kTwoTo53 =
    9007199254740992.0;  // beyond it a double no longer tells whole numbers apart

template <typename Number>
bool OutOfRange(std::string_view number) {
  Number value{};
  return std::from_chars(number.data(), number.data() + number.size(), value).ec ==
         std::errc::result_out_of_range;
}

// Whether simdjson refuses a whole document because of this number.
bool IsHuge(std::string_view number) {
  if (number.find_first_of(".eE") != std::string_view::npos) return OutOfRange<double>(number);
  return OutOfRange<int64_t>(number) && (number.front() == '-' || OutOfRange<uint64_t>(number));
}

}  // namespace

bool QuoteHugeNumbers(std::string_view json, std::string* out) {
  out->clear();
  size_t copied = 0;
  for (size_t i = 0; i < json.size();) {
    if (json[i] == '"') {
      for (++i; i < json.size() && json[i] != '"'; ++i) {
        if (json[i] == '\\') ++i;
      }
      ++i;
      continue;
    }
    const size_t end = JsonNumberEnd(json, i);
    if (end > i && IsHuge(json.substr(i, end - i))) {
      out->append(json, copied, i - copied).append(1, '"').append(json, i, end - i).append(1, '"');
      copied = end;
    }
    i = end > i ? end : i + 1;
  }
  if (copied == 0) return false;
  out->append(json, copied);
  return true;
}

bool Deeper(dom::element value, size_t levels) {
  if (dom::object object; value.get(object) == simdjson::SUCCESS) {
    if (levels == 0) return true;
    for (const dom::key_value_pair field : object) {
      if (Deeper(field.value, levels - 1)) return true;
    }
  } else if (dom::array array; value.get(array) == simdjson::SUCCESS) {
    if (levels == 0) return true;
    for (const dom::element item : array) {
      if (Deeper(item, levels - 1)) return true;
    }
  }
  return false;
}

std::string_view IdText(const FieldValue& from, NumberText* buffer) {
  if (from.header) return *from.header;
  const std::optional<dom::element>& field = from.element;
  if (!field) return {};
  switch (field->type()) {
    case dom::element_type::STRING:
      return field->get_string().value_unsafe();
    case dom::element_type::INT64:
      return CanonicalNumber(field->get_int64().value_unsafe(), buffer);
    case dom::element_type::UINT64:
      return CanonicalNumber(field->get_uint64().value_unsafe(), buffer);
    case dom::element_type::DOUBLE: {
      const double value = field->get_double().value_unsafe();
      if (std::trunc(value) != value || std::abs(value) > kTwoTo53) return {};
      return CanonicalNumber(static_cast<int64_t>(value), buffer);
    }
    default:
      return {};
  }
}

std::optional<EventTime> TimestampOf(const FieldValue& value) {
  std::optional<EventTime> time;
  const std::optional<dom::element>& field = value.element;
  if (const std::optional<std::string_view> text = value.Text()) {
    time = ParseRfc3339(*text);
  } else if (!field) {
    return {};
  } else if (int64_t ms = 0; field->get(ms) == simdjson::SUCCESS) {
    time = EventTime(ms);
  } else if (double number = 0; field->get(number) == simdjson::SUCCESS) {
    if (std::trunc(number) == number && std::abs(number) <= kTwoTo53)
      time = EventTime(static_cast<int64_t>(number));
  }
  if (time && (*time < kEventTimeMin || *time >= kEventTimeMax)) return {};
  return time;
}

Refused ReadAmount(const FieldValue& value, bool numbers_were_quoted, Event* event) {
  const std::optional<dom::element>& field = value.element;
  if (!field) return {};
  double amount = 0;
  if (field->get(amount) != simdjson::SUCCESS) {
    std::string_view text;
    const bool huge = numbers_were_quoted && field->get(text) == simdjson::SUCCESS &&
                      !text.empty() && JsonNumberEnd(text, 0) == text.size() && IsHuge(text);
    return huge ? DeadLetterReason::kAmountTooLarge : DeadLetterReason::kBadAmount;
  }
  if (std::abs(amount) > kAmountMax) return DeadLetterReason::kAmountTooLarge;
  event->amount_micros = MicrosOf(amount);
  return {};
}

bool ReadProperty(dom::element value, Property* property) {
  NumberText buffer;
  property->number.reset();
  switch (value.type()) {
    case dom::element_type::STRING:
      property->text = value.get_string().value_unsafe();
      return true;
    case dom::element_type::BOOL:
      property->text = value.get_bool().value_unsafe() ? "true" : "false";
      return true;
    case dom::element_type::INT64:
      property->text = CanonicalNumber(value.get_int64().value_unsafe(), &buffer);
      break;
    case dom::element_type::UINT64:
      property->text = CanonicalNumber(value.get_uint64().value_unsafe(), &buffer);
      break;
    case dom::element_type::DOUBLE:
      property->text = CanonicalNumber(value.get_double().value_unsafe(), &buffer);
      break;
    default:
      return false;
  }
  property->number = value.get_double().value_unsafe();
  return true;
}

}  // namespace heartbeatd
