#include "event/decoder.h"

#include <simdjson.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "base/id.h"
#include "event/number.h"

namespace heartbeatd {
namespace {

namespace dom = simdjson::dom;
using Refused = std::optional<DeadLetterReason>;

// The fields that mean something, in the order of kFieldNames.
enum Field : size_t {
  kTypeField,
  kEventIdField,
  kCustomerIdField,
  kTimestampField,
  kAmountField,
  kCurrencyField,
  kPropertiesField,
  kFieldCount
};
constexpr std::array<std::string_view, kFieldCount> kFieldNames = {
    "type", "event_id", "customer_id", "timestamp", "amount", "currency", "properties"};

using Fields = std::array<std::optional<dom::element>, kFieldCount>;

// Longer strings give their memory back after each event.
constexpr size_t kTextBytesKept = 4096;

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

// Copies `json` with every number that simdjson cannot represent (over 64 bits, or 1e999) put in
// quotes. They are legal JSON: a field that nobody asked for must not cost the event, and an id of
// thirty digits must stay exact. False if there is none.
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

// Whether `value` has more than `levels` levels of objects and arrays. The parser has already
// bounded the recursion.
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

// An id: text as it is, or the decimal digits of a whole number; empty if it is neither. The view
// is into the document or into *buffer.
std::string_view IdText(const std::optional<dom::element>& field, NumberText* buffer) {
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

std::optional<EventTime> Timestamp(const std::optional<dom::element>& field) {
  if (!field) return {};
  std::optional<EventTime> time;
  if (std::string_view text; field->get(text) == simdjson::SUCCESS) {
    time = ParseRfc3339(text);
  } else if (int64_t ms = 0; field->get(ms) == simdjson::SUCCESS) {
    time = EventTime(ms);
  } else if (double number = 0; field->get(number) == simdjson::SUCCESS) {
    if (std::trunc(number) == number && std::abs(number) <= kTwoTo53)
      time = EventTime(static_cast<int64_t>(number));
  }
  if (time && (*time < kEventTimeMin || *time >= kEventTimeMax)) return {};
  return time;
}

Refused ReadAmount(const std::optional<dom::element>& field, bool numbers_were_quoted,
                   Event* event) {
  if (!field) return {};
  double amount = 0;
  if (field->get(amount) != simdjson::SUCCESS) {
    std::string_view text;
    const bool huge = numbers_were_quoted && field->get(text) == simdjson::SUCCESS &&
                      !text.empty() && JsonNumberEnd(text, 0) == text.size() && IsHuge(text);
    return huge ? DeadLetterReason::kAmountTooLarge : DeadLetterReason::kBadAmount;
  }
  constexpr double kMicros = static_cast<double>(kMicrosPerUnit);
  if (std::abs(amount) > static_cast<double>(kAmountMicrosMax) / kMicros)
    return DeadLetterReason::kAmountTooLarge;
  event->amount_micros = std::llround(amount * kMicros);
  return {};
}

// False for what has no text: null, objects, arrays.
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

}  // namespace

class FlatDecoder::Impl {
 public:
  Impl(const EventSchema& schema, std::optional<std::string> currency)
      : schema_(schema),
        currency_(std::move(currency)),
        padded_(kPayloadBytesMax + simdjson::SIMDJSON_PADDING) {
    // simdjson refuses at `max_depth` levels, not beyond them, and does not count an innermost
    // empty container: Deeper() does.
    if (parser_.allocate(kPayloadBytesMax, kJsonDepthMax + 1) != simdjson::SUCCESS)
      throw std::bad_alloc();
  }

  Refused Decode(std::string_view payload, Event* event) {
    Clear(event);
    if (payload.size() > kPayloadBytesMax) return DeadLetterReason::kTooLong;
    if (payload.starts_with("\xEF\xBB\xBF")) payload.remove_prefix(3);  // a byte order mark
    dom::element document;
    bool numbers_were_quoted = false;
    if (const Refused refused = Parse(payload, &document, &numbers_were_quoted)) return refused;
    dom::object object;
    if (document.get(object) != simdjson::SUCCESS) return DeadLetterReason::kNotJson;
    Fields fields;
    if (!Collect(object, &fields)) return DeadLetterReason::kTooDeep;
    return Interpret(fields, numbers_were_quoted, event);
  }

 private:
  // Everything but the memory of its strings, which spare_ keeps.
  void Clear(Event* event) {
    for (Property& property : event->properties) {
      if (spare_.size() >= schema_.properties().size()) break;
      if (property.text.capacity() <= kTextBytesKept) spare_.push_back(std::move(property));
    }
    event->properties.clear();
    event->id_hash = 0;
    event->customer_id.clear();
    event->builtin = BuiltinType::kOther;
    event->type = EventSchema::kUnknown;
    event->time = EventTime();
    event->amount_micros.reset();
  }

