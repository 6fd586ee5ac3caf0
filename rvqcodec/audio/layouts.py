"""Which loudspeakers the channels of an audio file are for, and in which order it holds them; nothing is decoded.

Sources: WAVE_FORMAT_EXTENSIBLE (Microsoft), the FLAC comment WAVEFORMATEXTENSIBLE_CHANNEL_MASK (RFC 9639, section
8.6.2), Vorbis I section 4.3.9, Opus channel mapping (RFC 7845, section 5.1.1; RFC 8486), the CAF 'chan' and AIFF 'CHAN'
chunks (Apple Core Audio Format 1.0).
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rvqcodec import speakers
from rvqcodec.audio.chunks import CAF, IFF, RIFF, RIFX, W64, ChunkStyle, File, walk
from rvqcodec.errors import AudioError

_MASK_COMMENT = re.compile(rb"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=(?:0x)?([0-9a-f]{1,8})(?![0-9a-f])", re.IGNORECASE)
_MAX_START = 1 << 20  # bytes of an Ogg file that are looked at

# The places of 3 to 8 channels in the order of Vorbis and Opus: the usual ones in another order.
_VORBIS = {
    3: "FL FC FR",
    4: "FL FR BL BR",
    5: "FL FC FR BL BR",
    6: "FL FC FR BL BR LFE",
    7: "FL FC FR SL SR BC LFE",
    8: "FL FC FR SL SR BL BR LFE",
}

# Formats whose 'fmt ' chunk may say a mask.
_MASKED = {b"RIFF": RIFF, b"RIFX": RIFX, b"RF64": RIFF, b"BW64": RIFF, b"riff": W64}

# Surround at the side and behind stand in for one another.
_BESIDE = {4: 9, 5: 10, 9: 4, 10: 5}
_LFE = 3

# Apple's layouts by the upper half of their tags, in Apple's names; those of up to 8 channels that have places.
_APPLE = {
    100: "C", 101: "L R", 102: "L R", 103: "L R", 106: "L R", 108: "L R Ls Rs", 109: "L R Ls Rs C",
    110: "L R Ls Rs C Cs", 111: "L R Ls Rs C Cs Lw Rw", 113: "L R C", 114: "C L R", 115: "L R C Cs", 116: "C L R Cs",
    117: "L R C Ls Rs", 118: "L R Ls Rs C", 119: "L C R Ls Rs", 120: "C L R Ls Rs", 121: "L R C LFE Ls Rs",
    122: "L R Ls Rs C LFE", 123: "L C R Ls Rs LFE", 124: "C L R Ls Rs LFE", 125: "L R C LFE Ls Rs Cs",
    126: "L R C LFE Ls Rs Lc Rc", 127: "C Lc Rc L R Ls Rs LFE", 128: "L R C LFE Ls Rs Rls Rrs",
    129: "L R Ls Rs C LFE Lc Rc", 131: "L R Cs", 132: "L R Ls Rs", 133: "L R LFE", 134: "L R LFE Cs",
    135: "L R LFE Ls Rs", 136: "L R C LFE", 137: "L R C LFE Cs", 138: "L R Ls Rs LFE", 139: "L R Ls Rs C Cs",
    140: "L R Ls Rs C Rls Rrs", 141: "C L R Ls Rs Cs", 142: "C L R Ls Rs Cs LFE", 143: "C L R Ls Rs Rls Rrs",
    144: "C L R Ls Rs Rls Rrs Cs", 148: "L R Ls Rs C Lc Rc", 149: "C LFE", 150: "L C R", 151: "L C R Cs",
    152: "L C R LFE", 153: "L R Cs LFE", 154: "L C R Cs LFE", 155: "L C R Ls Rs Cs", 156: "L C R Ls Rs Rls Rrs",
    157: "L C R Ls Rs LFE Cs", 158: "L C R Ls Rs LFE Ts", 159: "L C R Ls Rs LFE Vhc", 160: "L C R Ls Rs LFE Rls Rrs",
    183: "C L R Ls Rs Rls Rrs LFE", 184: "C L R Ls Rs LFE Vhl Vhr",
}  # fmt: skip
_APPLE_DESCRIPTIONS, _APPLE_BITMAP, _APPLE_DISCRETE, _APPLE_UNKNOWN = 0, 1, 147, 0xFFFF
# Apple's labels 1 to 18 are the bits of the mask, one higher.
_APPLE_LABELS = {
    "L": 1, "R": 2, "C": 3, "LFE": 4, "Ls": 5, "Rs": 6, "Lc": 7, "Rc": 8, "Cs": 9, "Lsd": 10, "Rsd": 11, "Ts": 12,
    "Vhl": 13, "Vhc": 14, "Vhr": 15, "Rls": 33, "Rrs": 34, "Lw": 35, "Rw": 36,
}  # fmt: skip


_LAVF = re.compile(rb"Lavf(\d+)")


@dataclass(frozen=True)
class Layout:
    """`speakers`: the mask, as in `rvqcodec.speakers`; `order`: for each channel in its order, the channel of the file;
    `note`: what the file says and we cannot keep, for the user, or "".
    """

    speakers: int
    order: tuple[int, ...]
    note: str = ""

    @property
    def channels(self) -> int:
        return len(self.order)

    @property
    def name(self) -> str:
        return speakers.name(self.speakers, self.channels)

    @property
    def order_back(self) -> tuple[int, ...]:
        """For each channel of the file, the channel in the order of the mask."""
        return tuple(self.order.index(channel) for channel in range(self.channels))

    def sorted(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [channels, n] as `order` says."""
        return samples if self.order == tuple(range(self.channels)) else samples[list(self.order)]


