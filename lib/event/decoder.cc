#include "event/decoder.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "base/id.h"
#include "event/json_values.h"

namespace heartbeatd {
namespace {

namespace dom = simdjson::dom;
using Refused = std::optional<DeadLetterReason>;

using Fields = std::array<FieldValue, kEventFieldCount>;

// Longer strings give their memory back after each event.
constexpr size_t kTextBytesKept = 4096;

const FieldValue& At(const Fields& fields, EventField field) {
  return fields[static_cast<size_t>(field)];
}

// The value at the end of the pointer's way from key `first` on; the last of several equal keys
// counts, as in most JSON libraries. Nothing for null.
std::optional<dom::element> Find(dom::element from, const JsonPointer& pointer, size_t first = 0) {
  dom::element at = from;
  for (size_t i = first; i < pointer.size(); ++i) {
    std::optional<dom::element> next;
    if (dom::object object; at.get(object) == simdjson::SUCCESS) {
      for (const dom::key_value_pair field : object) {
        if (field.key == pointer[i]) next = field.value;
      }
    } else if (dom::array array; at.get(array) == simdjson::SUCCESS) {
      size_t index = 0;
      const char* const end = pointer[i].data() + pointer[i].size();
      const auto [last, failure] = std::from_chars(pointer[i].data(), end, index);
      dom::element item;
      if (failure == std::errc() && last == end && array.at(index).get(item) == simdjson::SUCCESS)
        next = item;
    }
    if (!next) return {};
    at = *next;
  }
  if (at.is_null()) return {};
  return at;
}

using ShallowKeys = std::vector<std::pair<std::string_view, EventField>>;

// The keys of a format in which every field has one place, a key of the document itself that no
// other field has: those are found in one pass. Views are into the format. Empty for others.
ShallowKeys ShallowKeysOf(const EventFormat& format) {
  if (format.cloud_events || !format.properties.empty()) return {};
  ShallowKeys keys;
  for (size_t i = 0; i < kEventFieldCount; ++i) {
    const std::vector<JsonPointer>& places = format.places[i];
    if (places.empty()) continue;
    if (places.size() > 1 || places[0].size() != 1) return {};
    const std::string_view key = places[0][0];
    if (std::any_of(keys.begin(), keys.end(), [&](const auto& k) { return k.first == key; }))
      return {};
    keys.emplace_back(key, static_cast<EventField>(i));
  }
  return keys;
}

}  // namespace

class EventDecoder::Impl {
 public:
  Impl(const EventSchema& schema, std::optional<std::string> currency, EventFormat format)
      : schema_(schema),
        currency_(std::move(currency)),
        format_(std::move(format)),
        shallow_keys_(ShallowKeysOf(format_)),
        padded_(kPayloadBytesMax + simdjson::SIMDJSON_PADDING) {
    // simdjson refuses at `max_depth` levels, not beyond them, and does not count an innermost
    // empty container: Deeper() does.
    if (parser_.allocate(kPayloadBytesMax, kJsonDepthMax + 1) != simdjson::SUCCESS)
      throw std::bad_alloc();
    for (const auto& [name, pointer] : format_.properties) {
      const int id = schema_.PropertyOf(name);
      if (id != EventSchema::kUnknown) named_.emplace_back(id, &pointer);
    }
  }

  Refused Decode(std::string_view payload, std::span<const MessageHeader> headers, Event* event) {
    Clear(event);
    if (payload.size() > kPayloadBytesMax) return DeadLetterReason::kTooLong;
    if (payload.starts_with("\xEF\xBB\xBF")) payload.remove_prefix(3);  // a byte order mark
    Message message{.headers = IsBinary(headers) ? headers : std::span<const MessageHeader>()};
    Fields fields;
    bool too_deep = false;
    // An event whose attributes are in headers may have no data at all.
    if (message.headers.empty() || !payload.empty()) {
      dom::element document;
      if (const Refused refused = Parse(payload, &document, &message.numbers_were_quoted))
        return refused;
      dom::object object;
      if (document.get(object) != simdjson::SUCCESS) return DeadLetterReason::kNotJson;
      message.document = document;
      too_deep = is_shallow() ? !CollectShallow(object, &fields) : Deeper(document, kJsonDepthMax);
    }
    if (too_deep) return DeadLetterReason::kTooDeep;
    if (!is_shallow()) Collect(message, &fields);
    return Interpret(fields, message, event);
  }

  [[nodiscard]] bool wants_headers() const { return format_.cloud_events; }

 private:
  struct Message {
    std::optional<dom::element> document;
    std::span<const MessageHeader> headers;  // empty: the document says everything
    bool numbers_were_quoted = false;
  };

  [[nodiscard]] bool is_shallow() const { return !shallow_keys_.empty(); }

  [[nodiscard]] bool IsBinary(std::span<const MessageHeader> headers) const {
    return format_.cloud_events &&
           std::any_of(headers.begin(), headers.end(),
                       [](const MessageHeader& h) { return h.name == "ce_specversion"; });
  }

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

  // The last of several equal keys counts. False if nested too deep.
  bool CollectShallow(dom::object object, Fields* fields) const {
    for (const dom::key_value_pair field : object) {
      for (const auto& [key, of] : shallow_keys_) {
        if (field.key != key) continue;
        std::optional<dom::element>& element = (*fields)[static_cast<size_t>(of)].element;
        element.reset();
        if (!field.value.is_null()) element = field.value;
        break;
      }
      if (IsContainer(field.value) && Deeper(field.value, kJsonDepthMax - 1)) return false;
    }
    return true;
  }

