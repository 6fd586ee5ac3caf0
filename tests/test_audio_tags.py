"""Tags of every kind of file, well and badly written; what has no place in .rvq is counted in one line."""

import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from rvqcodec.audio import open_input
from rvqcodec.audio.id3 import ape_size, id3_size, read_ape, read_id3, read_id3v1

JPEG = b"\xff\xd8\xff\xe0" + bytes(2000)


def syncsafe(n):
    return bytes(n >> shift & 0x7F for shift in (21, 14, 7, 0))


def frame(name, body, version=4, flags=0, *, plain=False):
    if version == 2:
        return name + len(body).to_bytes(3, "big") + body
    size = struct.pack(">I", len(body)) if version == 3 or plain else syncsafe(len(body))
    return name + size + struct.pack(">H", flags) + body


def tag(*frames, version=4, flags=0, padding=0, size=None):
    body = b"".join(frames) + bytes(padding)
    return b"ID3" + bytes([version, 0, flags]) + syncsafe(len(body) if size is None else size) + body


def text(value, encoding=3):
    return bytes([encoding]) + value.encode({0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}[encoding])


SONG = tag(
    frame(b"TIT2", text("Größe")), frame(b"TPE1", text("A\0B")), frame(b"TRCK", text("3/12")),
    frame(b"TCON", text("(17)")),
    frame(b"TXXX", text("Mood\0calm")), frame(b"COMM", b"\3eng" + b"\0said"), frame(b"USLT", b"\3eng\0la la"),
    frame(b"APIC", b"\0image/jpeg\0\3\0" + JPEG), frame(b"APIC", b"\0image/jpeg\0\4\0" + JPEG),
    frame(b"PRIV", b"owner\0data"), frame(b"TSSE", text("LAME")), frame(b"COMM", b"\3engiTunNORM\0 0001"), padding=300,
)  # fmt: skip
TAGS = {
    "TITLE": "Größe", "ARTIST": "A; B", "TRACKNUMBER": "3/12", "GENRE": "Rock", "MOOD": "calm", "COMMENT": "said",
    "LYRICS": "la la",
}  # fmt: skip
NOTE = "tags without a place in .rvq were left out: 2 x cover art, PRIV, special comments"


def read(path):
    with open_input(path) as audio:
        n = sum(block.shape[1] for block in audio.blocks())
    return n, audio


@pytest.mark.parametrize("format", ["FLAC", "WAV", "AIFF", "OGG", "MP3", "AU", "CAF", "W64"])
def test_id3_before_every_format(tmp_path, format):
    sf.write(tmp_path / "a", np.sin(np.arange(20_000) / 9) / 2, 44100, format=format)
    n, _ = read(tmp_path / "a")
    (tmp_path / "b").write_bytes(SONG + (tmp_path / "a").read_bytes())
    assert read(tmp_path / "b")[0] == n
    _, audio = read(tmp_path / "b")
    assert audio.tags == TAGS
    assert (audio.notes, audio.losses, audio.warnings) == ([f"{tmp_path / 'b'}: {NOTE}"], [], [])


@pytest.mark.parametrize(
    ("format", "chunk", "order"), [("WAV", b"id3 ", "<"), ("WAV", b"ID3 ", "<"), ("AIFF", b"ID3 ", ">")]
)
@pytest.mark.parametrize("behind", [False, True])
def test_id3_in_chunks(tmp_path, format, chunk, order, behind):
    sf.write(tmp_path / "a", np.sin(np.arange(20_000) / 9) / 2, 44100, format=format)
    data = (tmp_path / "a").read_bytes()
    body = chunk + struct.pack(order + "I", len(SONG)) + SONG + bytes(len(SONG) & 1)
    (tmp_path / "a").write_bytes(data + body if behind else data[:12] + body + data[12:])
    n, audio = read(tmp_path / "a")
    assert (n, audio.tags) == (20_000, TAGS)
    assert audio.notes == [f"{tmp_path / 'a'}: {NOTE}"]


