#include "event/json_lines.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "event/event.h"

namespace heartbeatd {
namespace {

constexpr size_t kRawBytes = 64 * 1024;
// A line's content, and one byte more to tell that it is too long.
constexpr size_t kLineBytesMax = kPayloadBytesMax + 1;
// Room for the longest line with its CRLF, and for reading on in large pieces behind it.
constexpr size_t kBufferBytes = kLineBytesMax + 2 + 256 * 1024;

// Bytes as they are in the file, through a small buffer.
class RawInput {
 public:
  explicit RawInput(int fd) : fd_(fd), buffer_(kRawBytes) {}
  ~RawInput() {
    if (fd_ > STDERR_FILENO) close(fd_);
  }
  RawInput(const RawInput&) = delete;
  RawInput& operator=(const RawInput&) = delete;

  // Reads until at least `wanted` bytes are buffered, or the end.
  Status Fill(size_t wanted) {
    if (begin_ == end_) begin_ = end_ = 0;
    while (!at_end_ && end_ - begin_ < wanted) {
      const ssize_t got = read(fd_, buffer_.data() + end_, buffer_.size() - end_);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Fail(fmt::format("cannot be read: {}", std::strerror(errno)));
      if (got == 0) at_end_ = true;
      end_ += static_cast<size_t>(got);
    }
    return {};
  }

  [[nodiscard]] std::string_view bytes() const { return {buffer_.data() + begin_, end_ - begin_}; }
  void Consume(size_t count) { begin_ += count; }

 private:
  int fd_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool at_end_ = false;
};

// What one call of a decompressor did.
struct Inflated {
  size_t consumed = 0;
  size_t produced = 0;
  bool complete = false;  // a gzip member or zstd frame ended here; another may follow
};

class Gzip {
 public:
  static constexpr const char* kName = "gzip";

  Gzip() {
    constexpr int kLargestWindowWithGzipHeader = 15 + 16;
    if (inflateInit2(&stream_, kLargestWindowWithGzipHeader) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() { inflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  Result<Inflated> Run(std::string_view in, char* out, size_t size) {
    // zlib does not write to its input, though its type says so.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(size);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    const Inflated done{in.size() - stream_.avail_in, size - stream_.avail_out,
                        code == Z_STREAM_END};
    if (code == Z_STREAM_END) inflateReset(&stream_);
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR) return done;
    if (code == Z_MEM_ERROR) throw std::bad_alloc();
    return Fail(stream_.msg != nullptr ? stream_.msg : "unknown error");
  }

 private:
  z_stream stream_{};
};

class Zstd {
 public:
  static constexpr const char* kName = "zstd";

  Zstd() : stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
  }
  ~Zstd() { ZSTD_freeDStream(stream_); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;

  Result<Inflated> Run(std::string_view in, char* out, size_t size) {
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    ZSTD_outBuffer output{out, size, 0};
    const size_t code = ZSTD_decompressStream(stream_, &output, &input);
    if (ZSTD_isError(code) != 0) return Fail(ZSTD_getErrorName(code));
    return Inflated{input.pos, output.pos, code == 0};
  }

 private:
  ZSTD_DStream* stream_;
};

bool IsGzip(std::string_view head) { return head.starts_with("\x1f\x8b"); }

bool IsZstd(std::string_view head) {
  // A frame, or one to be skipped (as some parallel compressors put first).
  return head.starts_with("\x28\xb5\x2f\xfd") ||
         (head.size() >= 4 && (head[0] & 0xf0) == 0x50 && head.substr(1, 3) == "\x2a\x4d\x18");
}

}  // namespace

class JsonLinesReader::Impl {
 public:
  Impl(std::string name, int fd) : name_(std::move(name)), raw_(fd), buffer_(kBufferBytes) {}

  Status Start() {
    if (Status filled = raw_.Fill(4); !filled)
      return Fail(fmt::format("{} {}", name_, filled.error().message));
    if (IsGzip(raw_.bytes())) gzip_.emplace();
    if (IsZstd(raw_.bytes())) zstd_.emplace();
    return {};
  }

  Result<bool> Next(std::string_view* line) {
    while (!failure_) {
      if (!NextPiece(line)) {
        if (!failure_) return false;
      } else if (line->find_first_not_of(" \t") != std::string_view::npos) {
        return true;
      }
    }
    return std::unexpected(*failure_);
  }

  [[nodiscard]] int64_t line_number() const { return line_number_; }
  [[nodiscard]] std::string PlaceText() const { return fmt::format("{}:{}", name_, line_number_); }

