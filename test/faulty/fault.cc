#include "faulty/fault.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fault.h"

namespace heartbeatd::fault {
namespace {

constexpr int kExitKilled = 137;

// NAME:N:K:MS; what is left out is 1.
struct Passages {
  std::string name;
  long first = 1;
  long count = 1;
  long ms = 1;

  [[nodiscard]] bool Contains(std::string_view place, long passage) const {
    return place == name && passage >= first && passage < first + count;
  }
};

std::string Variable(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr ? "" : text;
}

// What stands between this separator.
std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::vector<Passages> PassagesFrom(const char* variable) {
  std::vector<Passages> out;
  for (const std::string& item : Split(Variable(variable), ',')) {
    const std::vector<std::string> parts = Split(item, ':');
    Passages& one = out.emplace_back();
    one.name = parts[0];
    long* const numbers[] = {&one.first, &one.count, &one.ms};
    for (size_t i = 1; i < parts.size() && i <= std::size(numbers); ++i)
      *numbers[i - 1] = std::stol(parts[i]);
  }
  return out;
}

const Passages* Find(const std::vector<Passages>& all, std::string_view name, long passage) {
  for (const Passages& one : all) {
    if (one.Contains(name, passage)) return &one;
  }
  return nullptr;
}

class Environment {
 public:
  bool Fails(std::string_view name) { return Find(errors_, name, Count(name)) != nullptr; }

  void Pass(std::string_view name) {
    const long passage = Count(name);
    if (Find(crashes_, name, passage) != nullptr) {
      Log("crash " + std::string(name));
      _exit(kExitKilled);
    }
    // Not kill(): this thread would go on until another has taken the signal.
    if (Find(stops_, name, passage) != nullptr) std::raise(SIGSTOP);
    if (const Passages* const delay = Find(delays_, name, passage))
      std::this_thread::sleep_for(std::chrono::milliseconds(delay->ms));
  }

  int64_t ClockShiftMs(std::string_view clock) {
    if (clock_shift_.empty()) return 0;
    std::ifstream file(clock_shift_);
    int64_t wall_ms = 0;
    int64_t monotonic_ms = 0;
    file >> wall_ms >> monotonic_ms;
    return clock == "wall" ? wall_ms : monotonic_ms;
  }

  [[nodiscard]] const std::string& mutant() const { return mutant_; }

 private:
  // The number of this passage, from 1.
  long Count(std::string_view name) {
    const std::lock_guard lock(mutex_);
    const auto [it, is_new] = passages_.try_emplace(std::string(name), 0);
    if (is_new) Log(name);
    return ++it->second;
  }

  void Log(std::string_view line) {
    if (log_.empty()) return;
    const int file = open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0) return;
    const std::string text = std::string(line) + "\n";
    (void)!write(file, text.data(), text.size());
    close(file);
  }

  const std::vector<Passages> crashes_ = PassagesFrom("HEARTBEATD_CRASH");
  const std::vector<Passages> stops_ = PassagesFrom("HEARTBEATD_STOP");
  const std::vector<Passages> delays_ = PassagesFrom("HEARTBEATD_DELAY");
  const std::vector<Passages> errors_ = PassagesFrom("HEARTBEATD_ERROR");
  const std::string mutant_ = Variable("HEARTBEATD_MUTANT");
  const std::string clock_shift_ = Variable("HEARTBEATD_CLOCK_SHIFT");
  const std::string log_ = Variable("HEARTBEATD_FAULT_LOG");
  std::mutex mutex_;
  std::map<std::string, long, std::less<>> passages_;
};

Environment& TheEnvironment() {
  static Environment environment;
  return environment;
}

thread_local Hook hook;
thread_local std::optional<std::string> mutant;
thread_local int undisturbed = 0;

}  // namespace

void SetHook(Hook h) { hook = std::move(h); }
void SetMutant(std::string name) { mutant = std::move(name); }

void Point(std::string_view name) {
  if (undisturbed > 0) return;
  if (hook) {
    hook(name);
  } else {
    TheEnvironment().Pass(name);
  }
}

bool Error(std::string_view name) {
  if (undisturbed > 0) return false;
  return hook ? hook(name) : TheEnvironment().Fails(name);
}

int64_t ClockShiftMs(std::string_view clock) { return TheEnvironment().ClockShiftMs(clock); }

Undisturbed::Undisturbed() { ++undisturbed; }
Undisturbed::~Undisturbed() { --undisturbed; }

bool Mutant(std::string_view name) {
  if (undisturbed > 0) return false;
  return (mutant ? *mutant : TheEnvironment().mutant()) == name;
}

}  // namespace heartbeatd::fault
