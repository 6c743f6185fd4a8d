#include "event/format.h"

#include <initializer_list>

namespace heartbeatd {
namespace {

std::vector<JsonPointer> Places(std::initializer_list<std::string_view> texts) {
  std::vector<JsonPointer> places;
  for (const std::string_view text : texts) places.push_back(*ParseJsonPointer(text));
  return places;
}

}  // namespace

std::optional<JsonPointer> ParseJsonPointer(std::string_view text) {
  JsonPointer pointer;
  if (!text.empty() && text.front() != '/') return {};
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '/') {
      pointer.emplace_back();
    } else if (text[i] == '~') {
      ++i;
      if (i == text.size() || (text[i] != '0' && text[i] != '1')) return {};
      pointer.back() += text[i] == '0' ? '~' : '/';
    } else {
      pointer.back() += text[i];
    }
  }
  return pointer;
}

EventFormat FlatFormat() {
  EventFormat format;
  format.At(EventField::kType) = Places({"/type"});
  format.At(EventField::kEventId) = Places({"/event_id"});
  format.At(EventField::kCustomerId) = Places({"/customer_id"});
  format.At(EventField::kTimestamp) = Places({"/timestamp"});
  format.At(EventField::kAmount) = Places({"/amount"});
  format.At(EventField::kCurrency) = Places({"/currency"});
  format.At(EventField::kProperties) = Places({"/properties"});
  return format;
}

EventFormat SegmentFormat() {
  EventFormat format;
  // `track` calls say what happened in `event`; page, screen, identify, ... in `type`.
  format.At(EventField::kType) = Places({"/event", "/type"});
  format.At(EventField::kEventId) = Places({"/messageId"});
  // Who has not logged in yet is a customer of their own: nobody says later whose visits they were.
  format.At(EventField::kCustomerId) = Places({"/userId", "/anonymousId"});
  format.At(EventField::kTimestamp) = Places({"/timestamp", "/originalTimestamp", "/sentAt"});
  format.At(EventField::kAmount) =
      Places({"/properties/revenue", "/properties/total", "/properties/value"});
  format.At(EventField::kCurrency) = Places({"/properties/currency"});
  format.At(EventField::kProperties) = Places({"/properties"});
  // The names of Segment's and RudderStack's e-commerce and B2B specifications.
  format.types = {
      {"Order Completed", "purchase"}, {"Order Refunded", "refund"}, {"Signed Up", "signup"},
      {"Account Created", "signup"},   {"Signed In", "login"},       {"Product Reviewed", "review"},
      {"Product Shared", "share"},     {"Cart Shared", "share"},     {"Invite Sent", "referral"}};
  return format;
}

EventFormat CloudEventsFormat() {
  EventFormat format;
  format.At(EventField::kType) = Places({"/type"});
  format.At(EventField::kEventId) = Places({"/id"});
  format.At(EventField::kCustomerId) = Places({"/subject", "/data/customer_id"});
  format.At(EventField::kTimestamp) = Places({"/time"});
  format.At(EventField::kAmount) = Places({"/data/amount"});
  format.At(EventField::kCurrency) = Places({"/data/currency"});
  format.At(EventField::kProperties) = Places({"/data/properties", "/data"});
  format.At(EventField::kSource) = Places({"/source"});
  format.cloud_events = true;
  return format;
}

}  // namespace heartbeatd
