// Lines of a file, plain or gzip.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>

namespace kit {

class LineReader {
 public:
  // "-" is standard input. Ends the process if the file cannot be opened.
  explicit LineReader(const std::string& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line without its end; false at the end of the file. Ends the process if the file is
  // damaged.
  bool Next(std::string& line);

 private:
  std::string path_;
  gzFile file_;
};

// How many non-empty lines a file has; 0 for standard input, which can be read only once.
int64_t CountLines(const std::string& path);

}  // namespace kit
