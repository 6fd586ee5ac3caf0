"""Nothing is passed over without a word: several recordings in one file, wrong sizes and counts, damage, odd tails."""

import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf

from rvqcodec.audio import open_input
from rvqcodec.audio.flac import crc8, crc16
from rvqcodec.audio.ogg import page_checksum
from rvqcodec.audio.tags import build_info
from rvqcodec.errors import AudioError

RATE = 44100
N = 60_000


def tones(channels=2, n=N, rate=RATE):
    steps = np.arange(n) / rate
    noise = np.random.default_rng(7).uniform(-0.01, 0.01, (channels, n))
    return (np.stack([0.4 * np.sin(2 * np.pi * 300 * (c + 1) * steps) for c in range(channels)]) + noise).astype("f4")


def read(path, **options):
    with open_input(path, **options) as audio:
        blocks = list(audio.blocks(7000))
        assert all(block.shape[1] == 7000 for block in blocks[:-1])
    return np.concatenate([np.zeros((audio.channels, 0), np.float32), *blocks], axis=1), audio


def told(audio):
    return [*audio.losses, *audio.warnings, *audio.notes]


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Bytes of one recording in every format that libsndfile writes, by format; "16" is as it reads 16-bit WAV."""
    folder = tmp_path_factory.mktemp("made")
    files = {"16": np.rint(tones() * 32768).clip(-32768, 32767) / 32768}
    for format in ("WAV", "W64", "RF64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"):
        sf.write(folder / format, files["16"].T, RATE, format=format)
        files[format] = (folder / format).read_bytes()
    return files


def pages(data):
    return [at for at in range(len(data)) if data.startswith(b"OggS", at)]


@pytest.mark.parametrize("format", ["WAV", "W64", "RF64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"])
def test_recordings_one_after_another_are_read_as_one(tmp_path, made, format):
    (tmp_path / "one").write_bytes(made[format])
    (tmp_path / "two").write_bytes(2 * made[format])
    one, _ = read(tmp_path / "one")
    two, audio = read(tmp_path / "two")
    assert told(audio) == []
    assert np.array_equal(two, np.concatenate([one, one], axis=1))
    assert abs(one.shape[1] - N) <= (0 if format != "MP3" else 2000)


@pytest.mark.parametrize("format", ["FLAC", "OGG", "MP3", "WAV"])
def test_what_changes_in_mid_stream_is_converted_or_told(tmp_path, made, format):
    (tmp_path / "first").write_bytes(made[format])
    first, _ = read(tmp_path / "first")
    sf.write(tmp_path / "next", tones(rate=48000, n=48000).T, 48000, format=format)
    (tmp_path / "a").write_bytes(made[format] + (tmp_path / "next").read_bytes())
    back, audio = read(tmp_path / "a")
    assert abs(back.shape[1] - first.shape[1] - 44100) <= (1 if format != "MP3" else 2000)
    assert told(audio) == [f"{tmp_path / 'a'}: part 2 was converted from 48000 to 44100 Hz, the first one's"]
    sf.write(tmp_path / "next", tones(1).T, RATE, format=format)
    (tmp_path / "a").write_bytes(made[format] + (tmp_path / "next").read_bytes())
    back, audio = read(tmp_path / "a")
    assert abs(back.shape[1] - 2 * first.shape[1]) <= (0 if format != "MP3" else 2000)
    assert np.array_equal(back[0, -9000:], back[1, -9000:])
    assert told(audio) == []
    (tmp_path / "a").write_bytes((tmp_path / "next").read_bytes() + made[format])
    back, audio = read(tmp_path / "a")
    assert abs(back.shape[1] - first.shape[1]) <= (0 if format != "MP3" else 2000)
    assert audio.losses == [f"{tmp_path / 'a'}: part 2 was left out: it has 2 channels, the first one 1"]


def test_a_second_recording_that_is_broken_is_told(tmp_path, made):
    (tmp_path / "a").write_bytes(made["FLAC"] + made["FLAC"][:42] + bytes(5000))
    back, audio = read(tmp_path / "a")
    assert back.shape == (2, N)
    assert len(audio.losses) == 1
    (tmp_path / "a").write_bytes(made["WAV"] + b"RIFF\x40\0\0\0WAVEfmt \x02\0\0\0zz")
    back, audio = read(tmp_path / "a")
    assert back.shape == (2, N)
    assert "what follows part 1 was left out: broken WAV" in audio.losses[0]


def patched(data, at, value, kind="<I"):
    return data[:at] + struct.pack(kind, value) + data[at + struct.calcsize(kind) :]


# Where each format keeps the size of its samples, how, and what it counts beside them.
SIZES = {
    "WAV": (b"data", 4, "<I", 0), "AIFF": (b"SSND", 4, ">I", 8), "AU": (b".snd", 8, ">I", 0),
    "CAF": (b"data", 4, ">q", 4), "W64": (b"data\xf3\xac", 16, "<Q", 24),
}  # fmt: skip


@pytest.mark.parametrize("format", SIZES)
def test_sizes_that_are_wrong(tmp_path, made, format):
    name, offset, kind, beside = SIZES[format]
    path, data = tmp_path / "a", made[format]
    at = data.index(name) + offset
    assert struct.unpack_from(kind, data, at)[0] == 4 * N + beside

    path.write_bytes(patched(data, at, 4000 + beside, kind))  # less than there is
    back, audio = read(path)
    assert back.shape == (2, 1000)
    assert len(told(audio)) == 1
    assert f"{4 * N - 4000:,} bytes behind the announced 1,000 samples per channel were left out" in audio.losses[0]
    assert "--ignore-length" in audio.losses[0]
    back, audio = read(path, ignore_length=True)
    assert np.array_equal(back, made["16"])
    assert told(audio) == []

    path.write_bytes(patched(data, at, 8 * N + beside, kind))  # more
    back, audio = read(path)
    assert np.array_equal(back, made["16"])
    assert audio.losses == [f"{path}: cut off: announces {2 * N} samples per channel, holds {N}"]
    back, audio = read(path, ignore_length=True)
    assert np.array_equal(back, made["16"])
    assert told(audio) == []

    for unknown in {"<I": (0, 0xFFFFFFFF, 0x7FFFF000), ">I": (0xFFFFFFFF, 0x7F000008), ">q": (-1,), "<Q": (2**64 - 1,)}[
        kind
    ]:
        path.write_bytes(patched(data, at, unknown, kind))
        if unknown == 0:
            path.write_bytes(patched(path.read_bytes(), 4, 0, kind))
        back, audio = read(path)
        assert np.array_equal(back, made["16"])
        assert told(audio) == []


@pytest.mark.parametrize("format", ["WAV", "AIFF", "AU"])
def test_sizes_that_wrapped_at_4_gib(tmp_path, made, format):
    name, offset, kind, beside = SIZES[format]
    at = made[format].index(name) + offset
    head = made[format][: made[format].index(made["WAV"][44:48]) if format == "WAV" else -4 * N]
    with (tmp_path / "a").open("wb") as file:  # sparse
        file.write(patched(head, at, 88_200 + beside, kind))
        file.truncate(len(head) + 2**32 + 88_200)
    with open_input(tmp_path / "a") as audio:
        assert audio.n_samples == (2**32 + 88_200) // 4
        assert "in 32 bits and holds more than 4 GiB" in audio.warnings[0]
        assert audio.losses == []
    with (tmp_path / "a").open("r+b") as file:
        file.seek(0, 2)
        file.write(build_info({"TITLE": "behind"}) if format == "WAV" else b"")
    with open_input(tmp_path / "a") as audio:
        assert audio.n_samples == (2**32 + 88_200) // 4
        assert audio.tags == ({"TITLE": "behind"} if format == "WAV" else {})


def test_a_longer_size_in_a_pipe_is_told(made, rvq_copy):
    at = made["WAV"].index(b"data") + 4
    out, err = rvq_copy(patched(made["WAV"], at, 4000))
    assert len(out) == 44 + 4000
    assert f"{4 * N - 4000:,} bytes behind the announced 1,000 samples" in err
    out, err = rvq_copy(2 * made["WAV"])
    assert len(out) == len(made["WAV"])
    assert err == f"stdin: another recording follows in the pipe, {len(made['WAV']):,} bytes: left out\n"
    out, err = rvq_copy(made["WAV"] + build_info({"TITLE": "x"}))
    assert (len(out), err) == (len(made["WAV"]), "stdin: 1 tag left out that came too late, behind the samples\n")


@pytest.mark.parametrize("format", ["AIFF", "AU", "CAF", "W64", "FLAC", "OGG"])
def test_every_format_comes_through_a_pipe(made, rvq_copy, format, tmp_path):
    (tmp_path / "a").write_bytes(made[format])
    out, err = rvq_copy(made[format])
    assert err == ""
    assert np.array_equal(
        np.frombuffer(out[-4 * N :], "<i2").reshape(-1, 2).T, np.rint(read(tmp_path / "a")[0] * 32768)
    )


@pytest.fixture
def rvq_copy():
    """Copies audio from stdin to stdout in a process of its own; gives its stdout and what it said."""
    child = (
        "import sys; from rvqcodec.audio import open_input, open_output\n"
        "with open_input('-') as audio:\n"
        "    with open_output('-', audio.sample_rate, audio.channels) as output:\n"
        "        for block in audio.blocks(1000): output.write(block)\n"
        "print(*audio.losses, *audio.warnings, *audio.notes, sep='\\n', end='\\n' * bool(audio.losses + audio.notes),"
        " file=sys.stderr)\n"
    )

    def run(data):
        done = subprocess.run([sys.executable, "-c", child], input=data, capture_output=True, check=True, timeout=60)
        return done.stdout, done.stderr.decode()

    return run


def test_tails_that_are_no_sound_are_no_loss(tmp_path, made):
    id3v1 = b"TAG" + b"Title".ljust(30, b"\0") + b"Artist".ljust(30, b"\0") + bytes(64) + b"\xff"
    for format in ("WAV", "AIFF", "AU", "CAF", "FLAC", "MP3"):
        for tail, tags in ((id3v1, {"TITLE": "Title", "ARTIST": "Artist"}), (bytes(70_000), {}), (b"xyz", {})):
            (tmp_path / "a").write_bytes(made[format] + tail)
            back, audio = read(tmp_path / "a")
            assert abs(back.shape[1] - N) <= (0 if format != "MP3" else 2000)
            assert (told(audio), audio.tags) == ([], tags), (format, tail[:10])


@pytest.mark.parametrize("style", ["head", "tail", "both"])
def test_odd_chunks_without_their_pad_byte(tmp_path, made, style):
    samples = made["WAV"][44:]
    odd = b"abcd" + struct.pack("<I", 5) + b"12345"
    before = odd if style != "tail" else b""
    behind = odd + build_info({"TITLE": "x"}) if style != "head" else b""
    fmt = made["WAV"][12:36]
    (tmp_path / "a").write_bytes(
        b"RIFF\0\0\0\0WAVE" + before + fmt + odd * 2 + b"data" + struct.pack("<I", len(samples)) + samples + behind
    )
    back, audio = read(tmp_path / "a")
    assert np.array_equal(back, made["16"])
    assert told(audio) == []
    assert audio.tags == ({"TITLE": "x"} if behind else {})


def test_a_chunk_that_swallows_the_samples_is_named(tmp_path, made):
    data = made["WAV"]
    (tmp_path / "a").write_bytes(data[:36] + b"JUNK" + struct.pack("<I", len(data)) + data[36:])
    with pytest.raises(AudioError, match=rf"header \(its 'JUNK' chunk announces {len(data):,} bytes\), before any"):
        read(tmp_path / "a")


def test_flac_counts_that_are_wrong(tmp_path, made):
    path, data = tmp_path / "a", made["FLAC"]
    what = int.from_bytes(data[18:26], "big") >> 36 << 36
    for count, text in ((0, None), (1000, "announces 1000 samples per channel, holds 60000: read on"),
                        (10**6, "cut off or damaged: announces 1000000 samples per channel, holds 60000")):  # fmt: skip
        path.write_bytes(patched(data, 18, what | count, ">Q"))
        back, audio = read(path)
        assert np.array_equal(back, made["16"])
        assert told(audio) == ([f"{path}: {text}"] if text else [])
        assert bool(audio.losses) == (count == 10**6)


def test_damaged_flac_frames_become_silence(tmp_path, made):
    path, data = tmp_path / "a", made["FLAC"]
    for kind in ("changed", "zeroed", "missing"):
        at = len(data) // 2
        middle = {"changed": bytes([data[at] ^ 255]) + data[at + 1 : at + 9000], "zeroed": bytes(9000), "missing": b""}
        path.write_bytes(data[:at] + middle[kind] + data[at + 9000 :])
        with_silence, audio = read(path)
        assert audio.n_samples == N
        wrong = np.flatnonzero((with_silence != made["16"]).any(axis=0))
        assert 0 < len(wrong) <= wrong[-1] - wrong[0] + 1 <= 4 * 4096
        assert not with_silence[:, wrong].any()
        assert len(audio.losses) == 1
        assert "damaged at 1 place: silence in place of " in audio.losses[0]


@pytest.mark.parametrize("bits", [8, 12, 16, 20, 24, 32])
def test_flac_of_every_depth(tmp_path, bits):
    need("flac")
    width = (bits + 7) // 8
    full = 2 ** (bits - 1)
    values = np.rint(tones() * full).clip(-full, full - 1).astype("<i8")
    stored = (values.T << 8 * width - bits) + (128 if width == 1 else 0)
    raw = stored.reshape(-1, 1).view(np.uint8)[:, :width].tobytes()
    guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, 2, RATE, RATE * 2 * width, 2 * width, 8 * width, 22, bits, 3) + guid
    head = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(raw))
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(head) + len(raw)) + head + raw)
    for flags, name in (([], "a.flac"), (["--ogg"], "a.oga")):
        subprocess.run(["flac", "-s", *flags, tmp_path / "a.wav", "-o", tmp_path / name], check=True)
        back, audio = read(tmp_path / name)
        assert np.array_equal(back, (values / full).astype(np.float32))
        assert (audio.n_samples, told(audio)) == (N, [])


@pytest.mark.parametrize(
    ("page", "byte", "text"),
    [
        (-1, 200, "1 Ogg page broken or missing: "), (-1, 25, "1 Ogg page broken"), (2, 300, "1 Ogg page broken"),
        (5, 400, "1 Ogg page broken"), (5, 0, "1 Ogg page broken"), (-1, 0, "cut off: its last page is missing"),
        (-1, 26, "cut off: its last page is missing"),
    ],
)  # fmt: skip
def test_damaged_ogg_pages_are_told(tmp_path, made, page, byte, text):
    data = bytearray(made["OGG"])
    data[pages(data)[page] + byte] ^= 0xFF
    (tmp_path / "a").write_bytes(data)
    back, audio = read(tmp_path / "a")
    assert N // 2 < back.shape[1] < N
    assert len(audio.losses) == 1
    assert text in audio.losses[0]
    if "missing: " in text:
        assert f" {(N - back.shape[1]) / RATE:.2f} s of sound" in audio.losses[0]


def test_an_ogg_link_without_its_first_page_is_told(tmp_path, made):
    sf.write(tmp_path / "a", tones().T, RATE, format="OGG")
    second = bytearray((tmp_path / "a").read_bytes())
    assert second[14:18] != made["OGG"][14:18]  # libsndfile numbers streams at random
    second[40] ^= 1
    (tmp_path / "a").write_bytes(made["OGG"] + second)
    back, audio = read(tmp_path / "a")
    assert back.shape == (2, N)
    assert "left out of a stream whose first page is missing" in audio.losses[0]
    for at in pages(second):
        second[at + 22] ^= 1
    (tmp_path / "a").write_bytes(made["OGG"] + second)
    assert "left out that fit no stream" in read(tmp_path / "a")[1].losses[0]


@pytest.mark.parametrize("size", [5000, 70_000])
def test_mp3_behind_garbage(tmp_path, made, size):
    garbage = np.random.default_rng(1).integers(0, 256, size, np.uint8).tobytes()
    (tmp_path / "a").write_bytes(made["MP3"])
    expected, _ = read(tmp_path / "a")
    for junk in (garbage, bytes(size)):
        (tmp_path / "a").write_bytes(junk + made["MP3"])
        back, audio = read(tmp_path / "a")
        assert np.array_equal(back, expected)
        assert told(audio) == [f"{tmp_path / 'a'}: {size:,} bytes before the first MP3 frame were passed over"]


def test_mp3_with_damage_or_a_wrong_count(tmp_path, made):
    path, data = tmp_path / "a", made["MP3"]
    path.write_bytes(data)
    n = read(path)[0].shape[1]
    at = data.index(b"Xing") + 8
    frames = struct.unpack_from(">I", data, at)[0]
    path.write_bytes(patched(data, at, 5, ">I"))  # fewer frames than there are
    assert abs(read(path)[0].shape[1] - n) < 2000
    path.write_bytes(patched(data, at, frames + 10, ">I"))
    assert "cut off: announces" in read(path)[1].losses[0]
    path.write_bytes(data[:5000] + b"x" * 1000 + data[6000:])
    back, audio = read(path)
    assert n - 9000 < back.shape[1] < n
    assert len(audio.losses) == 1
    assert "are no MP3 frames: left out" in audio.losses[0]
    path.write_bytes(data[:417])
    with pytest.raises(AudioError, match="holds the head of an MP3 file and no frame of sound"):
        read(path)


def test_short_mp3(tmp_path):
    need("lame")
    sf.write(tmp_path / "a.wav", tones(1, 100).T, RATE)
    subprocess.run(["lame", "--quiet", "-V9", tmp_path / "a.wav", tmp_path / "a.mp3"], check=True)
    back, audio = read(tmp_path / "a.mp3")
    assert back.shape[1] > 40
    assert told(audio) == []


def test_mpg123_says_nothing_on_stderr(tmp_path, made):
    need("lame")
    sf.write(tmp_path / "a.wav", tones().T, RATE)
    for flags, name in ((["-b", "128"], "1.mp3"), (["-V5"], "2.mp3")):
        subprocess.run(["lame", "--quiet", *flags, tmp_path / "a.wav", tmp_path / name], check=True)
    joined = (tmp_path / "1.mp3").read_bytes() + (tmp_path / "2.mp3").read_bytes()
    broken = bytearray(joined)
    broken[5004:5200] = bytes(196)
    (tmp_path / "j.mp3").write_bytes(joined)
    (tmp_path / "k.mp3").write_bytes(broken)
    child = "import sys; from rvqcodec.audio import open_input\nfor name in sys.argv[1:]:\n" + (
        "    with open_input(name) as audio: print(sum(block.shape[1] for block in audio.blocks()))"
    )
    command = [sys.executable, "-c", child, tmp_path / "j.mp3", tmp_path / "k.mp3"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    assert done.stdout.split()[0] == str(2 * N).encode()


def test_bytes_before_the_first_ogg_page_are_told(tmp_path, made):
    (tmp_path / "a").write_bytes(b"junk" * 500 + made["OGG"])
    back, audio = read(tmp_path / "a")
    assert back.shape == (2, N)
    assert told(audio) == [f"{tmp_path / 'a'}: 2,000 bytes before the first Ogg page were passed over"]


def test_streams_side_by_side_are_told(tmp_path, made):
    need("ffmpeg")
    sf.write(tmp_path / "a.wav", tones().T, RATE)
    sound, picture = ["-i", tmp_path / "a.wav"], ["-f", "lavfi", "-i", "testsrc=d=1:s=32x32"]
    command = ["ffmpeg", "-v", "error", *sound, *sound, "-map", "0", "-map", "1", "-c:a", "libvorbis"]
    subprocess.run([*command, tmp_path / "a.ogg"], check=True)
    assert read(tmp_path / "a.ogg")[1].losses == [f"{tmp_path / 'a.ogg'}: a stream of Vorbis was left out"]
    command = ["ffmpeg", "-v", "error", *picture, *sound, "-c:v", "libtheora", "-c:a", "libvorbis"]
    subprocess.run([*command, tmp_path / "b.ogg"], check=True)
    _, audio = read(tmp_path / "b.ogg")
    assert told(audio) == [f"{tmp_path / 'b.ogg'}: a stream of Theora video was left out"]
    assert not audio.losses


def test_wrong_sizes_around_other_codings_are_told(tmp_path):
    path = tmp_path / "a.wav"
    sf.write(path, tones(1).T, RATE, subtype="IMA_ADPCM")
    data = path.read_bytes()
    at = data.index(b"data") + 4
    size = struct.unpack_from("<I", data, at)[0]
    assert told(read(path)[1]) == []
    for stated, text in (
        (size // 4, "bytes behind the samples left out"),
        (4 * size, f"cut off: announces {4 * size:,}"),
    ):
        path.write_bytes(patched(data, at, stated))
        assert text in read(path)[1].losses[0]
    path.write_bytes(data[: len(data) // 2])
    assert "cut off: announces" in read(path)[1].losses[0]


def flac_frame(number, value, rate_code, channels=1, block=4096):
    """A frame of `block` equal 16-bit samples, block being 4096; rate codes as in RFC 9639."""
    head = bytes([0xFF, 0xF8, 0xC << 4 | rate_code, channels - 1 << 4 | 4 << 1, number])
    body = head + bytes([crc8(head)]) + (b"\0" + struct.pack(">h", value)) * channels
    return body + struct.pack(">H", crc16(body))


def flac_file(frames, rate=RATE, channels=1, bits=16, n_samples=0):
    what = rate << 44 | (channels - 1) << 41 | (bits - 1) << 36 | n_samples
    return (
        b"fLaC\x80\0\0\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + struct.pack(">Q", what) + bytes(16) + frames
    )


def test_flac_that_changes_in_mid_stream(tmp_path):
    path = tmp_path / "a"
    first, same = (b"".join(flac_frame(n, 9000, 9) for n in range(start, start + 8)) for start in (0, 8))
    path.write_bytes(flac_file(first + same))
    back, audio = read(path)
    assert (back.shape, told(audio)) == ((1, 16 * 4096), [])
    path.write_bytes(flac_file(first + b"".join(flac_frame(n, 9000, 6) for n in range(8, 16)), n_samples=16 * 4096))
    back, audio = read(path)
    assert back.shape == (1, 24 * 4096)  # half the rate from the middle on
    assert np.abs(back[:, 8 * 4096 + 500 : -500] - 9000 / 32768).max() < 1e-3
    assert told(audio) == [f"{path}: part 2 was converted from 22050 to 44100 Hz, the first one's"]
    path.write_bytes(flac_file(first + b"".join(flac_frame(n, 9000, 9, 2) for n in range(8, 16))))
    back, audio = read(path)
    assert back.shape == (1, 8 * 4096)
    assert audio.losses == [f"{path}: part 2 was left out: it has 2 channels, the first one 1"]


def test_flac_heads_that_are_wrong_or_missing(tmp_path):
    path = tmp_path / "a"
    frames = b"".join(flac_frame(n, 9000, 9) for n in range(8))
    samples = np.full((1, 8 * 4096), 9000 / 32768, np.float32)
    right = "44100 Hz, 1 channel of 16 bits: these were believed"
    for wrong, said in (
        ({"rate": 48000}, "48000 Hz, 1 channel of 16"), ({"channels": 5}, "44100 Hz, 5 channels of 16"),
        ({"bits": 24}, "44100 Hz, 1 channel of 24"),
    ):  # fmt: skip
        path.write_bytes(flac_file(frames, **wrong, n_samples=8 * 4096))
        back, audio = read(path)
        assert np.array_equal(back, samples)
        assert told(audio) == [f"{path}: its head says {said} bits, its frames {right}"]
    picture = b"\x86\0\0\x05" + bytes(3000)  # announces less than it has
    path.write_bytes(b"fLaC\0" + flac_file(b"")[5:] + picture + frames)
    assert np.array_equal(read(path)[0], samples)
    for before in (b"", b"junk" * 300, b"fLaC\x81\0\0\x08" + bytes(8)):
        path.write_bytes(before + frames)
        back, audio = read(path)
        assert np.array_equal(back, samples)
        assert told(audio) == [f"{path}: has no head; its frames from byte {len(before):,} on were read"]


def test_mp3_that_gives_more_away_than_it_has(tmp_path):
    need("lame")
    sf.write(tmp_path / "a.wav", tones(1, 3000).T, RATE)
    subprocess.run(["lame", "--quiet", "-b", "64", tmp_path / "a.wav", tmp_path / "a.mp3"], check=True)
    data = (tmp_path / "a.mp3").read_bytes()
    at = data.index(b"LAME") + 21
    path = tmp_path / "b.mp3"
    path.write_bytes(data[:at] + b"\xff\xff\xff" + data[at + 3 :])  # 4095 samples off each end
    assert read(path)[0].shape[1] > 500


def test_aiff_whose_header_counts_more_than_it_holds(tmp_path, made):
    data = made["AIFF"]
    at = data.index(b"COMM") + 10
    (tmp_path / "a").write_bytes(patched(data, at, 2 * N, ">I"))
    back, audio = read(tmp_path / "a")
    assert np.array_equal(back, made["16"])
    assert f"its header counts {2 * N} samples per channel, its 'SSND' chunk holds {N}" in audio.losses[0]


@pytest.mark.parametrize(
    ("stated", "rate"), [(0, 48000), (7, 48000), (2**32 - 1, 48000), (16000, 16000), (44100, 48000)]
)
def test_opus_whose_head_states_no_rate_or_a_wrong_one(tmp_path, stated, rate):
    sf.write(tmp_path / "a", tones(rate=48000).T, 48000, format="OGG", subtype="OPUS")
    data = (tmp_path / "a").read_bytes()
    end = pages(data)[1]
    page = patched(data[:end], data.index(b"OpusHead") + 12, stated)
    (tmp_path / "a").write_bytes(page[:22] + page_checksum(page) + page[26:] + data[end:])
    back, audio = read(tmp_path / "a")
    assert (audio.sample_rate, back.shape[1], told(audio)) == (rate, N * rate // 48000, [])


def test_a_size_of_nothing_before_samples_means_to_the_end(tmp_path, made):
    data = made["WAV"]
    (tmp_path / "a").write_bytes(patched(data, data.index(b"data") + 4, 0))  # the RIFF size stays right
    back, audio = read(tmp_path / "a")
    assert np.array_equal(back, made["16"])
    assert told(audio) == []
