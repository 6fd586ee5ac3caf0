"""Real pipes and real processes: WAV and raw streamed, other formats spooled, every byte out, memory constant."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile as sf

from rvqcodec.audio import RawFormat, open_input, open_output
from rvqcodec.audio.wavwrite import wav_head

# A child that copies stdin to the output named by its first argument and tells what it saw on stderr.
COPY = """
import sys
from rvqcodec.audio import RawFormat, open_input, open_output
from rvqcodec.errors import AudioError
target, subtype, raw = sys.argv[1:4]
try:
    with open_input("-", RawFormat(8000, 1) if raw == "raw" else None) as audio:
        with open_output(target, audio.sample_rate, audio.channels, subtype=subtype or None,
                         format="raw" if raw else None, n_samples=audio.n_samples, tags=audio.tags) as output:
            for block in audio.blocks(1000):
                output.write(block)
    for line in audio.warnings + audio.losses:
        print("warning:", line, file=sys.stderr)
except AudioError as error:
    print(error, file=sys.stderr)
    sys.exit(1)
except BrokenPipeError:
    sys.exit(7)
"""


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def copy(target="-", subtype="", raw=""):
    """The child's command, to be run with `subprocess`."""
    return [sys.executable, "-c", COPY, str(target), subtype, raw]


def run(data, target="-", subtype="", raw="", env=None, **options):
    command = copy(target, subtype, raw)
    env = None if env is None else {**os.environ, **env}
    pipe = {"input": data} if isinstance(data, bytes) else {"stdin": data}
    return subprocess.run(command, **pipe, capture_output=True, env=env, timeout=60, **options)


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """Two channels of noise and tone, 0.7 s at 44.1 kHz, as a 24-bit WAV file."""
    path = tmp_path_factory.mktemp("song") / "song.wav"
    rng = np.random.default_rng(8)
    tone = 0.4 * np.sin(np.arange(30_870) / 9)[:, None] + rng.uniform(-0.3, 0.3, (30_870, 2))
    sf.write(path, tone, 44100, subtype="PCM_24")
    return path


@pytest.mark.parametrize(
    ("coding", "flags"),
    [
        ("pcm_u8", []),
        ("pcm_s16le", []),
        ("pcm_s24le", ["-metadata", "title=Größe", "-metadata", "artist=odd"]),
        ("pcm_s32le", ["-rf64", "always"]),
        ("pcm_f32le", ["-rf64", "always", "-metadata", "title=Größe", "-metadata", "artist=odd"]),
        ("pcm_f64le", []),
    ],
)
def test_wav_from_ffmpeg(song, coding, flags, tmp_path):
    need("ffmpeg")
    command = ["ffmpeg", "-v", "error", "-i", song, *flags, "-c:a", coding]
    subprocess.run([*command, tmp_path / "a.wav"], check=True)
    with subprocess.Popen([*command, "-f", "wav", "-"], stdout=subprocess.PIPE) as ffmpeg:
        result = run(ffmpeg.stdout, tmp_path / "b.wav", "PCM_32")
    assert (result.returncode, result.stderr) == (0, b"")
    expected = sf.read(tmp_path / "a.wav", dtype="float32")[0]
    with open_input(tmp_path / "b.wav") as audio:
        assert np.array_equal(np.concatenate(list(audio.blocks()), axis=1), expected.T)
        assert audio.tags == ({"TITLE": "Größe", "ARTIST": "odd"} if "-metadata" in flags else {})


