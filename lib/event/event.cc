#include "event/event.h"

#include <array>
#include <cstdlib>
#include <utility>

namespace heartbeatd {

std::string_view NameOf(DeadLetterReason reason) {
  switch (reason) {
    case DeadLetterReason::kNotJson:
      return "not_json";
    case DeadLetterReason::kTooDeep:
      return "too_deep";
    case DeadLetterReason::kTooLong:
      return "too_long";
    case DeadLetterReason::kMissingEventId:
      return "missing_event_id";
    case DeadLetterReason::kMissingCustomerId:
      return "missing_customer_id";
    case DeadLetterReason::kCustomerIdTooLong:
      return "customer_id_too_long";
    case DeadLetterReason::kMissingType:
      return "missing_type";
    case DeadLetterReason::kBadTimestamp:
      return "bad_timestamp";
    case DeadLetterReason::kFutureTimestamp:
      return "future_timestamp";
    case DeadLetterReason::kBadAmount:
      return "bad_amount";
    case DeadLetterReason::kAmountTooLarge:
      return "amount_too_large";
    case DeadLetterReason::kBadProperties:
      return "bad_properties";
    case DeadLetterReason::kOtherCurrency:
      return "other_currency";
    case DeadLetterReason::kStateTooLarge:
      return "state_too_large";
    case DeadLetterReason::kPoison:
      return "poison";
  }
  std::abort();  // not a member of the enumeration
}

BuiltinType BuiltinTypeOf(std::string_view type) {
  using Row = std::pair<std::string_view, BuiltinType>;
  static constexpr std::array<Row, 13> kRows = {{{"purchase", BuiltinType::kPurchase},
                                                 {"login", BuiltinType::kLogin},
                                                 {"refund", BuiltinType::kRefund},
                                                 {"subscription", BuiltinType::kSubscription},
                                                 {"support", BuiltinType::kSupport},
                                                 {"contract", BuiltinType::kContract},
                                                 {"signup", BuiltinType::kSignup},
                                                 {"feedback", BuiltinType::kFeedback},
                                                 {"referral", BuiltinType::kReferral},
                                                 {"review", BuiltinType::kReview},
                                                 {"share", BuiltinType::kShare},
                                                 {"erase", BuiltinType::kErase},
                                                 {"tick", BuiltinType::kTick}}};
  for (const auto& [name, builtin] : kRows) {
    if (name == type) return builtin;
  }
  return BuiltinType::kOther;
}

}  // namespace heartbeatd