  // The same for any places.
  void Collect(const Message& message, Fields* fields) const {
    for (size_t i = 0; i < kEventFieldCount; ++i) {
      for (const JsonPointer& place : format_.places[i]) {
        (*fields)[i] = message.headers.empty()
                           ? FieldValue{.element = Find(*message.document, place)}
                           : FindBinary(message, place);
        if ((*fields)[i].present()) break;
      }
    }
  }

  // What a structured event has at /data is the document of a binary one, and an attribute is a
  // header.
  static FieldValue FindBinary(const Message& message, const JsonPointer& place) {
    if (place[0] == "data") {
      if (!message.document) return {};
      return {.element = Find(*message.document, place, 1)};
    }
    for (const MessageHeader& header : message.headers) {
      if (header.name.starts_with("ce_") && header.name.substr(3) == place[0])
        return {.header = header.value};
    }
    return {};
  }

  Refused Interpret(const Fields& fields, const Message& message, Event* event) {
    std::string_view type = At(fields, EventField::kType).Text().value_or("");
    if (type.empty()) return DeadLetterReason::kMissingType;
    if (!format_.types.empty()) {
      const auto renamed = format_.types.find(type);
      if (renamed != format_.types.end()) type = renamed->second;
    }
    event->builtin = BuiltinTypeOf(type);
    event->type = schema_.TypeOf(type);
    if (event->builtin != BuiltinType::kTick) {
      if (const Refused refused = ReadIds(fields, event)) return refused;
    }
    const std::optional<EventTime> time = TimestampOf(At(fields, EventField::kTimestamp));
    if (!time) return DeadLetterReason::kBadTimestamp;
    event->time = *time;
    // They carry nothing else; and forgetting a customer must not fail over a field that it
    // ignores.
    if (event->builtin == BuiltinType::kTick || event->builtin == BuiltinType::kErase) return {};
    const FieldValue& currency = At(fields, EventField::kCurrency);
    if (currency_ && currency.present() && currency.Text() != *currency_)
      return DeadLetterReason::kOtherCurrency;
    if (const Refused refused =
            ReadAmount(At(fields, EventField::kAmount), message.numbers_were_quoted, event))
      return refused;
    if (const Refused refused = ReadProperties(At(fields, EventField::kProperties), event))
      return refused;
    for (const auto& [id, pointer] : named_) {
      const std::optional<dom::element> value = Find(*message.document, *pointer);
      if (value) AddProperty(id, *value, event);
    }
    return {};
  }

  Refused ReadIds(const Fields& fields, Event* event) {
    NumberText buffer;
    const std::string_view event_id = IdText(At(fields, EventField::kEventId), &buffer);
    if (event_id.empty()) return DeadLetterReason::kMissingEventId;
    if (const auto source = At(fields, EventField::kSource).Text()) {
      id_.assign(*source).append(1, '\n').append(event_id);
      event->id_hash = Hash64(id_);
    } else {
      event->id_hash = Hash64(event_id);
    }
    const std::string_view customer = IdText(At(fields, EventField::kCustomerId), &buffer);
    if (customer.empty()) return DeadLetterReason::kMissingCustomerId;
    if (customer.size() > kCustomerIdBytesMax) return DeadLetterReason::kCustomerIdTooLong;
    event->customer_id = customer;
    return {};
  }

  Refused ReadProperties(const FieldValue& field, Event* event) {
    if (!field.element) return {};
    dom::object object;
    if (field.element->get(object) != simdjson::SUCCESS) return DeadLetterReason::kBadProperties;
    event->properties.reserve(std::min(object.size(), schema_.properties().size()));
    for (const dom::key_value_pair entry : object) {
      const int id = schema_.PropertyOf(entry.key);
      if (id != EventSchema::kUnknown) AddProperty(id, entry.value, event);
    }
    return {};
  }

  void AddProperty(int id, dom::element value, Event* event) {
    Drop(id, event);
    if (spare_.empty()) spare_.emplace_back();
    if (!ReadProperty(value, &spare_.back())) return;
    spare_.back().id = id;
    event->properties.push_back(std::move(spare_.back()));
    spare_.pop_back();
  }

  // Removes what an earlier, equal key has left.
  static void Drop(int id, Event* event) {
    std::erase_if(event->properties, [id](const Property& p) { return p.id == id; });
  }

  const EventSchema& schema_;
  const std::optional<std::string> currency_;
  const EventFormat format_;
  const ShallowKeys shallow_keys_;
  std::vector<std::pair<int, const JsonPointer*>> named_;  // format_.properties the schema names
  dom::parser parser_;
  std::vector<char> padded_;     // the payload, with the room that simdjson reads beyond its end
  std::string id_;               // source and event id
  std::string quoted_;           // the payload after QuoteHugeNumbers()
  std::vector<Property> spare_;  // whose strings keep their memory; at most one for each property
};

EventDecoder::EventDecoder(const EventSchema& schema, std::optional<std::string> currency,
                           EventFormat format)
    : impl_(std::make_unique<Impl>(schema, std::move(currency), std::move(format))),
      wants_headers_(impl_->wants_headers()) {}

EventDecoder::~EventDecoder() = default;

std::optional<DeadLetterReason> EventDecoder::Decode(std::string_view payload, Event* event) {
  return impl_->Decode(payload, {}, event);
}

std::optional<DeadLetterReason> EventDecoder::Decode(std::string_view payload,
                                                     std::span<const MessageHeader> headers,
                                                     Event* event) {
  return impl_->Decode(payload, headers, event);
}

}  // namespace heartbeatd
