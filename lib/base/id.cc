#include "base/id.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/string_generator.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <memory>
#include <stdexcept>

namespace heartbeatd {

uint64_t Hash64(std::string_view bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

namespace {

// OpenSSL's, which knows the processor's own instructions: every alert has two of these.
class Sha1 {
 public:
  Sha1()
      : method_(EVP_MD_fetch(nullptr, "SHA1", nullptr), EVP_MD_free),
        context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!method_ || !context_) throw std::runtime_error("OpenSSL has no SHA-1");
  }

  std::array<unsigned char, 20> operator()(std::string_view bytes) {
    std::array<unsigned char, 20> digest;
    const bool done = EVP_DigestInit_ex2(context_.get(), method_.get(), nullptr) == 1 &&
                      EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1 &&
                      EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1;
    if (!done) throw std::runtime_error("OpenSSL's SHA-1 failed");
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD, void (*)(EVP_MD*)> method_;
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

}  // namespace

std::string UuidOf(std::initializer_list<std::string_view> fields) {
  static const boost::uuids::uuid kSpace =
      boost::uuids::string_generator()("6f1d2c1e-5b0a-4c57-9a43-8d0b1c7a2e94");
  thread_local Sha1 sha1;
  std::string name(kSpace.begin(), kSpace.end());
  for (const std::string_view field : fields) {
    name += fmt::to_string(field.size());
    name += ':';
    name += field;
    name += ',';
  }
  const std::array<unsigned char, 20> digest = sha1(name);
  boost::uuids::uuid id{};
  std::copy_n(digest.begin(), id.size(), id.begin());
  id.data[6] = static_cast<uint8_t>((id.data[6] & 0x0f) | 0x50);  // version 5
  id.data[8] = static_cast<uint8_t>((id.data[8] & 0x3f) | 0x80);  // the variant of RFC 4122
  return to_string(id);
}

std::string RandomUuid() { return to_string(boost::uuids::random_generator()()); }

}  // namespace heartbeatd