@pytest.mark.parametrize("flags", [["-b", "16"], ["-b", "24"], ["-b", "32", "-e", "float"]])
def test_wav_from_sox_of_unknown_length(song, flags, tmp_path):
    need("sox")
    subprocess.run(["sox", "-D", song, *flags, tmp_path / "a.wav"], check=True)
    # sox's own stream format has no length, so sox cannot put one into the WAV head.
    with (
        subprocess.Popen(["sox", song, "-p"], stdout=subprocess.PIPE) as first,
        subprocess.Popen(
            ["sox", "-D", "-p", *flags, "-t", "wav", "-"],
            stdin=first.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as second,
    ):  # fmt: skip
        result = run(second.stdout, tmp_path / "b.wav", "FLOAT")
    assert (result.returncode, result.stderr) == (0, b"")
    assert np.array_equal(sf.read(tmp_path / "a.wav")[0], sf.read(tmp_path / "b.wav")[0])


@pytest.mark.parametrize("format", ["FLAC", "OGG", "MP3", "AIFF"])
def test_other_formats_are_spooled_and_leave_nothing_behind(song, format, tmp_path):
    samples, rate = sf.read(song)
    sf.write(tmp_path / "a", samples, rate, format=format)
    (tmp_path / "spool").mkdir()
    result = run((tmp_path / "a").read_bytes(), subtype="FLOAT", env={"TMPDIR": str(tmp_path / "spool")})
    assert result.returncode == 0
    (tmp_path / "b.wav").write_bytes(result.stdout)
    expected, _ = sf.read(tmp_path / "a", dtype="float32")
    assert np.array_equal(sf.read(tmp_path / "b.wav", dtype="float32")[0], expected)
    assert os.listdir(tmp_path / "spool") == []


def test_wav_coding_that_we_leave_to_libsndfile_works_from_a_pipe(tmp_path):
    sf.write(tmp_path / "a.wav", np.sin(np.arange(5000) / 9), 8000, subtype="ALAW")
    result = run((tmp_path / "a.wav").read_bytes(), tmp_path / "b.wav")
    assert (result.returncode, result.stderr) == (0, b"")
    assert np.array_equal(*(sf.read(tmp_path / name, dtype="int16")[0] for name in ("a.wav", "b.wav")))


def test_file_as_stdin_is_read_as_a_file(song, tmp_path):
    with song.open("rb") as file:
        result = run(file, subtype="PCM_24")
    assert (result.returncode, result.stdout) == (0, song.read_bytes())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "stdin: is empty"),
        (b"RIFF", "stdin: not audio that rvq reads"),
        (b"\x89PNG" * 1000, "stdin: not audio that rvq reads (WAV, W64, FLAC, OGG (Vorbis, Opus, FLAC), MP3"),
        (b"fLaC" + bytes(100), "stdin: cannot be read"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "stdin: ends within its WAV header"),
    ],
)
def test_refusals_are_one_line(data, text):
    result = run(data)
    assert (result.returncode, result.stdout) == (1, b"")
    assert text in result.stderr.decode()
    assert result.stderr.count(b"\n") == 1


def test_closed_stdin_and_closed_stdout_are_one_line(song):
    command = copy()
    for redirect in ("<&-", f"<{song} >&-"):
        result = subprocess.run(["sh", "-c", f'"$@" {redirect}', "sh", *command], capture_output=True, timeout=60)
        assert result.returncode == 1
        assert b"Bad file descriptor" in result.stderr
        assert result.stderr.count(b"\n") == 1


def test_pipe_and_file_hold_the_same_bytes(song, tmp_path):
    samples, rate = sf.read(song, dtype="float32")
    with open_output(tmp_path / "a.wav", rate, 2, n_samples=len(samples), tags={"TITLE": "x"}) as output:
        output.write(samples.T)
    child = (
        "import sys, soundfile; from rvqcodec.audio import open_output\n"
        "samples, rate = soundfile.read(sys.argv[1], dtype='float32')\n"
        "with open_output('-', rate, 2, n_samples=len(samples), tags={'TITLE': 'x'}) as out: out.write(samples.T)"
    )
    result = subprocess.run([sys.executable, "-c", child, song], check=True, stdout=subprocess.PIPE, timeout=60)
    assert result.stdout == (tmp_path / "a.wav").read_bytes()


def test_stdout_that_is_a_file_gets_its_sizes_and_an_appended_one_is_left_alone(song, tmp_path):
    data = wav_head(8000, 1, "PCM_16", None, {}, room_for_ds64=False) + bytes(2000)
    with (tmp_path / "a.wav").open("wb") as file:
        subprocess.run(copy(), input=data, stdout=file, check=True, timeout=60)
    assert (tmp_path / "a.wav").read_bytes()[4:8] == (36 + 2000).to_bytes(4, "little")
    with (tmp_path / "b.wav").open("ab") as file:
        subprocess.run(copy(), input=data, stdout=file, check=True, timeout=60)
    assert (tmp_path / "b.wav").read_bytes() == data


@pytest.mark.parametrize(("unbuffered", "blocking"), [("1", True), ("", False)])
def test_every_byte_comes_out_of_a_full_pipe(unbuffered, blocking):
    data = np.random.default_rng(2).integers(0, 256, 3_000_000, np.uint8).tobytes()
    head = wav_head(48000, 2, "PCM_24", 500_000, {}, room_for_ds64=False)
    inner, outer = os.pipe()
    os.set_blocking(outer, blocking)
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = copy(subtype="PCM_24")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=outer, env=env) as child:
        os.close(outer)
        feeder = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"],
            stdin=subprocess.PIPE,
            stdout=child.stdin,
        )
        child.stdin.close()
        feeder.stdin.write(head + data)
        feeder.stdin.close()
        time.sleep(0.2)  # let the pipe fill up
        with open(inner, "rb") as out:
            got = out.read()
        feeder.wait()
    assert child.returncode == 0
    assert got[44:] == data
    assert got[40:44] == b"\xff\xff\xff\xff"


