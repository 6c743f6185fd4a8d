// Files of one JSON document a line, plain or compressed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace heartbeatd {

// Reads plain, gzip and zstd files, told apart by their first bytes and not by their names, and
// "-", which is standard input. A line ends with LF or CRLF, the last one also with the file; lines
// of nothing but blanks are skipped. Memory is bounded whatever the input holds.
//
// Move-only; owns the file. Not thread-safe.
class JsonLinesReader {
 public:
  // Error: the file cannot be opened or its beginning not be read.
  static Result<JsonLinesReader> Open(const std::string& path);
  JsonLinesReader(JsonLinesReader&&) noexcept;
  JsonLinesReader& operator=(JsonLinesReader&&) noexcept;
  ~JsonLinesReader();

  // True: *line is the next line without its end, valid until the next call. Of a line longer than
  // kPayloadBytesMax it is the first kPayloadBytesMax + 1 bytes, which a decoder refuses as too
  // long. False: the end of the input. Error ("file:line: what"): it cannot be read, or its
  // compressed data is corrupt or incomplete; a line cut off by that is not delivered. Errors are
  // final.
  [[nodiscard]] Result<bool> Next(std::string_view* line);

  // The number of the line that Next() gave last, from 1.
  [[nodiscard]] int64_t line_number() const;
  // "orders.jsonl.gz:17", for messages about that line; standard input is "stdin".
  [[nodiscard]] std::string PlaceText() const;

 private:
  class Impl;
  explicit JsonLinesReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace heartbeatd
