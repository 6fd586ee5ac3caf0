"""Corpora and checkpoints in pieces, for transport: a tar cut into files of a size, with hashes, and back.

Without rvq the same is `cat NAME.tar.* | tar x`.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from rvqcodec import files
from rvqcodec.errors import RvqError

LIST = ".pieces.json"
BUFFER = 1 << 20
LARGEST_LIST = 16 << 20


@dataclass(frozen=True)
class Piece:
    """One file of a packed whole."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Packed:
    """What NAME.pieces.json says: the tar's size and hash, and its pieces in order."""

    name: str
    size: int
    sha256: str
    pieces: tuple[Piece, ...]


class _Cutter(io.RawIOBase):
    """A file to write into that fills pieces one after the other."""

    def __init__(self, folder: Path, name: str, limit: int) -> None:
        super().__init__()
        self.folder, self.stem, self.limit = folder, name, limit
        self.whole = hashlib.sha256()
        self.size = 0
        self.pieces: list[Piece] = []
        self._file: IO[bytes] | None = None
        self._hash = hashlib.sha256()
        self._filled = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            if self._file is None:
                path = self.folder / f"{self.stem}.tar.{len(self.pieces):04}"
                self._file, self._hash, self._filled = path.open("wb"), hashlib.sha256(), 0
            part = view[done : done + self.limit - self._filled]
            self._file.write(part)
            self._hash.update(part)
            self.whole.update(part)
            self._filled += len(part)
            done += len(part)
            if self._filled == self.limit:
                self.end_piece()
        self.size += done
        return done

    def end_piece(self) -> None:
        """Close the piece that is open, if one is."""
        if self._file is not None:
            self._file.close()
            name = f"{self.stem}.tar.{len(self.pieces):04}"
            self.pieces.append(Piece(name, self._filled, self._hash.hexdigest()))
            self._file = None


def pack(source: Path, folder: Path, piece: int) -> Path:
    """A file or a folder -> NAME.tar.0000, ... of at most `piece` bytes, and NAME.pieces.json, whose path comes back.

    The same content gives the same bytes: names sorted, no times, no owners. Nothing is left when it fails.
    """
    if not source.exists():
        raise RvqError(f"{source}: no such file or folder")
    if piece < 1:
        raise RvqError(f"pieces of {piece} bytes: must be at least 1")
    source = source.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / (source.name + LIST)
    if listing.exists() or any(folder.glob(f"{source.name}.tar.*")):
        raise RvqError(f"{listing}: was packed there before; remove it with its pieces, or choose another folder")
    paths, room = _tree(source), folder / f".{source.name}.packing"
    shutil.rmtree(room, ignore_errors=True)  # of a run that was killed
    with files.folder_for_now(room):
        out = _Cutter(room, source.name, piece)
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, dereference=True) as tar:
            for path in paths:
                name = PurePosixPath(source.name, path.relative_to(source).as_posix())
                tar.add(path, str(name), recursive=False, filter=_plain)
        out.end_piece()
        packed = Packed(source.name, out.size, out.whole.hexdigest(), tuple(out.pieces))
        for made in out.pieces:
            os.rename(room / made.name, folder / made.name)
        with files.replacing(listing) as file:
            file.write((json.dumps(asdict(packed), indent=1) + "\n").encode())
    return listing


def _tree(source: Path) -> list[Path]:
    """A file or folder and all below it, sorted. RvqError, OSError for what cannot be packed: nothing is left out."""

    def fail(error: OSError) -> None:
        raise error

    found = [source]
    for root, folders, names in os.walk(source, onerror=fail) if source.is_dir() else ():
        found += (Path(root, name) for name in (*folders, *names))
    for path in found:
        if path.is_symlink() and path.is_dir():
            raise RvqError(f"{path}: a link to a folder, which is not packed; put the folder there, or remove it")
        if not (path.is_dir() or path.is_file()):
            raise RvqError(f"{path}: neither a file nor a folder; remove it")
    return sorted(found)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """A tar entry without anything that depends on the machine. Links were followed before."""
    info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
    info.mode = 0o755 if info.isdir() else 0o644
    return info


