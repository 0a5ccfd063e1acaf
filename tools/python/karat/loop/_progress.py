"""How far a long run is, on a terminal."""

from __future__ import annotations

import sys
import time


def short_time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Progress:
    """One line that is written over, at most twice a second; silent where stderr is no terminal.

    total: pieces of work. `skip` says that a piece was there already, which counts for no time.
    """

    def __init__(self, subject: str, total: int, wanted: bool | None = None):
        self._subject, self._total = subject, max(total, 1)
        self._shown = sys.stderr.isatty() if wanted is None else wanted
        self._done = self._skipped = 0
        self._open = False  # a line that is not left yet
        self._start = self._last = time.monotonic()

    def skip(self, pieces: int = 1) -> None:
        self._skipped += pieces

    def step(self, words: str) -> None:
        """One more piece is done."""
        self._done += 1
        now = time.monotonic()
        left = self._total - self._skipped - self._done
        if not self._shown or (now - self._last < 0.5 and left > 0):
            return
        self._last = now
        remaining = (now - self._start) / self._done * max(left, 0)
        share = 100 * (self._done + self._skipped) // self._total
        line = f"{self._subject}: {words}, {share} %, {short_time(remaining)} left"
        sys.stderr.write("\r" + line[:100].ljust(100) + ("\n" if left <= 0 else ""))
        sys.stderr.flush()
        self._open = left > 0

    def end(self) -> None:
        """Leaves the line."""
        if self._open:
            sys.stderr.write("\n")
        self._open = False
