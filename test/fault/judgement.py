"""What every row of the fault suite comes down to: what a subscriber has seen against what should have come."""
import dataclasses

ALERTS_MIN = 100  # fewer would mean little


@dataclasses.dataclass
class Verdict:
    """Counts of one application's alerts; `lines` says more where something is wrong."""

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


def judge(app, *histories):
    """The read_committed alerts of `app`, all of whose input is consumed, against backtests of `histories`: its input in the
    order of the log."""
    expected, found = app.compare(*histories)
    return Verdict(events=sum(history.count for history in histories), alerts=len(expected), missing=len(found.missing), twice=len(found.twice),
                   extra=len(found.extra), other=len(found.other), lines=found.lines())
