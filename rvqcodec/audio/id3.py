"""ID3v2 (2.2, 2.3, 2.4), ID3v1 and APEv2 tags under Vorbis comment keys, lenient about what programs wrote wrongly.

Sources: id3.org's "ID3 tag version 2.4.0" (structure, native frames) and its forerunners; the APEv2 specification.
"""

import struct
import zlib
from collections.abc import Iterator

from rvqcodec.audio.found import PICTURE, Found

HEADER = 10  # bytes
_FRAMES = {
    "TIT2": "TITLE", "TPE1": "ARTIST", "TALB": "ALBUM", "TRCK": "TRACKNUMBER", "TPOS": "DISCNUMBER", "TCON": "GENRE",
    "TPE2": "ALBUMARTIST", "TPE3": "CONDUCTOR", "TPE4": "REMIXER", "TCOM": "COMPOSER", "TEXT": "LYRICIST",
    "TCOP": "COPYRIGHT", "TPUB": "ORGANIZATION", "TSRC": "ISRC", "TLAN": "LANGUAGE", "TBPM": "BPM", "TKEY": "KEY",
    "TIT1": "GROUPING", "TIT3": "SUBTITLE", "TMOO": "MOOD", "TMED": "MEDIA", "TCMP": "COMPILATION",
    "TDRC": "DATE", "TYER": "DATE", "TDOR": "ORIGINALDATE", "TORY": "ORIGINALDATE", "TOAL": "ORIGINALALBUM",
    "TOPE": "ORIGINALARTIST", "TOLY": "ORIGINALLYRICIST", "TSST": "DISCSUBTITLE", "TRSN": "RADIOSTATION",
    "TSOT": "TITLESORT", "TSOP": "ARTISTSORT", "TSOA": "ALBUMSORT", "TSO2": "ALBUMARTISTSORT", "TSOC": "COMPOSERSORT",
}  # fmt: skip
_OLD_FRAMES = {
    "TT1": "TIT1", "TT2": "TIT2", "TT3": "TIT3", "TP1": "TPE1", "TP2": "TPE2", "TP3": "TPE3", "TP4": "TPE4",
    "TAL": "TALB", "TRK": "TRCK", "TPA": "TPOS", "TCO": "TCON", "TCM": "TCOM", "TXT": "TEXT", "TCR": "TCOP",
    "TPB": "TPUB", "TRC": "TSRC", "TLA": "TLAN", "TBP": "TBPM", "TKE": "TKEY", "TMT": "TMED", "TCP": "TCMP",
    "TYE": "TYER", "TDA": "TDAT", "TOR": "TORY", "TOT": "TOAL", "TOA": "TOPE", "TXX": "TXXX", "COM": "COMM",
    "ULT": "USLT", "PIC": "APIC", "TST": "TSOT", "TSP": "TSOP", "TSA": "TSOA", "TS2": "TSO2", "TSC": "TSOC",
    "TLE": "TLEN", "TSI": "TSIZ", "TSS": "TSSE", "TEN": "TENC", "TFT": "TFLT", "TIM": "TIME", "TDY": "TDLY",
}  # fmt: skip
# They describe the input's file and encoder, not the recording.
_OF_THE_FILE = frozenset(
    {"TLEN", "TSIZ", "TSSE", "TENC", "TFLT", "TDTG", "TDEN", "TIME", "TDLY", "TOFN", "SEEK", "ASPI", "MLLT"}
)
_APE = {"YEAR": "DATE", "TRACK": "TRACKNUMBER", "DISC": "DISCNUMBER", "ALBUM ARTIST": "ALBUMARTIST"}