def read_list(listing: Path) -> Packed:
    """NAME.pieces.json; RvqError when it is none, or names anything but files beside it."""
    try:
        if listing.stat().st_size > LARGEST_LIST:
            raise ValueError("too large")
        fields = json.loads(listing.read_text(encoding="utf-8"))
        pieces = tuple(Piece(str(p["name"]), int(p["size"]), str(p["sha256"])) for p in fields["pieces"])
        packed = Packed(str(fields["name"]), int(fields["size"]), str(fields["sha256"]), pieces)
    except OSError as error:
        raise RvqError(f"{listing}: {error.strerror}; give the {LIST} file that pack wrote") from error
    except (ValueError, TypeError, KeyError) as error:
        raise RvqError(f"{listing}: no list of pieces ({error})") from error
    for name in (packed.name, *(p.name for p in pieces)):
        if name in ("", ".", "..") or name != os.path.basename(name) or "\\" in name:
            raise RvqError(f"{listing}: names {name!r}, which is no file beside it")
    return packed


def check_pieces(listing: Path, *, shown: Callable[[int, int], None] = lambda done, total: None) -> Packed:
    """Compare every piece and the whole with their hashes; RvqError names the pieces that are wrong or missing."""
    packed = read_list(listing)
    whole, bad, done = hashlib.sha256(), [], 0
    for piece in packed.pieces:
        found, size = hashlib.sha256(), 0
        try:
            for block in _blocks(listing.parent / piece.name):
                found.update(block)
                whole.update(block)
                size += len(block)
        except OSError as error:
            bad.append(f"{piece.name} ({error.strerror})")
            continue
        if (size, found.hexdigest()) != (piece.size, piece.sha256):
            bad.append(f"{piece.name} (altered)")
        done += piece.size
        shown(done, packed.size)
    if bad:
        raise RvqError(f"{listing}: {len(bad)} of {len(packed.pieces)} pieces are wrong; fetch again: {', '.join(bad)}")
    if whole.hexdigest() != packed.sha256:
        raise RvqError(f"{listing}: all pieces are as listed, but not the whole; the list is wrong, pack again")
    return packed


def unpack(listing: Path, folder: Path, *, shown: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Put the pieces together below `folder`, after checking all of them; the path of what was packed comes back.

    Only plain files and folders come out, never outside `folder`; what exists is not overwritten.
    """
    packed = check_pieces(listing, shown=shown)
    target = folder / packed.name
    if target.exists():
        raise RvqError(f"{target}: exists; remove it, or unpack to another folder")
    folder.mkdir(parents=True, exist_ok=True)
    room = folder / f".{packed.name}.unpacking"
    shutil.rmtree(room, ignore_errors=True)  # of a run that was killed
    try:
        with files.folder_for_now(room), tarfile.open(fileobj=_Joined(listing.parent, packed), mode="r|") as tar:
            for info in tar:
                parts = PurePosixPath(info.name).parts
                if ".." in parts or info.name.startswith("/") or parts[:1] != (packed.name,) or "\\" in info.name:
                    raise RvqError(f"{listing}: holds {info.name!r}, outside {packed.name}; refused")
                place = room.joinpath(*parts)
                content = tar.extractfile(info) if info.isfile() else None
                if content is not None:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with content, place.open("wb") as file:
                        shutil.copyfileobj(content, file, BUFFER)
                elif info.isdir():
                    place.mkdir(parents=True, exist_ok=True)
                else:
                    raise RvqError(f"{listing}: holds {info.name!r}, neither a file nor a folder; refused")
            os.replace(room / packed.name, target)
    except tarfile.TarError as error:
        raise RvqError(f"{listing}: the pieces are no tar ({error})") from error
    return target


class _Joined(io.RawIOBase):
    """The pieces as one file to read."""

    def __init__(self, folder: Path, packed: Packed) -> None:
        super().__init__()
        self._blocks = (block for piece in packed.pieces for block in _blocks(folder / piece.name))
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, n: int = -1) -> bytes:
        out = bytearray()
        while n < 0 or len(out) < n:
            self._left = self._left or next(self._blocks, b"")
            if not self._left:
                break
            wanted = len(self._left) if n < 0 else n - len(out)
            out += self._left[:wanted]
            self._left = self._left[wanted:]
        return bytes(out)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BUFFER):
            yield block
