"""Every loudspeaker gets its own sound, through every format in and out, as other programs see it too."""

import io
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Rvq, needs, read_audio
from numpy.typing import NDArray

from rvqcodec import speakers
from rvqcodec.audio import layouts, open_input, open_output
from rvqcodec.container import Reader
from rvqcodec.errors import AudioError

RATE = 48000
# A sine of its own for each place; that of the LFE is one which all coders keep in an LFE.
PITCH = {place: 300 + 130 * i for i, place in enumerate(speakers.PLACES)} | {"LFE": 60}
NAMES = [name for name, mask in speakers.NAMES.items() if 3 <= mask.bit_count() <= 8]
USUAL = [speakers.name(mask, n) for n, mask in enumerate(speakers.USUAL, 1)]


def places_of(name: str) -> list[str]:
    mask = speakers.NAMES[name]
    return [place for bit, place in enumerate(speakers.PLACES) if mask >> bit & 1]


def sines(names: list[str], seconds: float = 0.25, rate: int = RATE) -> NDArray[np.float32]:
    """A channel of sound for each of these places, float32 [C, n]."""
    t = np.arange(round(seconds * rate)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * PITCH[name] * t) for name in names]).astype(np.float32)


def heard(samples: NDArray[np.float32], rate: int = RATE) -> list[str]:
    """The place of each channel, by its sine; "" for silence."""
    found = []
    for channel in samples:
        spectrum = np.abs(np.fft.rfft(channel * np.hanning(len(channel))))
        pitch = spectrum.argmax() * rate / len(channel)
        place = min(PITCH, key=lambda name: abs(PITCH[name] - pitch))
        found.append(place if abs(PITCH[place] - pitch) < 30 and np.abs(channel).max() > 0.05 else "")
    return found


def write(path: Path, name: str, **options: str) -> str:
    """Sines in a layout as rvq writes it; gives the note."""
    samples, mask = sines(places_of(name)), speakers.NAMES[name]
    with open_output(path, RATE, len(samples), layout=mask, **options) as output:
        output.write(samples)
    return output.layout_note


def read(path: Path) -> tuple[str, list[str], list[str]]:
    """The layout of a file as rvq reads it, its channels, its warnings."""
    with open_input(path) as audio:
        samples = np.concatenate(list(audio.blocks()), axis=1)
        return audio.layout.name, heard(samples), audio.warnings


def probed(path: Path) -> str:
    """The layout as ffprobe names it."""
    command = ["ffprobe", "-v", "error", "-show_entries", "stream=channel_layout", "-of", "csv=p=0", path]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def same(name: str, other: str) -> bool:
    """Whether two layouts are one for programs that know but one kind of surround, at the side or behind."""
    return name.replace("(side)", "") == other.replace("(side)", "")


def same_places(ours: list[str], theirs: list[str]) -> bool:
    return [place.replace("S", "B") for place in ours] == [place.replace("S", "B") for place in theirs]


def by_ffmpeg(source: Path, target: Path, *options: str) -> Path:
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source, *options, target], check=True, timeout=60)
    return target


def extensible(path: Path, names: list[str], mask: int, order: str = "<", bits: int = 16) -> Path:
    """A WAV with a channel mask, right or wrong, from the specification alone."""
    samples = np.rint(sines(names) * 32767).astype(order + "i2").T.tobytes()
    channels = len(names)
    guid = bytes.fromhex("000000001000800000aa00389b71")
    fmt = struct.pack(
        order + "HHIIHHHHIH", 0xFFFE, channels, RATE, RATE * 2 * channels, 2 * channels, 16, 22, bits, mask, 1
    )
    fmt += guid
    body = b"WAVEfmt " + struct.pack(order + "I", len(fmt)) + fmt + b"data" + struct.pack(order + "I", len(samples))
    magic = b"RIFF" if order == "<" else b"RIFX"
    path.write_bytes(magic + struct.pack(order + "I", len(body) + len(samples)) + body + samples)
    return path