def test_what_the_format_itself_says_goes_first(tmp_path):
    with sf.SoundFile(tmp_path / "a.flac", "w", 44100, 1) as file:
        file.title = "its own"
        file.write(np.zeros(5000))
    (tmp_path / "b.flac").write_bytes(SONG + (tmp_path / "a.flac").read_bytes())
    assert read(tmp_path / "b.flac")[1].tags == TAGS | {"TITLE": "its own"}


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("encoding", [0, 1, 2, 3])
def test_versions_and_encodings(version, encoding):
    title, year = {2: (b"TT2", b"TYE"), 3: (b"TIT2", b"TYER"), 4: (b"TIT2", b"TDRC")}[version]
    made = tag(
        frame(title, text("Grüße", encoding), version), frame(year, text("2021", encoding), version), version=version
    )
    assert id3_size(made) == len(made)
    assert read_id3(made).tags == {"TITLE": "Grüße", "DATE": "2021"}


def test_oddities_of_programs():
    long = text("x" * 300)
    assert read_id3(tag(frame(b"TIT2", long, plain=True), frame(b"TPE1", text("y"), plain=True))).tags == {
        "TITLE": "x" * 300, "ARTIST": "y",
    }  # fmt: skip
    day = tag(frame(b"TDAT", text("3112", 0), 3), frame(b"TYER", text("1999", 0), 3), version=3)
    assert read_id3(day).tags == {"DATE": "1999-12-31"}
    packed = struct.pack(">I", len(long)) + zlib.compress(long)
    assert read_id3(tag(frame(b"TIT2", packed, 3, 0x80), version=3)).tags == {"TITLE": "x" * 300}
    packed = syncsafe(len(long)) + zlib.compress(long)
    assert read_id3(tag(frame(b"TIT2", packed, 4, 0x09))).tags == {"TITLE": "x" * 300}
    unsynchronised = text("\xff\xfb", 0).replace(b"\xff", b"\xff\0")
    assert read_id3(tag(frame(b"TIT2", unsynchronised, 4, 0x02))).tags == {"TITLE": "\xff\xfb"}
    whole = frame(b"TIT2", text("\xff\xfb", 0), 3).replace(b"\xff", b"\xff\0")
    assert read_id3(tag(whole, version=3, flags=0x80)).tags == {"TITLE": "\xff\xfb"}
    extended = tag(syncsafe(6) + b"\1\0", frame(b"TIT2", text("e")), flags=0x40)
    assert read_id3(extended).tags == {"TITLE": "e"}
    extended = tag(struct.pack(">IHI", 6, 0, 0), frame(b"TIT2", text("e"), 3), version=3, flags=0x40)
    assert read_id3(extended).tags == {"TITLE": "e"}
    assert read_id3(tag(frame(b"TIT2", b"\1" + "no mark".encode("utf-16-le")))).tags == {"TITLE": "no mark"}
    assert read_id3(tag(frame(b"TYER", b"\0\xff\xfe", 3), version=3)).tags == {}  # an empty text in the wrong encoding
    assert read_id3(tag(frame(b"TIT2", b"no encoding"))).tags == {"TITLE": "no encoding"}
    assert read_id3(tag(frame(b"TIT2", b""), frame(b"TPE1", b"\3"), frame(b"TXXX", text("key\0")))).tags == {}
    assert read_id3(tag(frame(b"TIT2", b"secret", 3, 0x40), version=3)).left_out == {"encrypted frame": 1}
    assert read_id3(tag(frame(b"TIT2", text("cut"))[:-2])).tags == {"TITLE": "c"}
    for genre, name in (("17", "Rock"), ("(0)", "Blues"), ("(17)Hard", "Hard"), ("Own", "Own"), ("(999)", "(999)")):
        assert read_id3(tag(frame(b"TCON", text(genre)))).tags == {"GENRE": name}


