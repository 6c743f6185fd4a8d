#include "lifecycle/term.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "event/moment.h"

namespace heartbeatd {
namespace {

constexpr std::array<std::string_view, kTermTypeCount> kNames = {"subscription", "support",
                                                                 "contract"};

enum class Change : uint8_t { kNone, kStarted, kRenewed, kCancelled, kExpired, kOther };

// What an event says of its term.
struct News {
  Change change = Change::kNone;
  EventTime at;
  std::optional<EventTime> starts_at;
  std::optional<EventTime> ends_at;
};

Change ChangeOf(const Property* property) {
  if (property == nullptr) return Change::kNone;
  const std::string& text = property->text;
  if (text == "started") return Change::kStarted;
  if (text == "renewed") return Change::kRenewed;
  if (text == "cancelled" || text == "canceled") return Change::kCancelled;
  if (text == "expired") return Change::kExpired;
  return Change::kOther;
}

auto KeyOf(const Term& term) { return std::tie(term.type, term.plan, term.product); }

// The term that the event is about, by what it says: a beginning says all, what is left out being
// no plan and a service; other news may leave plan and kind out, and mean what changed last.
Term* FindTerm(const Term& said, bool says_plan, bool says_kind, std::vector<Term>& terms) {
  Term* found = nullptr;
  for (Term& term : terms) {
    if (term.type != said.type) continue;
    if (says_plan && term.plan != said.plan) continue;
    if (says_kind && term.product != said.product) continue;
    if (found == nullptr || term.changed_at > found->changed_at) found = &term;
  }
  return found;
}

void Drop(EventTime now, std::vector<Term>* terms) {
  std::erase_if(*terms, [&](const Term& term) { return term.ends_at + kTermKept <= now; });
  while (terms->size() > kTermsMax) {
    terms->erase(std::min_element(terms->begin(), terms->end(), [](const Term& a, const Term& b) {
      return std::tie(a.ends_at, a.changed_at) < std::tie(b.ends_at, b.changed_at);
    }));
  }
}

void Take(const News& news, bool is_new, Term* term) {
  switch (news.change) {
    case Change::kStarted:
      term->starts_at = news.starts_at.value_or(news.at);
      term->ends_at = news.ends_at.value_or(EventTime::Never());
      term->cancelled = term->renewed = false;
      break;
    case Change::kRenewed: {
      // A renewal that begins at the old end goes on with the old term: there is no gap.
      const EventTime begins = news.starts_at.value_or(news.at);
      if (is_new || term->ends_at < begins) term->starts_at = begins;
      term->ends_at = news.ends_at.value_or(EventTime::Never());
      term->cancelled = false;
      term->renewed = true;
      break;
    }
    case Change::kCancelled:
    case Change::kExpired:
      if (is_new) term->starts_at = news.starts_at.value_or(news.at);
      term->ends_at = news.ends_at.value_or(std::min(term->ends_at, news.at));
      term->cancelled = term->cancelled || news.change == Change::kCancelled;
      break;
    default:  // kNone, with an end
      if (is_new || news.starts_at) term->starts_at = news.starts_at.value_or(news.at);
      term->ends_at = *news.ends_at;
      break;
  }
}

}  // namespace

std::string_view NameOf(TermType type) { return kNames[static_cast<size_t>(type)]; }

std::optional<TermType> TermTypeOf(std::string_view name) {
  const auto it = std::find(kNames.begin(), kNames.end(), name);
  if (it == kNames.end()) return {};
  return static_cast<TermType>(it - kNames.begin());
}

std::optional<TermType> TermTypeOf(BuiltinType type) {
  switch (type) {
    case BuiltinType::kSubscription:
      return TermType::kSubscription;
    case BuiltinType::kSupport:
      return TermType::kSupport;
    case BuiltinType::kContract:
      return TermType::kContract;
    default:
      return {};
  }
}

TermFields AddTermFields(EventSchema& schema) {
  return {.status = schema.AddProperty("status"),
          .plan = schema.AddProperty("plan"),
          .kind = schema.AddProperty("kind"),
          .starts_at = schema.AddProperty("starts_at"),
          .ends_at = schema.AddProperty("ends_at")};
}

void ApplyToTerms(const TermFields& fields, const Calendar& calendar, const Event& event,
                  EventTime now, std::vector<Term>* terms) {
  const std::optional<TermType> type = TermTypeOf(event.builtin);
  if (!type) return;
  const News news{.change = ChangeOf(event.Find(fields.status)),
                  .at = event.time,
                  .starts_at = MomentOf(event.Find(fields.starts_at), calendar),
                  .ends_at = MomentOf(event.Find(fields.ends_at), calendar)};
  if (news.change == Change::kOther || (news.change == Change::kNone && !news.ends_at)) return;
  const Property* plan = event.Find(fields.plan);
  const Property* kind = event.Find(fields.kind);
  Term said{.type = *type, .product = kind != nullptr && kind->text == "product"};
  if (plan != nullptr) said.plan = plan->text.substr(0, kPlanBytesMax);
  const bool says_all = news.change == Change::kStarted;
  Term* term = FindTerm(said, says_all || plan != nullptr, says_all || kind != nullptr, *terms);
  const bool is_new = term == nullptr;
  if (is_new) {
    const auto at =
        std::lower_bound(terms->begin(), terms->end(), said,
                         [](const Term& a, const Term& b) { return KeyOf(a) < KeyOf(b); });
    term = &*terms->insert(at, std::move(said));
  } else if (event.time < term->changed_at) {
    return;
  }
  Take(news, is_new, term);
  term->changed_at = event.time;
  Drop(now, terms);
}

}  // namespace heartbeatd
