"""A small disk of its own for a process: a tmpfs in a mount namespace, which needs no root and goes with its holder."""
import os
import pathlib
import subprocess

import processes


class NoDisk(Exception):
    """This machine does not let us: the message says what failed."""


class SmallDisk:
    """`folder`, an empty one, is such a disk for the commands that `prefix` is put before, and for nobody else."""

    def __init__(self, folder, megabytes):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        as_root = os.geteuid() == 0
        script = 'mount -t tmpfs -o "size=$1m" tmpfs "$0" && echo ready && exec sleep infinity'
        self.holder = subprocess.Popen(
            ["unshare", "--mount", *([] if as_root else ["--map-root-user"]), "sh", "-c", script, str(self.folder), str(megabytes)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=processes.die_with_parent())
        if self.holder.stdout.readline().strip() != "ready":
            raise NoDisk(self.holder.communicate()[1].strip())
        self.prefix = ["nsenter", f"--target={self.holder.pid}", "--mount",
                       *([] if as_root else ["--user", "--preserve-credentials"])]
        self._inside = pathlib.Path(f"/proc/{self.holder.pid}/root{self.folder.resolve()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.holder.kill()
        self.holder.communicate()

    def fill(self):
        """Not a byte is left."""
        with open(self._inside / "ballast", "ab", buffering=0) as ballast:
            for block in (1 << 20, 1 << 12, 1):
                try:
                    while ballast.write(bytes(block)) == block:
                        pass
                except OSError:
                    pass

    def empty(self):
        """Takes back what fill() took."""
        (self._inside / "ballast").unlink()

    def files(self, pattern):
        return list(self._inside.glob(pattern))
