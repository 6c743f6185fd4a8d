#include "base/id.h"

#include <set>
#include <string>

#include "catch.h"

using namespace heartbeatd;

TEST_CASE("id: XXH64's published answers, since the hashes are stored") {
  CHECK(Hash64("") == 0xef46db3751d8e999U);
  CHECK(Hash64("a") == 0xd24ec4f1a98c6e5bU);
  CHECK(Hash64("abc") == 0x44bc2cf5ad770999U);
  CHECK(Hash64("Nobody inspects the spammish repetition") == 0xfbcea83c8a378bf1U);
  CHECK(Hash64(std::string_view("a\0", 2)) != Hash64("a"));
}

TEST_CASE("id: UUIDs as Python's uuid.uuid5 gives them") {
  // python3: uuid.uuid5(uuid.UUID('6f1d2c1e-5b0a-4c57-9a43-8d0b1c7a2e94'),
  // ''.join(f'{len(f.encode())}:{f},' for f in fields))
  CHECK(UuidOf({}) == "8d5f9c61-131f-5f07-b9ca-5cfbcf081de1");
  CHECK(UuidOf({""}) == "10611dcb-1299-5991-bdac-7a44e895cd55");
  CHECK(UuidOf({"Zo\xC3\xAB"}) == "dcf30451-f7b0-5cb7-897a-424a9b15d529");
  CHECK(UuidOf({"heartbeatd", "dropping-activity", "c42", "", "1772355600000", "firing", "0"}) ==
        "8b4fa9fe-a54a-5651-bf27-4769d4d9ad3e");
}

TEST_CASE("id: lists that read alike have different UUIDs") {
  CHECK(UuidOf({"ab", "c"}) == "97be75cb-ed8b-595a-b616-a8edd2cab06b");
  CHECK(UuidOf({"a", "bc"}) == "bd44545d-9361-5cfc-bc77-00fc7621d07e");
  const std::set<std::string> all = {UuidOf({"abc"}),
                                     UuidOf({"abc", ""}),
                                     UuidOf({"", "abc"}),
                                     UuidOf({"1:a,1:b,"}),
                                     UuidOf({"a", "b"}),
                                     UuidOf({"a,1:b"}),
                                     UuidOf({std::string_view("a\0b", 3)}),
                                     UuidOf({"a", "", "b"})};
  CHECK(all.size() == 8);
}

TEST_CASE("id: random UUIDs are version 4 and differ") {
  const std::string a = RandomUuid();
  const std::string b = RandomUuid();
  CHECK(a != b);
  CHECK(a.size() == 36);
  CHECK(a[14] == '4');
}
