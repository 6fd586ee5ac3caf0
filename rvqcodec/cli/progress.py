"""A progress bar for people who watch."""

import sys
from typing import Any


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
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar, self._shown = None, False

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