 private:
  [[nodiscard]] std::string_view Buffered() const {
    return {buffer_.data() + begin_, end_ - begin_};
  }

  // The next line, blank or not. False: the end, or failure_.
  bool NextPiece(std::string_view* line) {
    if (in_long_line_ && !SkipLongLine()) return false;
    size_t searched = 0;
    while (true) {
      const size_t newline = Buffered().find('\n', searched);
      if (newline != std::string_view::npos) return Take(newline, newline + 1, line);
      searched = Buffered().size();
      if (searched > kLineBytesMax) {  // one more than counts: it may be the CR of a CRLF
        in_long_line_ = true;
        return Take(searched, searched, line);
      }
      if (!More()) {
        if (failure_ || searched == 0) return false;
        return Take(searched, searched, line);
      }
    }
  }

  bool Take(size_t size, size_t with_end, std::string_view* line) {
    *line = Buffered().substr(0, size);
    if (line->ends_with('\r') && !in_long_line_) line->remove_suffix(1);
    *line = line->substr(0, kLineBytesMax);
    begin_ += with_end;
    ++line_number_;
    return true;
  }

  bool SkipLongLine() {
    while (true) {
      const size_t newline = Buffered().find('\n');
      if (newline != std::string_view::npos) {
        begin_ += newline + 1;
        in_long_line_ = false;
        return true;
      }
      begin_ = end_;
      if (!More()) return false;
    }
  }

  // Appends to the buffer. False: the end, or failure_.
  bool More() {
    if (buffer_.size() - end_ < kRawBytes) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    const Result<size_t> got = gzip_   ? Decompress(*gzip_)
                               : zstd_ ? Decompress(*zstd_)
                                       : CopyPlain();
    if (!got) {
      const int64_t at = line_number_ + (in_long_line_ ? 0 : 1);
      failure_ = Error{fmt::format("{}:{}: {}", name_, at, got.error().message)};
      return false;
    }
    end_ += *got;
    return *got > 0;
  }

  Result<size_t> CopyPlain() {
    if (Status filled = raw_.Fill(1); !filled) return std::unexpected(filled.error());
    const size_t count = raw_.bytes().copy(buffer_.data() + end_, buffer_.size() - end_);
    raw_.Consume(count);
    return count;
  }

  template <typename Decompressor>
  Result<size_t> Decompress(Decompressor& decompressor) {
    while (true) {
      if (Status filled = raw_.Fill(1); !filled) return std::unexpected(filled.error());
      const bool no_more_input = raw_.bytes().empty();
      if (no_more_input && between_frames_) return size_t{0};
      const Result<Inflated> done =
          decompressor.Run(raw_.bytes(), buffer_.data() + end_, buffer_.size() - end_);
      if (!done)
        return Fail(
            fmt::format("the {} data is corrupt: {}", Decompressor::kName, done.error().message));
      raw_.Consume(done->consumed);
      between_frames_ = done->complete;
      if (done->produced > 0) return done->produced;
      if (no_more_input && !done->complete) {
        return Fail(
            fmt::format("the {} data ends too early: the file is incomplete", Decompressor::kName));
      }
    }
  }

  const std::string name_;
  RawInput raw_;
  std::optional<Gzip> gzip_;
  std::optional<Zstd> zstd_;
  bool between_frames_ = false;  // the compressed data may end here
  std::vector<char> buffer_;     // [begin_, end_): text not yet given out
  size_t begin_ = 0;
  size_t end_ = 0;
  bool in_long_line_ = false;  // its beginning has been given out
  int64_t line_number_ = 0;
  std::optional<Error> failure_;
};

Result<JsonLinesReader> JsonLinesReader::Open(const std::string& path) {
  const bool is_stdin = path == "-";
  const int fd = is_stdin ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  auto impl = std::make_unique<Impl>(is_stdin ? "stdin" : path, fd);
  if (Status started = impl->Start(); !started) return std::unexpected(started.error());
  return JsonLinesReader(std::move(impl));
}

JsonLinesReader::JsonLinesReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
JsonLinesReader::JsonLinesReader(JsonLinesReader&&) noexcept = default;
JsonLinesReader& JsonLinesReader::operator=(JsonLinesReader&&) noexcept = default;
JsonLinesReader::~JsonLinesReader() = default;

Result<bool> JsonLinesReader::Next(std::string_view* line) { return impl_->Next(line); }
int64_t JsonLinesReader::line_number() const { return impl_->line_number(); }
std::string JsonLinesReader::PlaceText() const { return impl_->PlaceText(); }

}  // namespace heartbeatd