@pytest.mark.parametrize("wrong", [-200, 5000, 2**27])
def test_a_tag_whose_size_is_wrong_loses_no_sound(tmp_path, wrong):
    sf.write(tmp_path / "a", np.sin(np.arange(40_000) / 9) / 2, 44100, format="MP3")
    data = (tmp_path / "a").read_bytes()
    n, _ = read(tmp_path / "a")
    frames = frame(b"TIT2", text("t"))
    made = tag(frames, padding=400, size=len(frames) + 400 + wrong)
    (tmp_path / "b").write_bytes(made + data)
    assert read(tmp_path / "b")[0] == n
    assert read(tmp_path / "b")[1].tags == {"TITLE": "t"}


def test_id3v1_and_ape():
    old = (
        b"TAG"
        + b"T".ljust(30)
        + b"A".ljust(30, b"\0")
        + bytes(30)
        + b"1999"
        + b"c".ljust(28, b"\0")
        + b"\0\5"
        + b"\x11"
    )
    assert read_id3v1(old).tags == {
        "TITLE": "T", "ARTIST": "A", "DATE": "1999", "COMMENT": "c", "TRACKNUMBER": "5", "GENRE": "Rock",
    }  # fmt: skip
    items = [
        (b"Title", b"T", 0),
        (b"Year", b"2001", 0),
        (b"Artist", b"A\0B", 0),
        (b"Cover Art (Front)", b"x.jpg\0" + JPEG, 2),
    ]
    body = b"".join(struct.pack("<II", len(value), flags) + key + b"\0" + value for key, value, flags in items)
    size = len(body) + 32
    ape = body + b"APETAGEX" + struct.pack("<IIII", 2000, size, len(items), 0) + bytes(8)
    assert ape_size(ape[-32:]) == len(ape)
    assert read_ape(ape).tags == {"TITLE": "T", "DATE": "2001", "ARTIST": "A; B"}
    assert read_ape(ape).left_out == {"cover art": 1}


@given(st.binary(max_size=300), st.sampled_from([2, 3, 4]), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_tag_or_none(junk, version, flags):
    for data in (tag(junk, version=version, flags=flags), tag(frame(b"TXXX", junk), frame(b"COMM", junk), flags=flags)):
        assert all(isinstance(value, str) for value in read_id3(data).tags.values())
    read_ape(junk + b"APETAGEX" + struct.pack("<IIII", 2000, len(junk) + 32, 3, 0) + bytes(8))
    read_id3v1((b"TAG" + junk).ljust(128, b"\0")[:128])


def test_pictures_and_chunks_are_counted(tmp_path):
    for tool in ("flac", "opusenc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    sf.write(tmp_path / "a.wav", np.sin(np.arange(48_000) / 9) / 2, 48000)
    (tmp_path / "p.jpg").write_bytes(JPEG)
    picture = f"3|image/jpeg||16x16x24|{tmp_path / 'p.jpg'}"
    subprocess.run(
        ["flac", "-s", "-T", "ALBUMARTIST=y", f"--picture={picture}", tmp_path / "a.wav", "-o", tmp_path / "a.flac"],
        check=True,
    )
    subprocess.run(["opusenc", "--quiet", tmp_path / "a.flac", tmp_path / "a.opus"], check=True)
    for name in ("a.flac", "a.opus"):
        _, audio = read(tmp_path / name)
        assert audio.tags == {"ALBUMARTIST": "y"}
        assert audio.notes == [f"{tmp_path / name}: tags without a place in .rvq were left out: cover art"]
    data = (tmp_path / "a.wav").read_bytes()
    for chunk in (b"bext", b"cue ", b"_PMX"):
        data = data[:12] + chunk + struct.pack("<I", 6) + bytes(6) + data[12:]
    (tmp_path / "a.wav").write_bytes(data)
    assert read(tmp_path / "a.wav")[1].notes[0].endswith("left out: XMP, cue points, bext")
