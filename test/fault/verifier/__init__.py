"""An independent verifier of heartbeatd.

It reads what was really put on the input topic, computes from the documents alone which alerts, dead letters and states
must follow, and compares them with what the daemon left behind: the committed alerts, the changelog, the local RocksDB, the
offsets. It shares no code with the daemon and takes the slow and obvious way: every event of a customer is kept, and every
window is counted afresh each time somebody asks.

What is predicted, with `time.source: event`: everything, exactly. With `wall` the clock of a partition is taken from its
committed record (or given), and the prediction holds as far as no event came after the clock had passed it: which events came
late, and so what was judged when, depends on the moment at which each was read and stands in no log. Three refusals depend on
more than the message: `future_timestamp` (the wall clock), `poison` and `state_too_large`; they are believed where the dead
letter says so and the message allows it. Among several input topics the order of messages with one and the same time is open;
here the topic that the configuration names first goes first.

One call: verify(). From the shell, in test/fault: python3 -m verifier --help."""
from .verdict import Evidence, collect, judge, verify, verify_alerts  # noqa: F401
