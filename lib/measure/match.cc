#include "measure/match.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "event/number.h"

namespace heartbeatd {
namespace {

// The text that a decoder gives to a property with this value: 3.0 and 3 are the same.
std::string Canonical(const Node& node) {
  return node.quoted ? node.scalar : CanonicalScalar(node.scalar);
}

std::vector<PropertyMatch> ReadWhere(const Node* where, const std::string& what,
                                     EventSchema& schema, Findings& findings) {
  std::vector<PropertyMatch> out;
  if (where == nullptr) return out;
  if (where->kind != Node::Kind::kMap) {
    findings.Error(where->place,
                   fmt::format("'where' of {} must be a map of properties and values", what));
    return out;
  }
  for (const Node::Entry& entry : where->map) {
    PropertyMatch match{schema.AddProperty(entry.key), {}};
    const Node& value = entry.value;
    if (value.kind == Node::Kind::kScalar) match.any_of.push_back(Canonical(value));
    for (const Node& item : value.list) {
      if (item.kind == Node::Kind::kScalar) match.any_of.push_back(Canonical(item));
    }
    if (match.any_of.empty() ||
        (value.kind == Node::Kind::kList && match.any_of.size() != value.list.size())) {
      findings.Error(value.place,
                     fmt::format("'{}' in 'where' of {} must be a value or a list of values",
                                 entry.key, what));
    }
    schema.mentions().push_back({match.property, entry.place, what});
    out.push_back(std::move(match));
  }
  return out;
}

}  // namespace

bool Matches(const std::vector<PropertyMatch>& where, const Event& event) {
  return std::all_of(where.begin(), where.end(), [&](const PropertyMatch& match) {
    const Property* property = event.Find(match.property);
    return property != nullptr && std::find(match.any_of.begin(), match.any_of.end(),
                                            property->text) != match.any_of.end();
  });
}

bool EventMatch::Matches(const Event& event) const {
  // `types` holds numbers of the schema only, so a type that it does not name matches none of them.
  return std::find(types.begin(), types.end(), event.type) != types.end() &&
         heartbeatd::Matches(where, event);
}

EventMatch ReadEventMatch(MapReader& fields, EventSchema& schema) {
  EventMatch match;
  if (fields.Required("type") != nullptr) {
    for (const std::string& type : fields.Texts("type")) {
      const BuiltinType builtin = BuiltinTypeOf(type);
      if (builtin == BuiltinType::kTick || builtin == BuiltinType::kErase) {
        fields.ErrorAt("type",
                       fmt::format("'{}' is not a customer's doing and cannot be measured", type));
      }
      match.types.push_back(schema.AddType(type));
    }
    if (match.types.empty())
      fields.ErrorAt("type", fmt::format("'type' of {} names no type", fields.what()));
  }
  match.where = ReadWhere(fields.Child("where"), fields.what(), schema, fields.findings());
  return match;
}

}  // namespace heartbeatd