def test_first_samples_come_out_before_the_input_ends():
    command = copy(raw="raw")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdin.write(bytes(range(256)) * 16)
        child.stdin.flush()
        assert child.stdout.read(4000) == (bytes(range(256)) * 16)[:4000]
        child.stdin.close()
        assert len(child.stdout.read()) == 96
    assert child.returncode == 0


def test_a_file_is_ready_and_a_pipe_when_something_has_come(song, tmp_path):
    with open_input(song) as audio:
        assert audio.ready(0)
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # a reader too: so neither end waits for the other
    with open_input(path, RawFormat(44100, 1)) as audio:
        assert not audio.ready(0)
        os.write(writer, bytes(2000))
        assert audio.ready(5)
        assert next(audio.blocks(1000)).shape == (1, 1000)
        assert not audio.ready(0)
        os.close(writer)
        assert audio.ready(5)  # for the end


def test_reader_that_leaves_early_is_a_broken_pipe():
    command = copy(raw="raw")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdout.close()
        child.stdin.write(bytes(4000))
        child.stdin.close()
        assert child.stderr.read() == b""
    assert child.returncode == 7


def test_writer_is_not_cut_off_by_chunks_behind_the_samples():
    data = wav_head(8000, 1, "PCM_16", 4, {}, room_for_ds64=False) + bytes(8)
    command = copy()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdin.write(data)
        child.stdin.flush()
        time.sleep(0.5)
        child.stdin.write(b"LIST" + (500_000).to_bytes(4, "little") + bytes(500_000))  # more than a pipe holds
        child.stdin.close()
        assert child.stdout.read()[44:] == bytes(8)
    assert child.returncode == 0


def test_pipe_that_ends_early_warns():
    result = run(wav_head(8000, 1, "PCM_16", 4000, {}, room_for_ds64=False) + bytes(2001))
    assert result.returncode == 0
    assert len(result.stdout) == 44 + 2000
    assert result.stderr.decode().startswith("warning: stdin: cut off: announces 4000 samples per channel, holds 1000")


def test_fifo_given_by_name_is_a_pipe(song, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["sh", "-c", f"cat '{song}' > '{tmp_path / 'pipe'}'"]) as cat:
        with open_input(tmp_path / "pipe") as audio:
            assert audio.n_samples is None
            assert audio.expected == 30_870
            assert sum(block.shape[1] for block in audio.blocks()) == 30_870
        assert cat.wait() == 0


MEMORY = """
import resource, sys
from rvqcodec.audio import Resampler, open_input, open_output
with open_input("-") as audio, open_output("-", 44100, audio.channels) as output:
    resampler = Resampler(audio.sample_rate, 44100, audio.channels)
    for i, block in enumerate(audio.blocks()):
        output.write(resampler.push(block))
        if i == 5:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    output.write(resampler.flush())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early, audio.samples_read, file=sys.stderr)
"""


def test_memory_does_not_grow_with_the_length():
    head = wav_head(48000, 2, "PCM_16", None, {}, room_for_ds64=False)
    block = np.random.default_rng(4).integers(0, 256, 1 << 20, np.uint8).tobytes()
    with open(os.devnull, "wb") as nowhere:
        child = subprocess.Popen(
            [sys.executable, "-c", MEMORY], stdin=subprocess.PIPE, stdout=nowhere, stderr=subprocess.PIPE
        )
        child.stdin.write(head)
        for _ in range(40):
            child.stdin.write(block)
        child.stdin.close()
        grown, n_samples = map(int, child.stderr.read().split())
        child.stderr.close()
        assert child.wait() == 0
    assert n_samples == 40 * (1 << 20) // 4
    assert grown < 10_000  # KiB; the input has 40 MiB, and 80 as float32


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_runs_leave_no_result_and_the_next_run_cleans_up(tmp_path, name, number):
    command = copy(tmp_path / name)
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    noise = np.random.default_rng(9).integers(0, 256, 400_000, np.uint8).tobytes()
    child.stdin.write(wav_head(44100, 1, "PCM_16", None, {}, room_for_ds64=False) + noise)
    child.stdin.flush()
    while not any(entry.stat().st_size > 3000 for entry in tmp_path.iterdir()):
        assert child.poll() is None
        time.sleep(0.01)
    assert name not in os.listdir(tmp_path)
    child.send_signal(number)
    child.stdin.close()
    assert child.wait() != 0
    assert len(os.listdir(tmp_path)) == (1 if number == signal.SIGKILL else 0)
    with open_output(tmp_path / name, 44100, 1) as output:
        output.write(np.zeros((1, 10), np.float32))
    assert os.listdir(tmp_path) == [name]
