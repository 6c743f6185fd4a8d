"""./dev bench --quick: what an event costs in figures that do not depend on the machine, against quick.json.

For each rule set: allocations, allocated bytes, changelog bytes and alert bytes an event (bench_per_event), and instructions an
event (the same under callgrind, the difference between two lengths, so that the start does not count). No Kafka, no time.
A figure that is more than 15 % above its baseline fails. `./dev bench --quick --pin` writes the baseline anew.
"""
import json
import pathlib
import re
import shutil
import subprocess

import processes

HERE = pathlib.Path(__file__).resolve().parent
BASELINE = HERE / "quick.json"
FOLDER = processes.ROOT / "build" / "bench-quick"
PROGRAM = processes.build_folder() / "bin" / "bench_per_event"
GROWTH_MAX = 1.15
EVENTS = 100_000
CUSTOMERS = 10_000
# Of customers who have a history by then; callgrind is fifty times slower.
INSTRUCTION_EVENTS = (20_000, 30_000)
INSTRUCTION_CUSTOMERS = 2_000
SECONDS_MAX = 600


class QuickError(Exception):
    """A figure cannot be had; the message says why."""


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=SECONDS_MAX,
                          preexec_fn=processes.die_with_parent())
    if done.returncode:
        raise QuickError(f"{pathlib.Path(str(command[0])).name} failed:\n{done.stderr.strip()[-1000:]}")
    return done


def events(tool, number, customers):
    path = FOLDER / f"events-{number}-{customers}.jsonl"
    tool.run("generate", "--file", path, "--events", number, "--customers", customers, "--seed", 1)
    return path


def instructions(tool, configurations):
    counts = []
    for number in INSTRUCTION_EVENTS:
        # The first events of the longer list are not those of the shorter one, which spreads them over the same time: cut it.
        path = FOLDER / f"cut-{number}.jsonl"
        whole = events(tool, max(INSTRUCTION_EVENTS), INSTRUCTION_CUSTOMERS)
        path.write_text("".join(line + "\n" for line in whole.read_text().splitlines()[:number]))
        done = run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", PROGRAM, path, *configurations])
        counts.append(int(re.search(r"Collected : (\d+)", done.stderr).group(1)))
    return round((counts[1] - counts[0]) / (INSTRUCTION_EVENTS[1] - INSTRUCTION_EVENTS[0]))


def measure(tool, rule_sets):
    path = events(tool, EVENTS, CUSTOMERS)
    figures = {}
    for name, configuration in rule_sets.items():
        told = json.loads(run([PROGRAM, path, configuration]).stdout)
        figures[name] = {key: told[key] for key in ("allocations", "allocated_bytes", "changelog_bytes", "alert_bytes")}
        figures[name]["instructions"] = instructions(tool, [configuration])
    return figures


def compare(figures, baseline):
    """Prints all; returns whether nothing has grown too much."""
    right = True
    for name, row in figures.items():
        for key, value in row.items():
            before = baseline.get(name, {}).get(key)
            growth = value / before if before else float("inf")
            verdict = "" if growth <= GROWTH_MAX else f"  MORE than {GROWTH_MAX - 1:.0%} above the baseline"
            right = right and growth <= GROWTH_MAX
            print(f"  {name:<12} {key:<16} {value:>12,.1f} an event, baseline {before:,.1f}, x {growth:.3f}{verdict}" if before
                  else f"  {name:<12} {key:<16} {value:>12,.1f} an event, no baseline: ./dev bench --quick --pin")
    return right


def main(tool, rule_sets, pin):
    if not shutil.which("valgrind"):
        raise QuickError("valgrind is missing (Debian: valgrind)")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    figures = measure(tool, rule_sets)
    if pin:
        BASELINE.write_text(json.dumps(figures, indent=2) + "\n")
    right = compare(figures, json.loads(BASELINE.read_text()))
    print("quick: nothing has grown" if right else "quick: an event costs more than before: find out why, or pin the new baseline")
    return 0 if right else 1
