"""./dev bench --quick: what an event costs in figures that do not depend on the machine, against quick.json.

For each rule set: allocations, allocated bytes, changelog bytes and alert bytes an event (bench_per_event), and instructions an
event (the same under callgrind, the difference between two lengths, so that the start does not count). No Kafka, no time.
A figure that is more than 15 % above its baseline fails. `./dev bench --quick --pin` writes the baseline anew.
"""
import json
import os
import pathlib
import platform
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
# glibc, simdjson and OpenSSL choose what to run by what the processor can do. Under valgrind they ask one that valgrind makes up: a
# Haswell of 2013 wherever the real one has AVX2, whoever made it (never AVX-512, never SHA instructions), and older ones elsewhere.
# They are held to less here, to what all of those have, so that it is the same everywhere: glibc to SSE2 (its choice also depends
# on the model, hence the names that are no instructions), simdjson to SSE4.2, OpenSSL's SHA-1 to SSSE3. xxhash does not choose.
# Then the same build counts the same, to the instruction. Another compiler, libc or library does not: the baseline is Debian 12's.
FIXED_PROCESSOR = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=" + ",".join(f"-{name}" for name in (
        "AVX2 AVX FMA BMI1 BMI2 LZCNT MOVBE POPCNT ERMS FSRM RTM XSAVE XSAVEC SSE4_2 SSE4_1 SSSE3 AVX_Fast_Unaligned_Load"
        " Fast_Unaligned_Load Fast_Unaligned_Copy Fast_Rep_String Fast_Copy_Backward Prefer_PMINUB_for_stringop").split()),
    "SIMDJSON_FORCE_IMPLEMENTATION": "westmere",
    "OPENSSL_ia32cap": "0x0000020007000000:0",  # FXSR, SSE, SSE2, SSSE3; and none of the extended features
} if platform.machine() == "x86_64" else {}


class QuickError(Exception):
    """A figure cannot be had; the message says why."""


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=SECONDS_MAX,
                          env={**os.environ, **FIXED_PROCESSOR}, preexec_fn=processes.die_with_parent())
    if done.returncode:
        raise QuickError(f"{pathlib.Path(str(command[0])).name} failed:\n{done.stderr.strip()[-1000:]}")
    return done


def events(tool, number, customers):
    path = FOLDER / f"events-{number}-{customers}.jsonl"
    tool.run("generate", "--file", path, "--events", number, "--customers", customers, "--seed", 1)
    return path


def instructions(tool, configurations):
    # A list of fewer events would spread them over the same time: the longer one is cut instead.
    lines = events(tool, max(INSTRUCTION_EVENTS), INSTRUCTION_CUSTOMERS).read_text().splitlines(keepends=True)
    counts = []
    for number in INSTRUCTION_EVENTS:
        path = FOLDER / f"cut-{number}.jsonl"
        path.write_text("".join(lines[:number]))
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
