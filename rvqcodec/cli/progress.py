"""A progress bar for people who watch."""

import contextlib
import sys
from typing import Any

_shown: "set[Bar]" = set()


def wipe() -> None:
    """Take the bars off the screen, in the middle of anything."""
    for bar in list(_shown):
        with contextlib.suppress(Exception):  # it may be just drawing itself
            bar.close()


class Bar:
    """A progress bar on stderr while it is a terminal and not `quiet`; otherwise nothing."""

    def __init__(self, *, label: str, unit: str, quiet: bool) -> None:
        self._bar: Any = None
        self._shown = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._label, self._unit = label, unit

    def to(self, done: float, total: float | None) -> None:
        """Show that `done` of `total` (None: unknown) is done."""
        if self._shown and self._bar is None:
            from tqdm import tqdm

            unit = self._unit
            left = f"{{percentage:3.0f}}%|{{bar}}| {{n:.0f}}/{{total:.0f}} {unit} [{{elapsed}}<{{remaining}}]"
            shape = f"{{desc}}: {left}" if total else f"{{desc}}: {{n:.0f}} {unit} [{{elapsed}}]"
            self._bar = tqdm(total=total, desc=self._label, bar_format=shape, leave=False)
            _shown.add(self)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar, self._shown = None, False
            _shown.discard(self)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
