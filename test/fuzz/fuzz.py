#!/usr/bin/env python3
"""Runs the fuzz targets for a while each, and says what came of it: ./dev test fuzz [TARGET...]"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BINARIES = ROOT / "build/fuzz/bin"
FOUND = ROOT / "build/fuzz/corpus"  # what earlier runs have found: where the next one begins
FINDINGS = ROOT / "build/fuzz/findings"
CORPUS = HERE / "corpus"

INPUT_SECONDS_MAX = 10  # for one input: more is a finding
MEMORY_MB_MAX = 2048


@dataclass
class Outcome:
    target: str
    ok: bool
    log: Path
    text: str

    def number(self, pattern: str) -> str:
        found = re.findall(pattern, self.text)
        return found[-1] if found else "-"

    def line(self) -> str:
        return (
            f"{self.target:14} {self.number(r'stat::number_of_executed_units: *([0-9]+)'):>10} executions"
            f" {self.number(r'cov: ([0-9]+)'):>6} edges {self.number(r'ft: ([0-9]+)'):>7} features"
            f" {self.number(r'corp: ([0-9]+)'):>5} inputs  {'ok' if self.ok else 'FAILED'}"
        )

    def why(self) -> str:
        summary = self.number(r"(SUMMARY: .*)")
        broken = self.number(r"(\S+: broken: .*)")
        what = broken if broken != "-" else summary
        found = re.findall(r"Test unit written to (\S+)", self.text)
        if not found:
            return f"{self.target}: {what}; see {self.log.relative_to(ROOT)}"
        path = Path(found[-1])
        path = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        return (
            f"{self.target}: {what}\n"
            f"  input:  {path}\n"
            f"  replay: build/fuzz/bin/fuzz_{self.target} {path}\n"
            f"  log:    {self.log.relative_to(ROOT)}"
        )


def options(target: str) -> list[str]:
    dictionary = HERE / f"{target}.dict"
    return [f"-dict={dictionary}"] if dictionary.exists() else []


def fuzz(target: str, seconds: int, seed: str | None) -> Outcome:
    """With a seed: what earlier runs have found is left out, so that runs are alike."""
    if seed:
        with tempfile.TemporaryDirectory() as begun_empty:
            return run(target, seconds, [f"-seed={seed}"], Path(begun_empty))
    (FOUND / target).mkdir(parents=True, exist_ok=True)
    return run(target, seconds, [], FOUND / target)


def run(target: str, seconds: int, drawn_from: list[str], found: Path) -> Outcome:
    FINDINGS.mkdir(parents=True, exist_ok=True)
    log = FINDINGS / f"{target}.log"
    command = [
        BINARIES / f"fuzz_{target}",
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={FINDINGS}/{target}-",
        "-print_final_stats=1",
        *drawn_from,
        *options(target),
        found,
        CORPUS / target,
    ]
    environment = dict(os.environ)
    if symbolizer := shutil.which("llvm-symbolizer-19"):
        environment["ASAN_SYMBOLIZER_PATH"] = symbolizer
    with log.open("wb") as out:
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environment).returncode
    return Outcome(target, code == 0, log, log.read_text(errors="replace"))


def merge(target: str) -> None:
    """The smallest set of inputs that reaches what all known ones reach becomes the repository's corpus."""
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        sources = [p for p in (CORPUS / target, FOUND / target) if p.exists()]
        command = [BINARIES / f"fuzz_{target}", "-merge=1", "-set_cover_merge=1", folder, *sources]
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(CORPUS / target)
        shutil.copytree(folder, CORPUS / target)
    files = list((CORPUS / target).iterdir())
    print(f"{target:14} {len(files)} inputs, {sum(f.stat().st_size for f in files)} bytes")


def main() -> int:
    known = sorted(p.name for p in CORPUS.iterdir())
    parser = argparse.ArgumentParser(prog="./dev test fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--merge", action="store_true", help="no fuzzing: minimise the corpora with what was found")
    arguments = parser.parse_args()
    for target in arguments.targets:
        if target not in known:
            parser.error(f"there is no target '{target}': {', '.join(known)}")
    targets = arguments.targets or known
    if arguments.merge:
        for target in targets:
            merge(target)
        return 0
    seconds = int(os.environ.get("FUZZ_SECONDS", "60"))
    seed = os.environ.get("FUZZ_SEED")
    jobs = int(os.environ.get("JOBS", os.cpu_count() or 1))
    began = time.monotonic()
    drawn = f", seed {seed}" if seed else ""
    print(f"{len(targets)} targets, {seconds} s each, {min(jobs, len(targets))} at a time{drawn}", flush=True)
    outcomes = []
    with ThreadPoolExecutor(jobs) as pool:
        for outcome in pool.map(lambda target: fuzz(target, seconds, seed), targets):
            print(outcome.line(), flush=True)
            outcomes.append(outcome)
    failed = [outcome for outcome in outcomes if not outcome.ok]
    for outcome in failed:
        print(outcome.why())
    print(f"{len(failed)} of {len(outcomes)} targets failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
