#include "event/json_lines.h"

#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "catch.h"
#include "event/event.h"

using namespace heartbeatd;

namespace {

// A file that goes with the test.
class TempFile {
 public:
  explicit TempFile(std::string_view content) {
    std::string name =
        (std::filesystem::temp_directory_path() / "heartbeatd-lines-XXXXXX").string();
    const int fd = mkstemp(name.data());
    REQUIRE(fd >= 0);
    close(fd);
    path_ = name;
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TempFile() { std::filesystem::remove(path_); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string Gzip(std::string_view text) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(std::string_view text) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const size_t size = ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size());
  REQUIRE(ZSTD_isError(size) == 0);
  out.resize(size);
  ZSTD_freeCCtx(context);
  return out;
}

struct Read {
  std::vector<std::string> lines;
  std::vector<int64_t> numbers;
  std::string error;
};

Read ReadAll(const std::string& path) {
  Read read;
  auto reader = JsonLinesReader::Open(path);
  if (!reader) {
    read.error = reader.error().message;
    return read;
  }
  std::string_view line;
  while (true) {
    const Result<bool> more = reader->Next(&line);
    if (!more) {
      read.error = more.error().message;
      CHECK(reader->Next(&line).error().message == read.error);  // errors are final
      return read;
    }
    if (!*more) {
      CHECK(*reader->Next(&line) == false);
      return read;
    }
    read.lines.emplace_back(line);
    read.numbers.push_back(reader->line_number());
  }
}

Read ReadText(std::string_view content) { return ReadAll(TempFile(content).path()); }

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("json lines: line ends") {
  struct Row {
    const char* text;
    Lines lines;
    std::vector<int64_t> numbers;
  };
  const Row row = GENERATE(values<Row>({
      {"", {}, {}},
      {"\n", {}, {}},
      {"a\nb\n", {"a", "b"}, {1, 2}},
      {"a\nb", {"a", "b"}, {1, 2}},
      {"a\r\nb\r\n", {"a", "b"}, {1, 2}},
      {"a\r\nb\r", {"a", "b"}, {1, 2}},
      {"\n\na\n \t\r\n\nb\n\n", {"a", "b"}, {3, 6}},
      {" a \n", {" a "}, {1}},
      {"a\rb\n", {"a\rb"}, {1}},
      {"x", {"x"}, {1}},
      {"\r\n\r\n", {}, {}},
  }));
  CAPTURE(row.text);
  for (const std::string& content : {std::string(row.text), Gzip(row.text), Zstd(row.text)}) {
    const Read read = ReadText(content);
    CHECK(read.lines == row.lines);
    CHECK(read.numbers == row.numbers);
    CHECK(read.error.empty());
  }
}

TEST_CASE(
    "json lines: a line that is too long is cut so that a decoder refuses it, and the next one is "
    "whole") {
  const size_t size =
      GENERATE(kPayloadBytesMax - 1, kPayloadBytesMax, kPayloadBytesMax + 1, kPayloadBytesMax + 2,
               kPayloadBytesMax + 3, size_t{600'000}, size_t{5'000'000});
  const std::string end = GENERATE("\n", "\r\n");
  CAPTURE(size, end);
  const std::string text =
      "first" + end + std::string(size, 'x') + end + "next" + end + std::string(size, 'y');
  for (const std::string& content : {text, Gzip(text), Zstd(text)}) {
    const Read read = ReadText(content);
    REQUIRE(read.lines.size() == 4);
    CHECK(read.lines[0] == "first");
    CHECK(read.lines[1].size() == std::min(size, kPayloadBytesMax + 1));
    CHECK(read.lines[1].find_first_not_of('x') == std::string::npos);
    CHECK(read.lines[2] == "next");
    CHECK(read.lines[3].size() == std::min(size, kPayloadBytesMax + 1));
    CHECK(read.numbers == std::vector<int64_t>{1, 2, 3, 4});
    CHECK(read.error.empty());
  }
}

TEST_CASE("json lines: the longest line, wherever it lies in the pieces that are read") {
  // Among them: CR is the last byte of a piece, and LF the first of the next.
  for (size_t before = 65'530; before < 65'540; ++before) {
    const std::string longest(kPayloadBytesMax, 'x');
    const Read read = ReadText(std::string(before, 'a') + "\n" + longest + "\r\nnext");
    CAPTURE(before);
    REQUIRE(read.lines.size() == 3);
    CHECK(read.lines[1] == longest);
    CHECK(read.lines[2] == "next");
  }
}

TEST_CASE("json lines: any lines, in pieces of any size") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    Lines lines;
    std::string text;
    std::string gzip;
    std::string zstd;
    size_t packed = 0;
    const auto pack = [&] {
      gzip += Gzip(std::string_view(text).substr(packed));
      zstd += Zstd(std::string_view(text).substr(packed));
      packed = text.size();
    };
    for (uint64_t n = random() % 300; n > 0; --n) {
      std::string line;
      for (uint64_t size = random() % 50 == 0 ? random() % 200'000 : random() % 300; size > 0;
           --size) {
        line += static_cast<char>('!' + random() % 90);
      }
      text += line + (random() % 2 == 0 ? "\n" : "\r\n");
      if (!line.empty()) lines.push_back(std::move(line));
      if (random() % 20 == 0) pack();  // another member or frame, sometimes an empty one
    }
    pack();
    for (const std::string& content : {text, gzip, zstd}) {
      const Read read = ReadText(content);
      REQUIRE(read.error.empty());
      REQUIRE(read.lines == lines);
    }
  }
}

TEST_CASE("json lines: a zstd frame to be skipped may come first") {
  const std::string skipped("\x50\x2a\x4d\x18\x04\x00\x00\x00none", 12);
  const Read read = ReadText(skipped + Zstd("a\nb\n"));
  CHECK(read.lines == Lines{"a", "b"});
  CHECK(read.error.empty());
}

TEST_CASE("json lines: compressed data that is cut off is an error, wherever it is cut") {
  std::string text;
  for (int i = 0; i < 40; ++i) text += std::to_string(i * 7919 % 1000) + "\n";
  const bool gzip = GENERATE(true, false);
  CAPTURE(gzip);
  const std::string whole = gzip ? Gzip(text) : Zstd(text);
  const size_t lines = ReadText(whole).lines.size();
  CHECK(lines == 40);
  for (size_t size = gzip ? 2 : 4; size < whole.size(); ++size) {
    const TempFile file(whole.substr(0, size));
    const Read read = ReadAll(file.path());
    if (read.error.find("ends too early") == std::string::npos)
      FAIL("cut after " << size << " bytes: " << read.error);
    const std::string place = file.path() + ":" + std::to_string(read.lines.size() + 1) + ": ";
    if (!read.error.starts_with(place)) FAIL(read.error << " does not start with " << place);
    for (size_t i = 0; i < read.lines.size(); ++i) {
      if (read.lines[i] != std::to_string(i * 7919 % 1000))
        FAIL("half a line was given out: " << read.lines[i]);
    }
    // And cut inside of a second member or frame.
    const Read second = ReadText(whole + whole.substr(0, size));
    if (second.error.empty() || second.lines.size() < lines)
      FAIL("a second part cut after " << size << " bytes");
  }
}

TEST_CASE("json lines: corrupt compressed data is an error") {
  std::string text;
  for (int i = 0; i < 400; ++i) text += std::to_string(i * 7919 % 1000) + "\n";
  const bool gzip = GENERATE(true, false);
  CAPTURE(gzip);
  const std::string whole = gzip ? Gzip(text) : Zstd(text);
  const Lines lines = ReadText(whole).lines;
  for (size_t at = 4; at < whole.size(); ++at) {
    std::string broken = whole;
    broken[at] = static_cast<char>(broken[at] ^ 0x10);
    const Read read = ReadText(broken);
    // A few header bits (gzip: time, system) mean nothing.
    if (read.error.empty() && read.lines != lines)
      FAIL("byte " << at << " changes the lines without an error");
  }
  CHECK(ReadText(whole + "garbage").error.find("corrupt") != std::string::npos);
  CHECK(ReadText(whole + "garbage").lines == lines);
}

TEST_CASE("json lines: what cannot be read says so and names the file") {
  CHECK(ReadAll("/nonexistent/events.jsonl").error ==
        "cannot open /nonexistent/events.jsonl: No such file or directory");
  const std::string directory = std::filesystem::temp_directory_path().string();
  CHECK(ReadAll(directory).error == directory + " cannot be read: Is a directory");
}

TEST_CASE("json lines: standard input") {
  const std::string text = "a\nb\nc";
  const std::string content = GENERATE_COPY(std::string(text), Gzip(text), Zstd(text));
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const int saved = dup(STDIN_FILENO);
  REQUIRE(write(ends[1], content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  close(ends[1]);
  dup2(ends[0], STDIN_FILENO);
  close(ends[0]);
  const Read read = ReadAll("-");
  dup2(saved, STDIN_FILENO);
  close(saved);
  CHECK(read.lines == Lines{"a", "b", "c"});
  CHECK(read.error.empty());
}

TEST_CASE("json lines: a place for messages about a line, and moving a reader") {
  const TempFile file("a\n\nb\n");
  auto opened = JsonLinesReader::Open(file.path());
  REQUIRE(opened);
  JsonLinesReader reader = std::move(*opened);
  std::string_view line;
  REQUIRE(*reader.Next(&line));
  CHECK(reader.PlaceText() == file.path() + ":1");
  REQUIRE(*reader.Next(&line));
  CHECK(reader.PlaceText() == file.path() + ":3");
}