def unsaid(channels: int, note: str = "") -> Layout:
    """The layout of a file that says none."""
    return Layout(speakers.usual(channels), tuple(range(channels)), note)


def of_mask(mask: int | None, channels: int) -> Layout:
    """The layout of a WAV's or FLAC's channel mask, None where there is none; one that cannot be is told."""
    if mask is None or (not mask and channels <= 2):
        return unsaid(channels)
    if speakers.problem(mask, channels):
        said = f"channel mask {mask:#x} does not go with {channels} channels"
        # Of one or two channels the usual thing is meant: programs write the mask of stereo into mono files.
        return unsaid(channels, f"{said}; taken for {unsaid(channels).name}" if channels > 2 else "")
    return Layout(mask, tuple(range(channels)))


def of_places(places: Sequence[int | None], note: str = "") -> Layout:
    """The layout of channels with these bits, in the order of the file; None for a channel without a place."""
    first = {bit: channel for channel, bit in reversed(list(enumerate(places))) if bit is not None}
    order = [first[bit] for bit in sorted(first)]
    order += [channel for channel in range(len(places)) if channel not in order]
    return Layout(sum(1 << bit for bit in first), tuple(order), note)


def stored(mask: int | None, channels: int, format: str) -> Layout:
    """How a file of `format` (wav, flac, ogg, raw) holds channels of a mask (None: the usual one), and what it cannot
    say of them; the layout's mask is what it says.
    """
    usual = unsaid(channels)
    mask = usual.speakers if mask is None else mask
    if format != "ogg":
        return Layout(mask, usual.order)
    ours, theirs = speakers.places(mask, channels), speakers.places(usual.speakers, channels)
    # By its own place, by the one beside it, then whatever is left: so left and right stay where they are.
    free, found = list(range(channels)), dict[int | None, int]()
    for fits in (lambda a, b: a == b, lambda a, b: a == _BESIDE.get(b), lambda a, b: True):
        for place in theirs:
            channel = next((c for c in free if fits(ours[c], place)), None)
            if place not in found and channel is not None:
                found[place] = channel
                free.remove(channel)
    order = tuple(found[theirs[c]] for c in of_vorbis(channels).order_back)
    note = ""
    if mask != usual.speakers:
        said = speakers.name(mask, channels)
        note = f".ogg and .opus cannot say {said}, so players will take it for {usual.name}; .wav and .flac can"
        low = found.get(_LFE)
        if low is not None and ours[low] != _LFE:
            sound = f"channel {low + 1}" if ours[low] is None else speakers.PLACES[ours[low] or 0]
            note += f". {sound} gets to the LFE, of which they keep low sounds only"
    return Layout(usual.speakers, order, note)


def named(text: str, channels: int, name: str) -> Layout:
    """The layout that a user says the channels of an input have, as they stand there. Errors: AudioError."""
    try:
        places = speakers.parse(text)
    except ValueError as error:
        raise AudioError(str(error)) from None
    if places is not None and len(places) != channels:
        raise AudioError(f"{name}: {channels} channels; layout {text} is of {len(places)}")
    return of_places(places or [None] * channels)


def of_vorbis(channels: int) -> Layout:
    """The layout of Vorbis, and of Opus with mapping family 0 or 1."""
    if channels not in _VORBIS:
        return unsaid(channels)
    return of_places([speakers.PLACES.index(place) for place in _VORBIS[channels].split()])


