// How customers get to the store: passes of the write-behind.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/fault.h"
#include "shard/customers.h"
#include "shard/fetch.h"

namespace heartbeatd {
namespace {

// What goes into the store: keys and values. A timer is its time and its customer.
uint64_t BytesIn(const StoreBatch& batch) {
  uint64_t bytes = 0;
  for (const StoreBatch::State& state : batch.states)
    bytes += state.customer.size() + state.bytes.value_or("").size();
  for (const auto* timers : {&batch.timers_removed, &batch.timers_added})
    for (const Timer& timer : *timers) bytes += sizeof(int64_t) + timer.customer.size();
  return bytes;
}

}  // namespace

void CustomerTable::BeginSave(std::string local_meta) {
  if (!pass_) pass_ = std::make_unique<Pass>();
  pass_->local_meta = std::move(local_meta);
  std::vector<Customer*>& customers = pass_->customers;
  customers.erase(customers.begin(), customers.begin() + static_cast<std::ptrdiff_t>(pass_->next));
  pass_->next = 0;
  pass_->waited = false;
  for (std::vector<Customer*>* more : {&pass_->unsettled, &unsaved_}) {
    customers.insert(customers.end(), more->begin(), more->end());
    more->clear();
  }
  // In the order of the keys: neighbours in the batch are neighbours in the memtable, which is what
  // makes inserting them cheap.
  SortById(&customers, &Customer::id);
  pass_->dropped_timers.insert(pass_->dropped_timers.end(), dropped_timers_.begin(),
                               dropped_timers_.end());
  dropped_timers_.clear();
}

// Whoever changes in every transaction is saved as of the one that is made up now.
void CustomerTable::CopyUnsettled() {
  copied_in_ = current_;
  size_t bytes = 0;
  std::erase_if(pass_->unsettled, [&](Customer* customer) {
    if (customer->transaction != current_ || bytes > save_bytes_max_) return false;
    copies_.push_back({customer, customer->indexed, customer->exists, customer->value});
    bytes += customer->value.size();
    customer->copied = true;
    customer->unsaved = false;
    unsaved_bytes_ -= BytesOf(*customer);
    return true;
  });
}

Status CustomerTable::SaveSome() {
  if (!pass_->dropped_timers.empty()) return SaveDroppedTimers();
  if (!copies_.empty() && copied_in_ <= committed_) return SaveCopies();
  StoreBatch batch;
  std::vector<Customer*> in_batch;
  size_t bytes = 0;
  const auto add = [&](Customer* customer) {
    const std::optional<std::string_view> encoded = Encode(customer);
    AddTo(&batch, *customer, customer->indexed,
          encoded ? std::optional<std::string_view>(customer->value) : std::nullopt);
    in_batch.push_back(customer);
    bytes += customer->value.size();
  };
  for (; pass_->next < pass_->customers.size() && bytes <= save_bytes_max_; ++pass_->next) {
    Customer* customer = FetchAhead(pass_->customers, pass_->next, &Customer::value);
    if (IsSettled(*customer)) {
      add(customer);
    } else {
      pass_->unsettled.push_back(customer);
    }
  }
  if (in_batch.empty()) {
    std::erase_if(pass_->unsettled, [&](Customer* customer) {
      if (!IsSettled(*customer)) return false;
      add(customer);
      return true;
    });
  }
  const bool last =
      pass_->next == pass_->customers.size() && pass_->unsettled.empty() && copies_.empty();
  if (in_batch.empty() && !last) return {};
  if (last) batch.local_meta = pass_->local_meta;
  if (Status written = Write(&batch); !written) {
    pass_->unsettled.insert(pass_->unsettled.end(), in_batch.begin(), in_batch.end());
    return written;
  }
  for (Customer* customer : in_batch) {
    customer->saved_index = customer->indexed;
    customer->unsaved = false;
    unsaved_bytes_ -= BytesOf(*customer);
  }
  if (last) EndPass();
  return {};
}

// Entries that a restore has left behind; but not where somebody has come to have his there since.
Status CustomerTable::SaveDroppedTimers() {
  StoreBatch batch;
  for (const Timer& timer : pass_->dropped_timers) {
    const Result<Customer*> found = Lookup(timer.customer);
    if (!found) return std::unexpected(found.error());
    if ((*found)->saved_index != timer.due) batch.timers_removed.push_back(timer);
  }
  if (Status written = Write(&batch); !written) return written;
  pass_->dropped_timers.clear();
  return {};
}

// In a batch of their own: the same customers may be there again, as of later.
Status CustomerTable::SaveCopies() {
  StoreBatch batch;
  for (const Copy& copy : copies_)
    AddTo(&batch, *copy.customer, copy.indexed,
          copy.exists ? std::optional<std::string_view>(copy.value) : std::nullopt);
  if (Status written = Write(&batch); !written) return written;
  for (const Copy& copy : copies_) {
    copy.customer->saved_index = copy.indexed;
    copy.customer->copied = false;
  }
  copies_.clear();
  return {};
}

void CustomerTable::EndPass() {
  pass_.reset();
  timers_.OnSaved();
  // Those whose deadlines have changed meanwhile have them only here.
  for (size_t i = 0; i < unsaved_.size(); ++i) {
    const Customer* customer = FetchAhead(unsaved_, i, &Customer::id);
    if (customer->indexed != customer->saved_index)
      timers_.Add({customer->indexed, std::string(customer->id)});
  }
  Trim();
}

Status CustomerTable::Save(std::string local_meta) {
  BeginSave(std::move(local_meta));
  while (IsSaving()) {
    if (Status saved = SaveSome(); !saved) return saved;
  }
  return {};
}

void CustomerTable::AddTo(StoreBatch* batch, const Customer& customer, EventTime indexed,
                          std::optional<std::string_view> value) {
  batch->states.push_back({customer.id, value});
  if (indexed == customer.saved_index) return;
  if (customer.saved_index != EventTime::Never())
    batch->timers_removed.push_back({customer.saved_index, std::string(customer.id)});
  if (indexed != EventTime::Never())
    batch->timers_added.push_back({indexed, std::string(customer.id)});
}

// A customer's state and timer go in one batch: a timer without its state, or the reverse, would be
// looked for in the wrong place.
Status CustomerTable::Write(StoreBatch* batch) {
  std::sort(batch->timers_removed.begin(), batch->timers_removed.end());
  std::sort(batch->timers_added.begin(), batch->timers_added.end());
  if (HB_FAULT_ERROR("store.write"))
    return Fail("local state: writing: I/O error", ExitCode::kTemporary);
  if (Status done = store_.Write(*batch); !done) return done;
  saved_bytes_ += BytesIn(*batch);
  return {};
}

}  // namespace heartbeatd
