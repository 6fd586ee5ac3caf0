"""What is said about a recording in its file: tags, and a count of what has no place in .rvq."""

from collections import Counter
from dataclasses import dataclass, field

PICTURE = "cover art"
_SHOWN = 8  # kinds that a note names


@dataclass
class Found:
    """`tags` under upper-case Vorbis comment keys; `left_out` counts what is not carried over, by names for people."""

    tags: dict[str, str] = field(default_factory=dict)
    left_out: "Counter[str]" = field(default_factory=Counter)

    def add(self, key: str, text: str) -> None:
        """One more value; those of a repeated key are joined by "; "."""
        key, text = key.upper(), text.strip("\0")
        if text.strip():
            before = self.tags.get(key)
            self.tags[key] = text if before is None or before == text else f"{before}; {text}"

    def merge(self, other: "Found") -> None:
        """Take from another place what this one does not say already."""
        for key, text in other.tags.items():
            self.tags.setdefault(key, text)
        self.left_out.update(other.left_out)

    def notes(self) -> list[str]:
        """A line that counts what is not carried over, or none."""
        if not self.left_out:
            return []
        names = [f"{n} x {name}" if n > 1 else name for name, n in self.left_out.most_common(_SHOWN)]
        more = len(self.left_out) - len(names)
        names += [f"{more} other kinds"] if more else []
        return [f"tags without a place in .rvq were left out: {', '.join(names)}"]


def plural(n: int, what: str) -> str:
    """1 -> "1 page", 2 -> "2 pages"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"
