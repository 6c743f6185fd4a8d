#include "base/id.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/string_generator.hpp>
#include <boost/uuid/uuid_io.hpp>

namespace heartbeatd {

uint64_t Hash64(std::string_view bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

std::string UuidOf(std::initializer_list<std::string_view> fields) {
  static const boost::uuids::uuid space =
      boost::uuids::string_generator()("6f1d2c1e-5b0a-4c57-9a43-8d0b1c7a2e94");
  std::string name;
  for (const std::string_view field : fields) {
    name += fmt::to_string(field.size());
    name += ':';
    name += field;
    name += ',';
  }
  return to_string(boost::uuids::name_generator_sha1(space)(name));
}

std::string RandomUuid() { return to_string(boost::uuids::random_generator()()); }

}  // namespace heartbeatd