_MARKS = ("ÿþ", "þÿ")  # the marks of UTF-16 where the encoding says Latin-1
# The numbered genres of ID3v1, and Winamp's after them.
_GENRES = (
    "Blues", "Classic Rock", "Country", "Dance", "Disco", "Funk", "Grunge", "Hip-Hop", "Jazz", "Metal", "New Age",
    "Oldies", "Other", "Pop", "R&B", "Rap", "Reggae", "Rock", "Techno", "Industrial", "Alternative", "Ska",
    "Death Metal", "Pranks", "Soundtrack", "Euro-Techno", "Ambient", "Trip-Hop", "Vocal", "Jazz+Funk", "Fusion",
    "Trance", "Classical", "Instrumental", "Acid", "House", "Game", "Sound Clip", "Gospel", "Noise", "Alt. Rock",
    "Bass", "Soul", "Punk", "Space", "Meditative", "Instrumental Pop", "Instrumental Rock", "Ethnic", "Gothic",
    "Darkwave", "Techno-Industrial", "Electronic", "Pop-Folk", "Eurodance", "Dream", "Southern Rock", "Comedy",
    "Cult", "Gangsta Rap", "Top 40", "Christian Rap", "Pop/Funk", "Jungle", "Native American", "Cabaret",
    "New Wave", "Psychedelic", "Rave", "Showtunes", "Trailer", "Lo-Fi", "Tribal", "Acid Punk", "Acid Jazz", "Polka",
    "Retro", "Musical", "Rock & Roll", "Hard Rock", "Folk", "Folk-Rock", "National Folk", "Swing", "Fast-Fusion",
    "Bebop", "Latin", "Revival", "Celtic", "Bluegrass", "Avantgarde", "Gothic Rock", "Progressive Rock",
    "Psychedelic Rock", "Symphonic Rock", "Slow Rock", "Big Band", "Chorus", "Easy Listening", "Acoustic", "Humour",
    "Speech", "Chanson", "Opera", "Chamber Music", "Sonata", "Symphony", "Booty Bass", "Primus", "Porn Groove",
    "Satire", "Slow Jam", "Club", "Tango", "Samba", "Folklore", "Ballad", "Power Ballad", "Rhythmic Soul",
    "Freestyle", "Duet", "Punk Rock", "Drum Solo", "A Cappella", "Euro-House", "Dance Hall",
)  # fmt: skip


def id3_size(start: bytes) -> int:
    """Bytes of the ID3v2 tag that begins with these (ten or more are looked at), 0 for none."""
    if start[:3] != b"ID3" or len(start) < HEADER or start[3] == 0xFF or start[4] == 0xFF:
        return 0
    footer = HEADER if start[3] >= 4 and start[5] & 0x10 else 0
    return HEADER + _size(start[6:10]) + footer


def read_id3(tag: bytes) -> Found:
    """What an ID3v2 tag, given whole, says; a broken frame ends the reading."""
    found = Found()
    if not id3_size(tag) or tag[3] not in (2, 3, 4):
        return found
    version, flags = tag[3], tag[5]
    body = tag[HEADER : HEADER + _size(tag[6:10])]
    if flags & 0x80 and version < 4:
        body = _resynchronised(body)
    if version == 2 and flags & 0x40:  # compressed as a whole, in a way that was never defined
        return found
    if flags & 0x40 and len(body) >= 4:
        body = body[_size(body[:4]) if version == 4 else 4 + int.from_bytes(body[:4], "big") :]
    day = ""
    for name, data in _frames(body, version, all_unsynchronised=bool(flags & 0x80)):
        if name == "TDAT":
            day = "".join(_texts(data))
        else:
            _take(name, data, found)
    date = found.tags.get("DATE", "")
    if len(date) == 4 and len(day) == 4 and day.isdigit():
        found.tags["DATE"] = f"{date}-{day[2:]}-{day[:2]}"
    return found


def read_id3v1(tag: bytes) -> Found:
    """What the 128 bytes of an ID3v1 tag say; nothing for other bytes."""
    found = Found()
    if len(tag) != 128 or tag[:3] != b"TAG":
        return found
    for key, start, end in (("TITLE", 3, 33), ("ARTIST", 33, 63), ("ALBUM", 63, 93), ("DATE", 93, 97)):
        found.add(key, _latin(tag[start:end]))
    numbered = tag[125] == 0 and tag[126] != 0
    found.add("COMMENT", _latin(tag[97 : 125 if numbered else 127]))
    if numbered:
        found.add("TRACKNUMBER", str(tag[126]))
    if tag[127] < len(_GENRES):
        found.add("GENRE", _GENRES[tag[127]])
    return found


def ape_size(footer: bytes) -> int:
    """Bytes of the APEv2 tag that ends with these 32, its head counted; 0 for none."""
    if len(footer) != 32 or footer[:8] != b"APETAGEX":
        return 0
    size, _, flags = struct.unpack_from("<III", footer, 12)
    return int(size) + (32 if flags & 0x80000000 else 0)


def read_ape(tag: bytes) -> Found:
    """What an APEv2 tag, given whole, says; a broken item ends the reading."""
    found = Found()
    size = ape_size(tag[-32:])
    if not 32 <= size <= len(tag):
        return found
    items: int = struct.unpack_from("<I", tag, len(tag) - 16)[0]
    position = len(tag) - struct.unpack_from("<I", tag, len(tag) - 20)[0]
    for _ in range(min(items, 1000)):
        end = tag.find(b"\0", position + 8)
        if end < 0 or position + 8 > len(tag) - 32:
            break
        length, flags = struct.unpack_from("<II", tag, position)
        key, value = _latin(tag[position + 8 : end]).upper(), tag[end + 1 : end + 1 + length]
        position = end + 1 + length
        if flags & 6 == 0:
            for text in value.decode("utf-8", "replace").split("\0"):
                found.add(_APE.get(key, key), text)
        else:
            found.left_out[PICTURE if key.startswith("COVER ART") else key] += 1
    return found


