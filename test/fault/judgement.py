"""What every row of the fault suite comes down to: what a subscriber has seen against what should have come."""
import dataclasses

ALERTS_MIN = 100  # fewer would mean little


@dataclasses.dataclass
class Verdict:
    """Counts of one application's alerts, by the backtest; `lines` says what is wrong, also by the verifier."""

    events: int
    alerts: int
    missing: int
    twice: int
    extra: int
    other: int  # with another content than they should have
    lines: list

    @property
    def right(self):
        return not self.lines


def judge(app, *histories, whole_log=True):
    """The read_committed alerts of `app`, all of whose input is consumed, against backtests of `histories`: its input in the
    order of the log. And the verifier's word on all topics and on the disks, if the topics still hold all that was on them;
    for that the processes are stopped."""
    expected, found = app.compare(*histories)
    app.stop_all()
    wrong = app.verify(stopped=True) if whole_log else []
    return Verdict(events=sum(history.count for history in histories), alerts=len(expected), missing=len(found.missing),
                   twice=len(found.twice), extra=len(found.extra), other=len(found.other),
                   lines=found.lines() + [f"the verifier: {one}" for one in wrong])
