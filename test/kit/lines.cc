#include "lines.h"

#include <unistd.h>

#include <array>

#include "client.h"

namespace kit {

LineReader::LineReader(const std::string& path)
    : path_(path), file_(path == "-" ? gzdopen(STDIN_FILENO, "rb") : gzopen(path.c_str(), "rb")) {
  if (file_ == nullptr) Die("cannot open " + path);
  gzbuffer(file_, 1 << 18);
}

LineReader::~LineReader() { gzclose(file_); }

bool LineReader::Next(std::string& line) {
  line.clear();
  std::array<char, 4096> part{};
  while (gzgets(file_, part.data(), static_cast<int>(part.size())) != nullptr) {
    line += part.data();
    if (line.ends_with('\n')) {
      line.pop_back();
      if (line.ends_with('\r')) line.pop_back();
      return true;
    }
  }
  int error = Z_OK;
  gzerror(file_, &error);
  if (error != Z_OK && error != Z_STREAM_END) Die(path_ + " is damaged or cut off");
  return !line.empty();
}

int64_t CountLines(const std::string& path) {
  if (path == "-") return 0;
  LineReader reader(path);
  std::string line;
  int64_t count = 0;
  while (reader.Next(line)) count += line.empty() ? 0 : 1;
  return count;
}

}  // namespace kit
