"""What the judge of a daemon's local state takes for wrong."""
import pytest

from verifier import states, stores, values

CLOCK = 1_000_000


def store_of(due, indexed, in_index=True):
    customer = states.messages().Customer(last_seen_ms=CLOCK, due_after_ms=due - CLOCK)
    store = stores.Store()
    store.meta = states.messages().LocalMeta()
    store.meta.meta.clock_ms = CLOCK
    store.customers["c42"] = (indexed, customer.SerializeToString())
    if in_index:
        store.timers.add((indexed, "c42"))
    return store


@pytest.mark.parametrize(("due", "indexed", "in_index", "current", "said"), [
    (CLOCK + 1, CLOCK + 1, True, True, None),
    (CLOCK + 9, CLOCK + 1, True, True, None),  # the deadline has moved back
    (CLOCK + 9, CLOCK - 1, True, True, None),  # and the shard has run elsewhere
    (CLOCK, CLOCK, True, False, None),  # cut among deadlines of one time
    (CLOCK, CLOCK, True, True, "was due"),
    (CLOCK - 1, CLOCK - 1, True, False, "was due"),
    (CLOCK + 1, CLOCK + 2, True, True, "its entry is at"),
    (CLOCK + 1, CLOCK + 1, False, True, "no entry"),
    (CLOCK + 1, values.NEVER, False, True, "its entry is at"),
])
def test_timers(due, indexed, in_index, current, said):
    found = stores.check_timers(3, store_of(due, indexed, in_index), current)
    assert bool(found) == (said is not None)
    assert said is None or said in str(found)
