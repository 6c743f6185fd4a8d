"""The demo's output: lines that scroll, and below them one progress bar that is redrawn. Plain lines without a terminal."""
import shutil
import sys
import time

BAR_WIDTH = 28
REDRAW_SECONDS = 0.1
PLAIN_SECONDS = 3.0


class Screen:
    def __init__(self):
        self._tty = sys.stdout.isatty()
        self._bar = ""
        self._next = 0.0

    def step(self, text):
        """The demo says what it does now."""
        self.line(f"\033[1m==> {text}\033[0m" if self._tty else f"==> {text}")

    def line(self, text=""):
        self._erase()
        print(text, flush=True)
        self._draw()

    def warn(self, text):
        self.line(f"\033[33m{text}\033[0m" if self._tty else text)

    def progress(self, share, text):
        """Cheap to call often: redraws ten times a second, or prints every three seconds without a terminal."""
        now = time.monotonic()
        if now < self._next and share < 1:
            return
        self._next = now + (REDRAW_SECONDS if self._tty else PLAIN_SECONDS)
        filled = int(BAR_WIDTH * min(max(share, 0.0), 1.0))
        bar = f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {int(100 * share):3d}%  {text}"
        if not self._tty:
            print(bar, flush=True)
            return
        self._erase()
        self._bar = bar[:shutil.get_terminal_size().columns - 1]
        self._draw()

    def end_progress(self):
        """Leaves the bar as it stands and goes on below it."""
        if self._bar:
            print(flush=True)
            self._bar = ""
        self._next = 0.0

    def table(self, rows):
        """Two columns."""
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.line(f"  {name:<{width}}  {value}")

    def _erase(self):
        if self._bar:
            sys.stdout.write("\r\033[K")

    def _draw(self):
        if self._bar:
            sys.stdout.write(self._bar)
            sys.stdout.flush()
