// Appends JSON to a text, member by member: an alert has some thirty members, and a tree of them
// costs more than all else about it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace heartbeatd {

// Whoever writes ends what he begins. Names are the code's own and need no escapes. Not
// thread-safe; the text must outlive it.
class JsonText {
 public:
  explicit JsonText(std::string* out) : out_(*out) {}

  // An element of an array, or all of the text.
  void BeginObject() { Begin('{'); }
  // Members.
  void BeginObject(std::string_view name) { Begin(name, '{'); }
  void BeginArray(std::string_view name) { Begin(name, '['); }
  void EndObject() { out_ += '}'; }
  void EndArray() { out_ += ']'; }

  // Whatever somebody has chosen: a member, an element, a member whose name is not the code's.
  void Text(std::string_view name, std::string_view value);
  void Text(std::string_view value);
  void Label(std::string_view name, std::string_view value);
  // What needs no escapes: names of enumerations, times, UUIDs.
  void Word(std::string_view name, std::string_view value);
  void Word(std::string_view value);
  void Integer(std::string_view name, int64_t value);
  // In the fewest digits that lead back to it; 5 as 5.0, up to 2^53. Null if it is not finite.
  void Number(std::string_view name, double value);
  // The same, as people write it: 5 as 5.
  void Plain(std::string_view name, double value);
  void Null(std::string_view name);
  // The members of `object`, which is the text of an object.
  void Members(std::string_view object);

 private:
  void Separate();  // from the member or element before, if there is one
  void Name(std::string_view name);
  void Begin(char bracket);
  void Begin(std::string_view name, char bracket);
  void Quote(std::string_view text);       // escapes what needs it
  void QuotePlain(std::string_view text);  // nothing does

  std::string& out_;
};

}  // namespace heartbeatd