  Refused Parse(std::string_view payload, dom::element* document, bool* numbers_were_quoted) {
    if (payload.empty()) return DeadLetterReason::kNotJson;
    std::memcpy(padded_.data(), payload.data(), payload.size());
    simdjson::error_code error =
        parser_.parse(padded_.data(), payload.size(), false).get(*document);
    // Which code a huge number gives depends on simdjson's version. A failure is rare enough to
    // look.
    if (error != simdjson::SUCCESS && error != simdjson::DEPTH_ERROR &&
        QuoteHugeNumbers(payload, &quoted_)) {
      *numbers_were_quoted = true;
      quoted_.reserve(quoted_.size() + simdjson::SIMDJSON_PADDING);
      error = parser_.parse(quoted_.data(), quoted_.size(), false).get(*document);
    }
    if (error == simdjson::MEMALLOC) throw std::bad_alloc();
    if (error == simdjson::DEPTH_ERROR) return DeadLetterReason::kTooDeep;
    return error == simdjson::SUCCESS ? Refused() : DeadLetterReason::kNotJson;
  }

  // The last of several equal keys counts, as in most JSON libraries. False if nested too deep.
  static bool Collect(dom::object object, Fields* fields) {
    for (const dom::key_value_pair field : object) {
      for (size_t i = 0; i < kFieldCount; ++i) {
        if (field.key != kFieldNames[i]) continue;
        (*fields)[i].reset();
        if (!field.value.is_null()) (*fields)[i] = field.value;
        break;
      }
      if (Deeper(field.value, kJsonDepthMax - 1)) return false;
    }
    return true;
  }

  Refused Interpret(const Fields& fields, bool numbers_were_quoted, Event* event) {
    std::string_view type;
    const std::optional<dom::element>& type_field = fields[kTypeField];
    if (!type_field || type_field->get(type) != simdjson::SUCCESS || type.empty())
      return DeadLetterReason::kMissingType;
    event->builtin = BuiltinTypeOf(type);
    event->type = schema_.TypeOf(type);
    if (event->builtin != BuiltinType::kTick) {
      if (const Refused refused = ReadIds(fields, event)) return refused;
    }
    const std::optional<EventTime> time = Timestamp(fields[kTimestampField]);
    if (!time) return DeadLetterReason::kBadTimestamp;
    event->time = *time;
    // They carry nothing else; and forgetting a customer must not fail over a field that it
    // ignores.
    if (event->builtin == BuiltinType::kTick || event->builtin == BuiltinType::kErase) return {};
    const std::optional<dom::element>& currency_field = fields[kCurrencyField];
    if (currency_ && currency_field) {
      std::string_view currency;
      if (currency_field->get(currency) != simdjson::SUCCESS || currency != *currency_) {
        return DeadLetterReason::kOtherCurrency;
      }
    }
    if (const Refused refused = ReadAmount(fields[kAmountField], numbers_were_quoted, event))
      return refused;
    return ReadProperties(fields[kPropertiesField], event);
  }

  static Refused ReadIds(const Fields& fields, Event* event) {
    NumberText buffer;
    const std::string_view event_id = IdText(fields[kEventIdField], &buffer);
    if (event_id.empty()) return DeadLetterReason::kMissingEventId;
    event->id_hash = Hash64(event_id);
    const std::string_view customer = IdText(fields[kCustomerIdField], &buffer);
    if (customer.empty()) return DeadLetterReason::kMissingCustomerId;
    if (customer.size() > kCustomerIdBytesMax) return DeadLetterReason::kCustomerIdTooLong;
    event->customer_id = customer;
    return {};
  }

  Refused ReadProperties(const std::optional<dom::element>& field, Event* event) {
    if (!field) return {};
    dom::object object;
    if (field->get(object) != simdjson::SUCCESS) return DeadLetterReason::kBadProperties;
    for (const dom::key_value_pair entry : object) {
      const int id = schema_.PropertyOf(entry.key);
      if (id == EventSchema::kUnknown) continue;
      Drop(id, event);
      if (spare_.empty()) spare_.emplace_back();
      if (!ReadProperty(entry.value, &spare_.back())) continue;
      spare_.back().id = id;
      event->properties.push_back(std::move(spare_.back()));
      spare_.pop_back();
    }
    return {};
  }

  // Removes what an earlier, equal key has left.
  static void Drop(int id, Event* event) {
    std::erase_if(event->properties, [id](const Property& p) { return p.id == id; });
  }

  const EventSchema& schema_;
  const std::optional<std::string> currency_;
  dom::parser parser_;
  std::vector<char> padded_;     // the payload, with the room that simdjson reads beyond its end
  std::string quoted_;           // the payload after QuoteHugeNumbers()
  std::vector<Property> spare_;  // whose strings keep their memory; at most one for each property
};

FlatDecoder::FlatDecoder(const EventSchema& schema, std::optional<std::string> currency)
    : impl_(std::make_unique<Impl>(schema, std::move(currency))) {}

FlatDecoder::~FlatDecoder() = default;

std::optional<DeadLetterReason> FlatDecoder::Decode(std::string_view payload, Event* event) {
  return impl_->Decode(payload, event);
}

}  // namespace heartbeatd
