#include "kafka/prober.h"

#include <spdlog/spdlog.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "kafka/offsets.h"

namespace heartbeatd {

struct Prober::Impl {
  struct Watched {
    int watchers = 0;
    std::optional<Answer> answer;
  };

  // Constant after construction.
  const Clock& clock;
  const Duration interval;
  std::shared_ptr<OffsetAsker> asker;
  std::thread thread;

  // Guarded by mutex.
  mutable std::mutex mutex;
  std::condition_variable wake;
  bool stop = false;
  uint64_t round = 0;  // of the newest question sent
  std::map<TopicPartition, Watched> watched;

  Impl(const Clock& the_clock, Duration the_interval, std::shared_ptr<OffsetAsker> the_asker)
      : clock(the_clock), interval(the_interval), asker(std::move(the_asker)) {}

  void Run();
  void Publish(const std::vector<TopicPartition>& of,
               const std::vector<std::optional<int64_t>>& ends, const Answer& asked);
};

void Prober::Impl::Run() {
  bool answered = true;  // so that a silent broker is logged once, not every second
  std::unique_lock lock(mutex);
  while (!wake.wait_for(lock, interval, [this] { return stop; })) {
    asker->Serve();
    std::vector<TopicPartition> of;
    of.reserve(watched.size());
    for (const auto& [at, unused] : watched) of.push_back(at);
    if (of.empty()) continue;

    Answer asked{.round = ++round};
    lock.unlock();
    asked.confirmed.asked = clock.Read();
    const auto ends = asker->Ends(of, kAskTimeout);
    if (ends.has_value() != answered) {
      answered = ends.has_value();
      if (answered) {
        spdlog::info("kafka: the ends of the input partitions are known again");
      } else {
        spdlog::warn("kafka: {}; time stands still until a broker answers", ends.error().message);
      }
    }
    lock.lock();
    if (ends) Publish(of, *ends, asked);
  }
}

// `mutex` is held.
void Prober::Impl::Publish(const std::vector<TopicPartition>& of,
                           const std::vector<std::optional<int64_t>>& ends, const Answer& asked) {
  for (size_t i = 0; i < of.size(); ++i) {
    const auto found = watched.find(of[i]);
    if (found == watched.end() || !ends[i]) continue;
    found->second.answer = asked;
    found->second.answer->confirmed.end = *ends[i];
  }
}

Result<std::shared_ptr<Prober>> Prober::Make(const KafkaOptions& options, const Clock& clock,
                                             Duration interval) {
  auto asker = OffsetAsker::Make(options);
  if (!asker) return std::unexpected(std::move(asker).error());
  std::shared_ptr<Prober> prober(
      new Prober(std::make_unique<Impl>(clock, interval, std::move(*asker))));
  prober->impl_->thread = std::thread([impl = prober->impl_.get()] { impl->Run(); });
  return prober;
}

Prober::Prober(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Prober::~Prober() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
}

uint64_t Prober::Watch(const std::vector<TopicPartition>& partitions) {
  const std::lock_guard lock(impl_->mutex);
  for (const auto& at : partitions) ++impl_->watched[at].watchers;
  return impl_->round + 1;
}

void Prober::Unwatch(const std::vector<TopicPartition>& partitions) {
  const std::lock_guard lock(impl_->mutex);
  for (const auto& at : partitions) {
    const auto found = impl_->watched.find(at);
    if (found != impl_->watched.end() && --found->second.watchers == 0) impl_->watched.erase(found);
  }
}

std::optional<Prober::Answer> Prober::Latest(const TopicPartition& of) const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->watched.find(of);
  return found == impl_->watched.end() ? std::nullopt : found->second.answer;
}

const std::shared_ptr<OffsetAsker>& Prober::asker() const { return impl_->asker; }

}  // namespace heartbeatd