def read_layout(file: File, channels: int) -> Layout:
    """The layout that a file says, `file` being seekable and left anywhere; the usual one for other formats.

    What is broken counts as not said: whether the audio is sound is not for this function to say.
    """
    file.seek(0)
    start = file.read(16)
    try:
        if start[:4] in _MASKED:
            style = _MASKED[start[:4]]
            return of_mask(mask_of_fmt(_body(file, style, b"fmt "), style.head[0]), channels)
        if start[:4] == b"fLaC":
            return of_mask(_flac_mask(file, 4), channels)
        if start[:4] == b"OggS":
            return _ogg_layout(file, channels)
        if start[:4] == b"caff":
            return apple_layout(_body(file, CAF, b"chan"), channels, _body(file, CAF, b"info"))
        if start[:4] == b"FORM":
            return apple_layout(_body(file, IFF, b"CHAN"), channels)
    except (struct.error, OSError, OverflowError, ValueError):
        pass
    return unsaid(channels)


def mask_of_fmt(body: bytes, order: str = "<") -> int | None:
    """The channel mask in the body of a WAV's 'fmt ' chunk, None where it has none."""
    if len(body) < 24 or struct.unpack_from(order + "H", body)[0] != 0xFFFE:
        return None
    return int(struct.unpack_from(order + "I", body, 20)[0])


def _body(file: File, style: ChunkStyle, name: bytes) -> bytes:
    """The body of the first chunk of that name, b"" where there is none."""
    for chunk, size, _ in walk(file, style):
        if chunk == name:
            return file.read(max(0, min(size, 1 << 16)))
        if size < 0:  # the samples, up to the end
            break
    return b""


def _flac_mask(file: File, position: int) -> int | None:
    while True:
        file.seek(position)
        head = file.read(4)
        if len(head) < 4:
            return None
        size = int.from_bytes(head[1:], "big")
        if head[0] & 0x7F == 4:
            return _mask_in(file.read(size))
        if head[0] & 0x80:
            return None
        position += 4 + size


def _mask_in(comments: bytes) -> int | None:
    found = _MASK_COMMENT.search(comments)
    return int(found[1], 16) if found else None


def _ogg_layout(file: File, channels: int) -> Layout:
    file.seek(0)
    page = file.read(_MAX_START)
    packet = page[27 + sum(page[26:27]) :]
    if packet.startswith(b"\x7fFLAC"):
        return of_mask(_mask_in(page), channels)
    family = packet[18] if packet.startswith(b"OpusHead") and len(packet) > 18 else 0
    if family > 1 and channels > 2:
        return of_places([None] * channels, "ambisonics, kept as channels without places" if family in (2, 3) else "")
    return of_vorbis(channels)


def apple_layout(body: bytes, channels: int, info: bytes = b"") -> Layout:
    """What the body of a CAF's 'chan' or an AIFF's 'CHAN' chunk says, b"" for none.

    info: the body of a CAF's 'info' chunk, where the program that wrote it may stand.
    """
    try:
        return _apple_layout(body, channels, info)
    except struct.error:
        return unsaid(channels)


def _apple_layout(body: bytes, channels: int, info: bytes) -> Layout:
    if not body:
        return unsaid(channels)
    tag, bitmap, count = struct.unpack_from(">III", body)
    kind = tag >> 16
    if tag == _APPLE_DESCRIPTIONS:
        labels = [struct.unpack_from(">I", body, 12 + 20 * i)[0] for i in range(min(count, channels))]
    elif kind == _APPLE_BITMAP:
        return of_mask(bitmap, channels)
    elif kind in _APPLE:
        labels = [_APPLE_LABELS[name] for name in _APPLE[kind].split()]
    elif kind == _APPLE_UNKNOWN:
        return unsaid(channels)
    else:
        labels = []
    if len(labels) == channels:
        places = [_apple_place(label, labels) for label in labels]
        writer = _LAVF.search(info)
        if kind in (126, 128) and writer and int(writer[1]) < 61:
            return of_mask(0x6CF if kind == 126 else 0x63F, channels)  # before ffmpeg 7 these did not change the order
        return of_places(places) if channels > 2 or any(bit is not None for bit in places) else unsaid(channels)
    if kind == _APPLE_DISCRETE and channels > 2:
        return of_places([None] * channels)
    return unsaid(channels, f"channel layout {kind} of Core Audio is unknown; taken for {unsaid(channels).name}")


def _apple_place(label: int, labels: Sequence[int]) -> int | None:
    """The bit of a label; surround stands at the side where others stand behind it."""
    if label in (33, 34):
        return label - 29
    if label in (5, 6) and 33 in labels:
        return label + 4
    return {42: 2, 38: 0, 39: 1, 301: 0, 302: 1}.get(label, label - 1 if 1 <= label <= 18 else None)