def _frames(body: bytes, version: int, *, all_unsynchronised: bool) -> Iterator[tuple[str, bytes]]:
    """Name, in the words of 2.3 and 2.4, and decoded body of each frame."""
    head = 6 if version == 2 else 10
    plain = version == 3 or (version == 4 and not _sizes_fit(body, syncsafe=True) and _sizes_fit(body, syncsafe=False))
    position = 0
    while position + head <= len(body) and body[position]:
        if version == 2:
            name = _latin(body[position : position + 3])
            size, flags = int.from_bytes(body[position + 3 : position + 6], "big"), 0
        else:
            name = _latin(body[position : position + 4])
            four = body[position + 4 : position + 8]
            size = int.from_bytes(four, "big") if plain else _size(four)
            flags = body[position + 9]
        data = body[position + head : position + head + size]
        position += head + size
        if version == 2:
            name = _OLD_FRAMES.get(name, name)
        elif version == 3:
            if flags & 0x40:  # encrypted
                name, data = "encrypted frame", b""
            data = data[(4 if flags & 0x80 else 0) + (1 if flags & 0x20 else 0) :]
            data = _inflated(data) if flags & 0x80 else data
        else:
            data = data[1:] if flags & 0x40 else data
            if flags & 0x04:
                name, data = "encrypted frame", b""
            data = data[4:] if flags & 0x01 else data
            data = _resynchronised(data) if flags & 0x02 or all_unsynchronised else data
            data = _inflated(data) if flags & 0x08 else data
        yield name, data


def _sizes_fit(body: bytes, *, syncsafe: bool) -> bool:
    """Whether the frames of a 2.4 tag lead from one to the next; some programs wrote plain sizes there."""
    position = 0
    while position + 10 <= len(body) and body[position]:
        name, size = body[position : position + 4], body[position + 4 : position + 8]
        if not name.isalnum() or (syncsafe and max(size) > 0x7F):
            return False
        position += 10 + (_size(size) if syncsafe else int.from_bytes(size, "big"))
    return position <= len(body)


def _take(name: str, data: bytes, found: Found) -> None:
    if name in _OF_THE_FILE or not data:
        if name == "encrypted frame":
            found.left_out[name] += 1
    elif name == "APIC":
        found.left_out[PICTURE] += 1
    elif name == "TXXX":
        key, *values = _texts(data)
        for value in values:
            found.add(key or "COMMENT", value)
    elif name in ("COMM", "USLT"):
        about, *values = _texts(data[:1] + data[4:])
        if name == "COMM" and about not in ("", "ID3v1 Comment", "Comment", "comment"):
            found.left_out["special comments"] += 1
        else:
            for value in values:
                found.add("COMMENT" if name == "COMM" else "LYRICS", value)
    elif name in _FRAMES:
        for text in _texts(data):
            found.add(_FRAMES[name], _genre(text) if name == "TCON" else text)
    else:
        found.left_out[name] += 1


def _texts(data: bytes) -> list[str]:
    """The zero-separated texts of a frame that begins with its encoding; one at least."""
    encoding, data = data[:1], data[1:]
    if encoding == b"\1":
        big = data[:2] == b"\xfe\xff"
        text = data.decode("utf-16-be" if big else "utf-16-le", "replace")
    elif encoding == b"\2":
        text = data.decode("utf-16-be", "replace")
    elif encoding == b"\3":
        text = data.decode("utf-8", "replace")
    elif encoding == b"\0":
        text = data.decode("latin-1")
    else:  # no encoding where one must be: some programs left it out
        text = (encoding + data).decode("utf-8", "replace")
    return ["" if part in _MARKS else part.strip("\ufeff\ufffe") for part in text.rstrip("\0").split("\0")]


def _genre(text: str) -> str:
    """ "17" and "(17)" are Rock; "(17)Hard" is Hard."""
    number, closed, rest = text.removeprefix("(").partition(")")
    if text.startswith("(") and closed and rest:
        return rest
    number = number if text.startswith("(") else text
    return _GENRES[int(number)] if number.isdecimal() and int(number) < len(_GENRES) else text


def _size(four: bytes) -> int:
    """A syncsafe number of four bytes, seven bits each; a plain one where a byte shows that it cannot be."""
    if max(four, default=0) > 0x7F:
        return int.from_bytes(four, "big")
    number = 0
    for byte in four:
        number = number << 7 | byte
    return number


def _resynchronised(data: bytes) -> bytes:
    return data.replace(b"\xff\x00", b"\xff")


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, 1 << 24)
    except zlib.error:
        return b""


def _latin(value: bytes) -> str:
    return value.split(b"\0")[0].decode("latin-1").strip()
