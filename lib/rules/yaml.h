// YAML files as Node trees: reading them, filling in variables, laying one over another, printing.
// Functions without state: thread-safe as long as no two threads share a tree.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/node.h"

namespace heartbeatd {

// Bounds of one file, so that a mistake (or a "billion laughs") cannot take the machine.
inline constexpr size_t kYamlFileBytesMax = 1024 * 1024;
inline constexpr size_t kYamlDepthMax = 64;
inline constexpr size_t kYamlNodesMax = 100'000;               // aliases written out
inline constexpr size_t kYamlTextBytesMax = 16 * 1024 * 1024;  // likewise
inline constexpr size_t kYamlKeyBytesMax = 200;

// One YAML document in UTF-8; an empty one is a kNull. Anchors and aliases are resolved: an alias
// is a copy whose children keep the places of the original. Empty values take the place of their
// key. Error (exit code kConfig): "file:line:column: what", the first one only: syntax, a key twice
// in one map, a key that is no text, tags other than !!str, merge keys (<<), a second document, a
// bound above, an unreadable file.
Result<Node> LoadYamlFile(const std::string& path);
// `name` stands for the file in places.
Result<Node> LoadYamlText(std::string_view text, const std::string& name);

// The value of an environment variable, if it is set.
using EnvLookup = std::function<std::optional<std::string>(const std::string& name)>;
std::optional<std::string> ProcessEnvironment(const std::string& name);

// Replaces in every scalar (never in keys):
//   ${NAME}            the variable; unset is an error
//   ${NAME:-default}   `default` if it is unset or empty
//   ${NAME:?message}   unset or empty is an error with that message
//   ${file:PATH}       the content of a file of at most 64 KiB without its last line end; a
//   relative PATH
//                      starts at the directory of the configuration file that names it
//   $$                 one $
// Any other $ stays. What comes in is text: it is looked at neither as YAML nor for another ${.
void Substitute(Node& node, const EnvLookup& lookup, Findings& findings);

// `over` laid over `base`. Maps merge key by key (base's order, then new keys); anything else is
// replaced, also by null. Under a key `rules`, two lists whose items are all maps with an `id`
// merge by id: same id, the maps merge; new id, appended. An `over` that is an empty document
// changes nothing.
Node Merge(Node base, const Node& over);

// Reports every rule in a file's top-level list `rules` whose id an earlier one has: Merge() across
// files means an override, within one file it is a mistake.
void ReportRepeatedRuleIds(const Node& file, Findings& findings);

// The tree as YAML text that loads back to an equal tree: same shape, keys in order, texts, and
// `quoted` (but text that cannot stand without quotes gets them). Equal trees give equal bytes.
std::string PrintYaml(const Node& node);

}  // namespace heartbeatd