@pytest.mark.parametrize("ending", [".wav", ".flac"])
@pytest.mark.parametrize("name", NAMES)
def test_wav_and_flac_keep_every_layout(tmp_path: Path, name: str, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    assert write(path, name) == ""
    assert read(path) == (name, places_of(name), [])
    if shutil.which("ffprobe"):
        said = probed(path)  # of layouts that it has no name for, the places
        assert said == name or f"({'+'.join(places_of(name))})" in said


@pytest.mark.parametrize("ending", [".ogg", ".opus"])
@pytest.mark.parametrize("name", USUAL)
def test_vorbis_and_opus_have_an_order_of_their_own(tmp_path: Path, name: str, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    assert write(path, name) == ""
    assert read(path) == (name, places_of(name), [])
    if shutil.which("ffprobe"):
        assert same(probed(path), name)
        samples, _ = read_audio(by_ffmpeg(path, tmp_path / "b.wav"))
        assert heard(samples) == places_of(name)


@pytest.mark.parametrize("ending", [".ogg", ".opus"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in USUAL])
def test_what_vorbis_and_opus_cannot_say_is_told(tmp_path: Path, name: str, ending: str) -> None:
    """What both layouts have stays where it is, sides go behind, and only the rest moves."""
    note = write(tmp_path / f"a{ending}", name)
    theirs = USUAL[len(places_of(name)) - 1]
    told, _, more = note.partition(". ")
    assert told == f".ogg and .opus cannot say {name}, so players will take it for {theirs}; .wav and .flac can"
    assert bool(more) == ("LFE" in places_of(theirs) and "LFE" not in places_of(name))
    layout, found, _ = read(tmp_path / f"a{ending}")
    assert layout == theirs
    ours, moved = places_of(name), more.split(" ")[0]
    kept = {
        place: sound for place, sound in zip(places_of(theirs), found, strict=True) if not (more and place == "LFE")
    }
    assert sorted(kept.values()) == sorted(place for place in ours if place != moved)
    for place, sound in kept.items():
        side = "S" + place[1:]
        if place in ours:
            assert sound == place
        elif place in ("BL", "BR") and side in ours and side not in kept:
            assert sound == side


@needs("ffmpeg")
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (".wav", ()), (".wav", ("-rf64", "always")), (".wav", ("-c:a", "pcm_mulaw")), (".w64", ()), (".flac", ()),
        (".caf", ()), (".aiff", ()), (".ogg", ("-c:a", "libvorbis")), (".opus", ("-mapping_family", "1")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", USUAL)
def test_what_ffmpeg_writes_is_read(tmp_path: Path, name: str, ending: str, options: tuple[str, ...]) -> None:
    write(tmp_path / "a.wav", name)
    path = by_ffmpeg(tmp_path / "a.wav", tmp_path / f"b{ending}", *options)
    if ending == ".aiff" and name == "7.1":
        pytest.skip("before version 7 it wrote the channels in another order than the layout that it said")
    assert read(path) == (name, places_of(name), [])


@needs("ffmpeg")
@pytest.mark.parametrize("ending", [".wav", ".w64", ".flac", ".caf"])
@pytest.mark.parametrize("name", ["2.1", "4.1", "4.0", "hexagonal", "7.1(wide)", "5.1(side)", "quad(side)"])
def test_unusual_layouts_of_ffmpeg_are_read(tmp_path: Path, name: str, ending: str) -> None:
    write(tmp_path / "a.wav", name)
    layout, found, _ = read(by_ffmpeg(tmp_path / "a.wav", tmp_path / f"b{ending}"))
    # Of these, surround at the side may come back as behind: they know it as one.
    assert same_places(found, places_of(layout))
    if ending != ".caf":
        assert found == places_of(name)
    assert layout == name or ending == ".caf" or (ending, name) == (".flac", "5.1(side)")


@needs("ffmpeg")
def test_opus_without_loudspeakers(tmp_path: Path) -> None:
    """Mapping families 255, channels for no loudspeaker, and 2, ambisonics."""
    for name, family in (("5.1", "255"), ("quad", "2")):
        write(tmp_path / "a.wav", name)
        path = by_ffmpeg(tmp_path / "a.wav", tmp_path / "b.opus", "-mapping_family", family)
        layout, found, warnings = read(path)
        assert (layout, found) == ("discrete", places_of(name))
        assert warnings == ([f"{path}: ambisonics, kept as channels without places"] if family == "2" else [])


@needs("opusenc", "flac", "sox")
def test_other_programs_agree(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", "5.1")
    for command in (
        ("opusenc", "--quiet", "a.wav", "b.opus"),
        ("flac", "-s", "a.wav", "-o", "b.flac"),
        ("sox", "a.wav", "b.aiff"),
    ):
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
        assert read(tmp_path / command[-1]) == ("5.1", places_of("5.1"), [])
    write(tmp_path / "c.opus", "5.1")
    subprocess.run(["opusdec", "--quiet", "c.opus", "d.wav"], cwd=tmp_path, check=True, timeout=60)
    assert read(tmp_path / "d.wav")[:2] == ("5.1", places_of("5.1"))
    write(tmp_path / "e.flac", "4.1")
    subprocess.run(["flac", "-s", "-t", "e.flac"], cwd=tmp_path, check=True, timeout=60)
    subprocess.run(["flac", "-s", "-d", "e.flac", "-o", "f.wav"], cwd=tmp_path, check=True, timeout=60)
    assert read(tmp_path / "f.wav") == ("4.1", places_of("4.1"), [])


def test_channels_without_a_place(tmp_path: Path) -> None:
    samples = sines(["FL", "FR", "FC", "BC"])
    for ending in (".wav", ".flac", ".ogg"):
        path = tmp_path / f"a{ending}"
        with open_output(path, RATE, 4, layout=0) as output:
            output.write(samples)
        assert output.layout_note.startswith(".ogg and .opus cannot say discrete") == (ending == ".ogg")
        assert read(path)[:2] == ("quad" if ending == ".ogg" else "discrete", ["FL", "FR", "FC", "BC"])
    assert read(extensible(tmp_path / "b.wav", ["FL", "FR", "FC", "BC"], 0x3))[:2] == (
        "FL+FR+-+-", ["FL", "FR", "FC", "BC"],
    )  # fmt: skip
    assert read(extensible(tmp_path / "c.wav", ["FL", "FR"], 0))[0] == "stereo"


def test_masks_that_cannot_be(tmp_path: Path) -> None:
    four = ["FL", "FR", "BL", "BR"]
    name, found, warnings = read(extensible(tmp_path / "a.wav", four, 0x3F))
    assert (name, found) == ("quad", four)
    assert warnings == [f"{tmp_path}/a.wav: channel mask 0x3f does not go with 4 channels; taken for quad"]
    assert read(extensible(tmp_path / "b.wav", ["FC"], 0x3)) == ("mono", ["FC"], [])
    assert read(extensible(tmp_path / "c.wav", four, 0x107))[0] == "4.0"
    assert read(extensible(tmp_path / "d.wav", four, 0x80000000))[0] == "quad"
    with open(extensible(tmp_path / "e.wav", four, 0x107, ">"), "rb") as file:  # libsndfile does not read it
        assert layouts.read_layout(file, 4).name == "4.0"


def test_one_loudspeaker_that_is_not_the_centre(tmp_path: Path) -> None:
    for path in (tmp_path / "a.wav", tmp_path / "a.flac"):
        with open_output(path, RATE, 1, layout=0x1) as output:
            output.write(sines(["FL"]))
        assert read(path) == ("FL", ["FL"], [])
    with open_output(tmp_path / "b.wav", RATE, 2) as output:
        output.write(sines(["FL", "FR"]))
    assert b"fmt \x10\0\0\0\x01\0" in (tmp_path / "b.wav").read_bytes()  # plain PCM where nothing needs to be said


@pytest.mark.parametrize("tags", [{}, {"TITLE": "a title", "ARTIST": "someone"}])
def test_a_mask_in_flac_leaves_all_else(tmp_path: Path, tags: dict[str, str]) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (3, 400_000)).astype(np.float32)
    with open_output(tmp_path / "b.flac", RATE, 3, layout=0xB, tags=tags) as output:
        output.write(samples)
    soundfile.write(tmp_path / "a.flac", np.rint(samples.T * 32768).clip(-32768, 32767).astype(np.int16), RATE)
    plain, said = ((tmp_path / f"{name}.flac").read_bytes() for name in "ab")
    assert plain[-1_000_000:] == said[-1_000_000:]
    with open_output(tmp_path / "c.flac", RATE, 3, layout=0xB, tags=tags):
        pass
    with open_input(tmp_path / "c.flac") as audio:
        assert audio.layout.name == "2.1"
        assert not list(audio.blocks())
    with open_input(tmp_path / "b.flac") as audio:
        assert (audio.layout.name, audio.tags, audio.n_samples) == ("2.1", tags, 400_000)
    if shutil.which("flac"):
        subprocess.run(["flac", "-s", "-t", tmp_path / "b.flac"], check=True, timeout=60)


def chan(tag: int, bitmap: int = 0, labels: tuple[int, ...] = ()) -> bytes:
    """The body of a CAF 'chan' chunk."""
    return struct.pack(">III", tag, bitmap, len(labels)) + b"".join(struct.pack(">I16x", label) for label in labels)


@pytest.mark.parametrize(
    ("body", "channels", "name", "order"),
    [
        (chan(121 << 16 | 6), 6, "5.1", (0, 1, 2, 3, 4, 5)),
        (chan(123 << 16 | 6), 6, "5.1", (0, 2, 1, 5, 3, 4)),
        (chan(128 << 16 | 8), 8, "7.1", (0, 1, 2, 3, 6, 7, 4, 5)),
        (chan(133 << 16 | 3), 3, "2.1", (0, 1, 2)),
        (chan(147 << 16 | 4), 4, "discrete", (0, 1, 2, 3)),
        (chan(0xFFFF << 16 | 4), 4, "quad", (0, 1, 2, 3)),
        (chan(1 << 16, 0x107), 4, "4.0", (0, 1, 2, 3)),
        (chan(0, 0, (3, 1, 2)), 3, "3.0", (1, 2, 0)),
        (chan(0, 0, (2, 1)), 2, "stereo", (1, 0)),
        (chan(0, 0, (1, 2, 1)), 3, "FL+FR+-", (0, 1, 2)),
        (chan(0, 0, (42,)), 1, "mono", (0,)),
        (chan(0, 0, (0, 65537)), 2, "stereo", (0, 1)),
        (chan(121 << 16 | 6), 4, "quad", (0, 1, 2, 3)),
        (b"\0\0", 4, "quad", (0, 1, 2, 3)),
        (b"", 4, "quad", (0, 1, 2, 3)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["caf", "aiff"])
def test_layouts_of_apple(
    tmp_path: Path, body: bytes, channels: int, name: str, order: tuple[int, ...], kind: str
) -> None:
    if kind == "caf":
        data = b"caff\0\1\0\0" + b"free" + struct.pack(">q", 3) + b"xyz" + b"chan" + struct.pack(">q", len(body)) + body
        data += b"data" + struct.pack(">q", -1)
    else:
        data = b"FORM\0\0\0\0AIFF" + b"ANNO\0\0\0\3xyz\0" + b"CHAN" + struct.pack(">I", len(body)) + body
    (tmp_path / "a").write_bytes(data)
    with open(tmp_path / "a", "rb") as file:
        found = layouts.read_layout(file, channels)
    assert (found.name, found.order) == (name, order)


def test_headers_of_any_bytes_do_no_harm(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for magic in (b"RIFF", b"RIFX", b"riff", b"fLaC", b"OggS", b"caff", b"FORM"):
        for size in (0, 3, 30, 70, 500):
            (tmp_path / "a").write_bytes(magic + rng.bytes(size))
            with open(tmp_path / "a", "rb") as file:
                assert layouts.read_layout(file, 4).channels == 4


@pytest.mark.parametrize(
    ("text", "channels", "name", "order"),
    [("5.1", 6, "5.1", range(6)), ("discrete", 3, "discrete", range(3)), ("FL+FC+FR", 3, "3.0", (0, 2, 1)),
     ("fl+fr+-", 3, "FL+FR+-", range(3)), ("-+FL", 2, "FL+-", (1, 0))],
)  # fmt: skip
def test_layouts_by_name(text: str, channels: int, name: str, order: tuple[int, ...]) -> None:
    found = layouts.named(text, channels, "a.wav")
    assert (found.name, found.order) == (name, tuple(order))


@pytest.mark.parametrize(
    ("text", "message"),
    [("5.2", "no layout: give a name"), ("FL+XX", "no layout"), ("FL+FL", "a place twice"), ("", "no layout"),
     ("quad", "a.wav: 6 channels; layout quad is of 4")],
)  # fmt: skip
def test_layouts_that_are_none(text: str, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        layouts.named(text, 6, "a.wav")


def test_the_whole_way_by_command_line(rvq: Rvq, tmp_path: Path) -> None:
    """A sine in each channel, from WAV to .rvq to everything, edits and pipes between."""
    write(tmp_path / "a.wav", "4.1")
    done = rvq("encode", "a.wav", "-b", "60kbps", "--chunk", "0.2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "a.rvq", "rb") as file:
        assert Reader(file).header.layout == speakers.NAMES["4.1"]
    for name in ("a.wav", "a.flac"):
        write(tmp_path / name, "4.1")
        piped = rvq("encode", "-", "-b", "60kbps", "--chunk", "0.2", input=(tmp_path / name).read_bytes())
        ours, theirs = (Reader(io.BytesIO(data)) for data in (piped.stdout, (tmp_path / "a.rvq").read_bytes()))
        assert ours.header.layout == theirs.header.layout
        assert [chunk.payload for chunk in ours.raw()] == [chunk.payload for chunk in theirs.raw()]
    info = rvq("info", "a.rvq", cwd=tmp_path).stdout.decode()
    assert "48,000 Hz, 4.1 (5 channels)" in info
    assert b'"channel_layout": "4.1", "channel_mask": 271' in rvq("info", "--json", "a.rvq", cwd=tmp_path).stdout
    for name in ("b.wav", "b.flac"):
        done = rvq("decode", "a.rvq", "-o", name, cwd=tmp_path)
        assert (done.returncode, b"cannot say" in done.stderr) == (0, False)
        assert read(tmp_path / name)[:2] == ("4.1", places_of("4.1"))
    done = rvq("decode", "a.rvq", "-o", "b.ogg", "--quiet", cwd=tmp_path)
    assert b"rvq: a.rvq: .ogg and .opus cannot say 4.1, so players will take it for 5.0" in done.stderr
    assert rvq("trim", "a.rvq", "-b", "40kbps", "-o", "c.rvq", cwd=tmp_path).returncode == 0
    assert rvq("cut", "a.rvq", "--duration", "0.3", "-o", "d.rvq", cwd=tmp_path).returncode == 0
    assert rvq("cat", "c.rvq", "d.rvq", "-o", "e.rvq", cwd=tmp_path).returncode == 0
    assert b"4.1 (5 channels)" in rvq("info", "e.rvq", cwd=tmp_path).stdout
    raw = rvq("decode", "a.rvq", "--raw", "-o", "-", cwd=tmp_path).stdout
    again = ("encode", "--raw", "--rate", "48000", "--channels", "5", "-b", "60kbps", "-")
    for layout, name in ((None, "5.0"), ("4.1", "4.1"), ("discrete", "discrete")):
        done = rvq(*again, *(("--layout", layout) if layout else ()), input=raw, cwd=tmp_path)
        (tmp_path / "f.rvq").write_bytes(done.stdout)
        assert f"{name} (5 channels)".encode() in rvq("info", "f.rvq", cwd=tmp_path).stdout
    done = rvq("cat", "a.rvq", "f.rvq", "-o", "g.rvq", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == b"rvq: f.rvq has channel layout discrete, a.rvq has 4.1: they must agree to be joined\n"
    assert not (tmp_path / "g.rvq").exists()
    done = rvq("encode", "a.wav", "-f", "--layout", "5.2", cwd=tmp_path)
    assert (done.returncode, done.stderr.count(b"'5.2' is no layout")) == (2, 1)
    done = rvq("encode", "a.wav", "-f", "--layout", "quad", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, b"rvq: a.wav: 5 channels; layout quad is of 4\n")
