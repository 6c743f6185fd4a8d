#include "faulty/fault.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "base/fault.h"

namespace heartbeatd::fault {
namespace {

constexpr int kExitKilled = 137;

// NAME:N:K with N and K defaulting to 1.
struct Passages {
  std::string name;
  long first = 1;
  long count = 1;

  static Passages FromEnvironment(const char* variable) {
    const char* const text = std::getenv(variable);
    if (text == nullptr) return {};
    std::string_view rest(text);
    Passages out;
    out.name = rest.substr(0, rest.find(':'));
    rest.remove_prefix(out.name.size());
    char* end = nullptr;
    if (!rest.empty()) out.first = std::strtol(rest.data() + 1, &end, 10);
    if (end != nullptr && *end == ':') out.count = std::strtol(end + 1, nullptr, 10);
    return out;
  }
  [[nodiscard]] bool Contains(std::string_view place, long passage) const {
    return place == name && passage >= first && passage < first + count;
  }
};

class Environment {
 public:
  bool Pass(std::string_view name, bool is_error) {
    const std::lock_guard lock(mutex_);
    const auto [it, is_new] = passages_.try_emplace(std::string(name), 0);
    const long passage = ++it->second;
    if (is_new) Log(name);
    if (is_error) return error_.Contains(name, passage);
    if (!crash_.Contains(name, passage)) return false;
    Log("crash " + std::string(name));
    _exit(kExitKilled);
  }
  [[nodiscard]] const std::string& mutant() const { return mutant_; }

 private:
  void Log(std::string_view line) {
    if (log_.empty()) return;
    const int file = open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0) return;
    const std::string text = std::string(line) + "\n";
    (void)!write(file, text.data(), text.size());
    close(file);
  }
  static std::string Text(const char* variable) {
    const char* const text = std::getenv(variable);
    return text == nullptr ? "" : text;
  }

  const Passages crash_ = Passages::FromEnvironment("HEARTBEATD_CRASH");
  const Passages error_ = Passages::FromEnvironment("HEARTBEATD_ERROR");
  const std::string mutant_ = Text("HEARTBEATD_MUTANT");
  const std::string log_ = Text("HEARTBEATD_FAULT_LOG");
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
    TheEnvironment().Pass(name, false);
  }
}

bool Error(std::string_view name) {
  if (undisturbed > 0) return false;
  return hook ? hook(name) : TheEnvironment().Pass(name, true);
}

Undisturbed::Undisturbed() { ++undisturbed; }
Undisturbed::~Undisturbed() { --undisturbed; }

bool Mutant(std::string_view name) {
  if (undisturbed > 0) return false;
  return (mutant ? *mutant : TheEnvironment().mutant()) == name;
}

}  // namespace heartbeatd::fault
