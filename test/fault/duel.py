"""Two processes of one application, of which one stands still in the middle of its work until the other has taken over."""
import app as apps
import faults
import stream as streams

SESSION_SECONDS = 1  # the least that the tests' broker allows
TRANSACTION_SECONDS = 10  # the daemon's: by then the coordinator has aborted what a zombie left open
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

    @staticmethod
    def committed(daemon):
        """How many transactions it has committed since its start."""
        return daemon.metrics().total("heartbeatd_commits_total", result="committed")

    def wait_verdict(self):
        """Returns when the transaction in which the zombie stood has ended: whether it was committed. All before it were, and
        some after it may have been by the time we look."""
        apps.wait_for("the end of the zombie's transaction",
                      lambda: self.zombie.metrics().total("heartbeatd_commits_total") >= PASSAGE,
                      TRANSACTION_SECONDS + streams.TAKE_OVER_SECONDS_MAX)
        results = self.zombie.metrics()
        return results.total("heartbeatd_commits_total") == results.total("heartbeatd_commits_total", result="committed")
