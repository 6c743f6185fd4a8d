// The reader of JSON lines: plain, gzip and zstd files of any bytes, corrupt ones included.
#include "event/json_lines.h"

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "event/event.h"
#include "fuzz/fuzz.h"

namespace {

using namespace heartbeatd;
using fuzz::Require;

// A file in memory; read by its name, as the reader reads any file.
class File {
 public:
  explicit File(std::string_view content) : fd_(memfd_create("input", MFD_CLOEXEC)) {
    Require(fd_ >= 0, "a file in memory");
    Require(write(fd_, content.data(), content.size()) == static_cast<ssize_t>(content.size()),
            "room for the file");
  }
  ~File() { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

// The next line of plain text that is not blank, by the book; false at the end.
bool NextByTheBook(std::string_view* rest, std::string_view* line) {
  while (!rest->empty()) {
    const size_t end = rest->find('\n');
    *line = rest->substr(0, end);
    rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
    if (line->ends_with('\r')) line->remove_suffix(1);
    if (!IsBlank(*line)) return true;
  }
  return false;
}

bool IsCompressed(std::string_view content) {
  return content.starts_with("\x1f\x8b") || content.starts_with("\x28\xb5\x2f\xfd") ||
         (content.size() >= 4 && content.substr(1, 3) == "\x2a\x4d\x18");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view content = fuzz::TextOf(data, size);
  const File file(content);
  Result<JsonLinesReader> reader = JsonLinesReader::Open(file.path());
  if (!reader) return 0;
  const bool plain = !IsCompressed(content);
  std::string_view rest = content;
  int64_t number = 0;
  while (true) {
    std::string_view line;
    const Result<bool> more = reader->Next(&line);
    std::string_view expected;
    if (plain) {
      Require(more.has_value(), "plain text has no errors");
      Require(*more == NextByTheBook(&rest, &expected), "as many lines");
    }
    if (!more) {
      Require(!reader->Next(&line).has_value(), "errors are final");
      break;
    }
    if (!*more) break;
    Require(reader->line_number() > number, "lines are counted");
    number = reader->line_number();
    Require(line.find('\n') == std::string_view::npos && !IsBlank(line), "one line");
    Require(line.size() <= kPayloadBytesMax + 1, "a bounded line");
    if (plain) Require(line == expected.substr(0, kPayloadBytesMax + 1), "the line");
  }
  return 0;
}
