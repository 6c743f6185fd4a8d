"""The local RocksDB of a daemon that has ended: beside the changelog, and its timer index beside its states."""
import base64

from . import findings, states, values


class Store:
    """One partition of one state directory, as heartbeatd-kit dump-state prints it."""

    def __init__(self):
        self.customers = {}  # name -> (index entry, bytes as in the changelog)
        self.timers = set()  # (due, name)
        self.meta = None  # LocalMeta

    def add(self, kind, key, value):
        if kind == "customer":
            self.customers[key[1:].decode()] = int.from_bytes(value[:8], "little", signed=True), value[8:]
        elif kind == "timer":
            self.timers.add((int.from_bytes(key[1:9], "big") - 2**63, key[9:].decode()))
        elif kind == "meta":
            self.meta = states.messages().LocalMeta.FromString(value)
        else:
            raise ValueError(f"a row of an unknown kind: {key!r}")


def read(rows):
    """{partition: Store} of one dump."""
    stores = {}
    for row in rows:
        store = stores.setdefault(row["partition"], Store())
        store.add(row["kind"], base64.b64decode(row["key_base64"]), base64.b64decode(row["value_base64"]))
    return stores


def is_current(store, partition):
    """Whether it holds what the changelog's last commit left; a killed daemon, or one that lost the partition, is behind. Its
    clock may be ahead: that time has passed is no reason for a commit."""
    if store.meta is None:
        return False
    local, committed = states.messages().Meta(), partition.decoded_meta()
    local.CopyFrom(store.meta.meta)
    local.clock_ms = min(local.clock_ms, committed.clock_ms)
    return local == committed


def compare(number, store, partition):
    """A current store with the changelog."""
    wrong = []
    for name in sorted(store.customers.keys() | partition.customers.keys()):
        if name not in partition.customers:
            wrong.append(f"{name!r} is not in the changelog")
        elif name not in store.customers:
            wrong.append(f"{name!r} is missing")
        elif store.customers[name][1] != partition.customers[name]:
            wrong.append(f"{name!r} is another than in the changelog")
    # It need not replay anything but the shard's own record.
    if not partition.meta_offset <= store.meta.position <= partition.last_offset + 1:
        wrong.append(f"position {store.meta.position}, but the shard's record is at offset {partition.meta_offset}")
    return findings.of("store", f"differences between RocksDB and the changelog in partition {number}", wrong)


def check_timers(number, store, current):
    """Each customer with a deadline has an entry in the index, at the deadline or earlier, and knows where; time has not
    reached the deadline. It may have reached the entry: where the shard has run elsewhere meanwhile, the other's changelog does
    not tell of entries that it has moved. A restore leaves entries behind of which no customer knows; they say nothing.
    Where the store is not current, the last commit may have been cut among deadlines of one time."""
    wrong = []
    reached = int(current)  # in ms
    for name, (indexed, value) in store.customers.items():
        state = states.customer_of(value)
        due = state.due_ms_v1 if state.has_due_v1 else values.NEVER
        if indexed > due:
            wrong.append(f"{name!r} is due {values.show(due)}, but its entry is at {values.show(indexed)}")
        if indexed != values.NEVER and (indexed, name) not in store.timers:
            wrong.append(f"no entry for {name!r} at {values.show(indexed)}")
        if store.meta and due < store.meta.meta.clock_ms + reached:
            wrong.append(f"{name!r} was due {values.show(due)}, and the clock is at {values.show(store.meta.meta.clock_ms)}")
    return findings.of("timer", f"differences between states and timer index in partition {number} of RocksDB", wrong)
