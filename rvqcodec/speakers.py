"""Loudspeakers of channels as a mask, the channels in the order of its bits; their names. Imports nothing of ours.

The mask is dwChannelMask of WAVE_FORMAT_EXTENSIBLE: channel c stands at the c-th bit that is set; channels beyond the
last one have no place. Names are those of ffmpeg.
"""

PLACES = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR",
)  # fmt: skip
"""Bit by bit: front left, right, centre, low frequencies, back left, right, left and right of centre, back centre, side
left, right; above the listener the centre, then front and back from left to right."""

USUAL = (0x4, 0x3, 0x7, 0x33, 0x37, 0x3F, 0x70F, 0x63F)
"""For 1 to 8 channels of which nothing is said: the layouts of FLAC (RFC 9639, section 9.1.3)."""

NAMES = {
    "mono": 0x4, "stereo": 0x3, "2.1": 0xB, "3.0": 0x7, "3.0(back)": 0x103, "3.1": 0xF, "4.0": 0x107, "quad": 0x33,
    "quad(side)": 0x603, "4.1": 0x10F, "5.0": 0x37, "5.0(side)": 0x607, "5.1": 0x3F, "5.1(side)": 0x60F, "6.0": 0x707,
    "6.0(front)": 0x6C3, "hexagonal": 0x137, "3.1.2": 0x500F, "6.1": 0x70F, "6.1(back)": 0x13F, "6.1(front)": 0x6CB,
    "7.0": 0x637, "7.0(front)": 0x6C7, "7.1": 0x63F, "7.1(wide)": 0xFF, "7.1(wide-side)": 0x6CF, "octagonal": 0x737,
    "5.1.2": 0x503F, "cube": 0x2D033,
}  # fmt: skip

_BY_MASK = {mask: name for name, mask in NAMES.items()}


def usual(channels: int) -> int:
    """The mask of so many channels, 1 to 8, of which nothing is said."""
    return USUAL[channels - 1]


def places(mask: int, channels: int) -> list[int | None]:
    """The bit of each channel, None for those without a place."""
    bits = [bit for bit in range(mask.bit_length()) if mask >> bit & 1][:channels]
    return [*bits, *[None] * (channels - len(bits))]


def problem(mask: int, channels: int) -> str | None:
    """Why a mask cannot be that of so many channels, or None."""
    if not 0 <= mask < 1 << len(PLACES):
        return f"loudspeakers {mask:#x} are not among the {len(PLACES)} places"
    if mask.bit_count() > channels:
        return f"loudspeakers {mask:#x} are more than {channels} channels"
    return None


def name(mask: int, channels: int) -> str:
    """What people call a layout: "5.1", or its places as FL+FR+TC+-, or "discrete" where no channel has one."""
    if not mask:
        return "discrete"
    if mask.bit_count() == channels and mask in _BY_MASK:
        return _BY_MASK[mask]
    return "+".join("-" if bit is None else PLACES[bit] for bit in places(mask, channels))


def parse(text: str) -> list[int | None] | None:
    """The bits of a layout's name, or of places in any order (FL+FC+FR, - for none); None for "discrete", which any
    number of channels can be. ValueError for what is neither.
    """
    if text.lower() == "discrete":
        return None
    mask = NAMES.get(text.lower())
    if mask is not None:
        return places(mask, mask.bit_count())
    words = text.upper().split("+")
    wrong = [word for word in words if word not in (*PLACES, "-")]
    if wrong:
        raise ValueError(
            f"{text!r} is no layout: give a name ({', '.join(NAMES)}, discrete) or places ({'+'.join(PLACES)})"
        )
    bits = [None if word == "-" else PLACES.index(word) for word in words]
    placed = [bit for bit in bits if bit is not None]
    if len(set(placed)) < len(placed):
        raise ValueError(f"{text!r} names a place twice")
    return bits
