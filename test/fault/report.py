#!/usr/bin/python3
"""The table at the end of the fault suite: a line for each row, added up over its tests.

    report.py FOLDER      prints what the tests have left there, a file each
"""
import collections
import dataclasses
import json
import pathlib
import re
import sys

COLUMNS = ("row", "fault", "events", "alerts", "missing", "twice", "extra", "extra figure", "seconds", "")
NUMBERS = {"row", "events", "alerts", "missing", "twice", "extra", "seconds"}  # to the right


@dataclasses.dataclass
class Entry:
    """One test's part of a row."""

    row: int
    fault: str
    test: str
    events: int = 0
    alerts: int = 0
    missing: int = 0
    twice: int = 0
    extra: int = 0
    figures: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    passed: bool = False

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.test).strip("-")
        (folder / f"{self.row:02}-{name}.json").write_text(json.dumps(dataclasses.asdict(self)))


def read(folder):
    return [Entry(**json.loads(path.read_text())) for path in sorted(pathlib.Path(folder).glob("*.json"))]


def table(entries):
    """Lines of text."""
    rows = collections.defaultdict(list)
    for entry in entries:
        rows[entry.row].append(entry)
    cells = [COLUMNS]
    for number, parts in sorted(rows.items()):
        added = [str(sum(getattr(part, name) for part in parts)) for name in ("events", "alerts", "missing", "twice", "extra")]
        figures = "; ".join(figure for part in parts for figure in part.figures)
        cells.append((str(number), parts[0].fault, *added, figures, f"{sum(part.seconds for part in parts):.0f}",
                      "" if all(part.passed for part in parts) else "FAILED"))
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    return ["  ".join(cell.rjust(width) if name in NUMBERS else cell.ljust(width)
                      for name, cell, width in zip(COLUMNS, row, widths)).rstrip() for row in cells]


if __name__ == "__main__":
    print("\n".join(table(read(sys.argv[1]))))
