"""Two processes of one application, of which one stands still in the middle of its work until the other has taken over."""
import app as apps
import faults
import stream as streams
from verifier import log, states

SESSION_SECONDS = 1  # the least that the tests' broker allows
PASSAGE = 8  # which transaction of the zombie; it is not far into its work then


class Duel:
    """`stops`: the points at which the zombie, one worker, stands still in that transaction, one after the other."""

    def __init__(self, app, history, *stops):
        app.create_inputs()
        self.app = app
        self.stream = streams.Stream(app, history, rate=250)
        self.zombie = faults.start(app, "zombie", faults={"STOP": ",".join(f"{point}:{PASSAGE}" for point in stops)}, workers=1)
        self.heir = app.start("heir")
        apps.wait_for("partitions for both", lambda: all(0 < apps.partitions_of(one) < apps.PARTITIONS and one.ready()
                                                         for one in (self.zombie, self.heir)), streams.TAKE_OVER_SECONDS_MAX)
        self.wait_stopped()

    def wait_stopped(self):
        self.stream.until("the zombie stands still", lambda: faults.stopped(self.zombie))

    def hand_over(self, heir=None):
        """Returns when all partitions run at the heir."""
        heir = heir or self.heir
        self.stream.until("all partitions at the heir", lambda: apps.partitions_of(heir) == apps.PARTITIONS and heir.ready())

    def refused(self):
        """How many transactions of the zombie have not been committed."""
        return sum(self.zombie.metrics().total("heartbeatd_commits_total", result=result)
                   for result in ("fenced", "aborted", "ambiguous"))

    @staticmethod
    def committed(daemon):
        """How many transactions it has committed since its start."""
        return daemon.metrics().total("heartbeatd_commits_total", result="committed")


def shard_records(app, isolation):
    """The shards' own records in the changelog, one of each transaction and partition: {(partition, offset): next offset}."""
    found = {}
    for message in app.kit.dump(app.changelog, isolation):
        if message.get("key") == "m":
            meta = states.messages().Meta.FromString(log.bytes_of(message, "value"))
            found[message["partition"], message["offset"]] = meta.next[0].next_offset
    return found


def zombie_commits(app):
    """How many committed transactions begin before what another had committed before them, and how many were refused."""
    committed = shard_records(app, "read_committed")
    furthest, back = {}, 0
    for (partition, _), next_offset in sorted(committed.items()):
        back += next_offset < furthest.get(partition, 0)
        furthest[partition] = max(furthest.get(partition, 0), next_offset)
    return back, len(shard_records(app, "read_uncommitted").keys() - committed.keys())
