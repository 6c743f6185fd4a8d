#!/usr/bin/python3
"""The Kafka jars: where they are, and how they get there.

    jars.py fetch    make sure that they are there and intact; print their folder
    jars.py pin      fetch, then write jars.sha256 anew (after a version in pom.xml changed)

The folder is build/kafka/VERSION, or whatever HEARTBEATD_KAFKA_HOME names. Its content is compared with jars.sha256
each time (45 files, about 60 ms), so a half-copied or altered folder is noticed and fetched again.
"""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import processes

HERE = pathlib.Path(__file__).resolve().parent
ROOT = processes.ROOT
POM = HERE / "pom.xml"
PINS = HERE / "jars.sha256"
FETCH_SECONDS_MAX = 600

# EX_TEMPFAIL: the caller may go on without a broker, as `./dev test` does on a machine without a network.
EXIT_UNAVAILABLE = 75


class JarsUnavailable(Exception):
    """The jars are neither here nor to be had; the message names the cure."""


def version():
    return re.search(r"<kafka\.version>(.*?)</kafka\.version>", POM.read_text()).group(1)


def home():
    """The folder of the jars, whether or not they are there yet."""
    given = os.environ.get("HEARTBEATD_KAFKA_HOME")
    return pathlib.Path(given) if given else ROOT / "build" / "kafka" / version()


def digests(folder):
    return {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in sorted(folder.glob("*.jar"))}


def pins():
    rows = (line.split() for line in PINS.read_text().splitlines() if line.strip())
    return {name: digest for digest, name in rows}


def copy_with_maven(target):
    if not shutil.which("mvn"):
        raise JarsUnavailable("maven is not installed: run ./dev setup")
    command = ["mvn", "-q", "-B", "--strict-checksums", "-f", str(POM), "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies",
               "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=FETCH_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise JarsUnavailable(f"maven did not finish within {FETCH_SECONDS_MAX} s: check the network, then try again")
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        print("\n".join(errors[:3]), file=sys.stderr)
        raise JarsUnavailable("maven could not fetch the Kafka jars: check the network (or the proxy in maven's settings), "
                              "or name a folder that holds them in HEARTBEATD_KAFKA_HOME")


def fetch(verify=True):
    """Returns the folder of the jars, complete and verified. Raises JarsUnavailable."""
    folder = home()
    if folder.is_dir() and (not verify or digests(folder) == pins()):
        return folder
    if os.environ.get("HEARTBEATD_KAFKA_HOME"):
        raise JarsUnavailable(f"{folder} (from HEARTBEATD_KAFKA_HOME) does not hold the jars that jars.sha256 lists: "
                              "unset it to have them fetched")
    print(f"Fetching the Kafka {version()} jars (43 MB, once) ...", file=sys.stderr, flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename is atomic: whoever sees the folder sees all of it.
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder.parent))
    try:
        copy_with_maven(temporary)
        if verify and digests(temporary) != pins():
            raise JarsUnavailable("the fetched jars differ from test/broker/jars.sha256: if pom.xml was changed on purpose, "
                                  "run test/broker/jars.py pin; if not, do not trust them")
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def pin():
    shutil.rmtree(home(), ignore_errors=True)
    folder = fetch(verify=False)
    PINS.write_text("".join(f"{digest}  {name}\n" for name, digest in digests(folder).items()))
    return folder


def main(arguments):
    if arguments not in (["fetch"], ["pin"]):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        print(fetch() if arguments == ["fetch"] else pin())
    except JarsUnavailable as error:
        print(error, file=sys.stderr)
        return EXIT_UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
