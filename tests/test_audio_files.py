"""Files in and out: formats, sample types, tags, lengths, refusals; results appear whole or not at all."""

import os
import shutil
import subprocess

import numpy as np
import pytest
import soundfile as sf

from rvqcodec.audio import RawFormat, open_input, open_output
from rvqcodec.audio.formats import SUBTYPES
from rvqcodec.errors import AudioError

TAGS = {"TITLE": "Größe", "ARTIST": "Wer", "DATE": "2026", "TRACKNUMBER": "3", "COMMENT": "a = b"}


def tone(channels=2, n=3000, rate=44100):
    steps = np.arange(n) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * 300 * (c + 1) * steps) for c in range(channels)]).astype(np.float32)


def read(path, raw=None, block=1000):
    with open_input(path, raw) as audio:
        blocks = list(audio.blocks(block))
    assert all(b.dtype == np.float32 and b.flags.c_contiguous and b.shape[1] for b in blocks)
    assert all(b.shape == (audio.channels, block) for b in blocks[:-1])
    samples = np.concatenate([np.zeros((audio.channels, 0), np.float32), *blocks], axis=1)
    assert samples.shape[1] == audio.samples_read
    return samples, audio


def write(path, samples, rate=44100, **options):
    with open_output(path, rate, samples.shape[0], **options) as output:
        for at in range(0, samples.shape[1], 777):
            output.write(samples[:, at : at + 777])
    assert output.samples_written == samples.shape[1]
    return output


def need(tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("a.wav", None, 2**-16), ("a.WAV", "pcm_24", 2**-24), ("a.wave", "Pcm_32", 2**-24),
        ("a.wav", "float", 0), ("a.wav", "u8", 2**-8), ("a.wav", "PCM_U8", 2**-8),
        ("a.flac", None, 2**-16), ("a.flac", "PCM_24", 2**-24),
        ("a.ogg", None, 0.05), ("a.oga", "vorbis", 0.05), ("a.opus", None, 0.05), ("a.ogg", "opus", 0.05),
    ],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2])
def test_written_files_read_back(tmp_path, name, subtype, error, channels):
    samples = tone(channels, rate=48000)
    write(tmp_path / name, samples, 48000, subtype=subtype, tags=TAGS)
    back, audio = read(tmp_path / name)
    assert (audio.sample_rate, audio.channels, audio.n_samples) == (48000, channels, 3000)
    # Lossy formats ring where the tone stops.
    inner = slice(None) if error < 0.01 else slice(1000, 2000)
    assert np.abs(back - samples)[:, inner].max() <= error
    assert audio.tags == TAGS
    assert audio.warnings == []
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.raw"])
@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("channels", [1, 8])
def test_no_sample_and_one_sample(tmp_path, name, n, channels):
    write(tmp_path / name, np.full((channels, n), 0.25, np.float32))
    raw = RawFormat(44100, channels) if name == "a.raw" else None
    back, audio = read(tmp_path / name, raw)
    assert back.shape == (channels, n)
    assert audio.n_samples == (n if n or name != "a.flac" else None)  # FLAC has no word for "none"
    assert np.allclose(back, 0.25, atol=0 if name != "a.ogg" else 0.3)


@pytest.mark.parametrize("rate", [8000, 12345, 192000])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_lowest_and_highest_rates(tmp_path, name, rate):
    write(tmp_path / name, tone(1, rate=rate), rate)
    back, audio = read(tmp_path / name)
    assert (audio.sample_rate, back.shape) == (rate, (1, 3000))


def test_flac_wav_and_raw_hold_the_same_integers(tmp_path):
    samples = np.random.default_rng(1).uniform(-1.1, 1.1, (2, 5000)).astype(np.float32)
    outputs = [write(tmp_path / name, samples) for name in ("a.wav", "a.flac", "a.raw")]
    outside = int(np.count_nonzero(np.abs(samples) > 1))
    assert [output.clipped for output in outputs] == [outside] * 3
    wav, flac = (sf.read(tmp_path / name, dtype="int16")[0] for name in ("a.wav", "a.flac"))
    assert np.array_equal(wav, flac)
    assert np.array_equal(wav, np.fromfile(tmp_path / "a.raw", "<i2").reshape(-1, 2))
    assert np.abs(wav / 32768 - samples.T.clip(-1, 1)).max() <= 2**-15


def test_known_length_and_unknown_length_differ_only_in_the_head(tmp_path):
    samples = tone()
    write(tmp_path / "known.wav", samples, n_samples=3000)
    write(tmp_path / "unknown.wav", samples)
    write(tmp_path / "wrong.wav", samples, n_samples=17)
    known = (tmp_path / "known.wav").read_bytes()
    assert len(known) == 44 + 4 * 3000
    assert (tmp_path / "wrong.wav").read_bytes() == known
    assert (tmp_path / "unknown.wav").read_bytes()[-4 * 3000 :] == known[44:]
    assert sf.info(tmp_path / "unknown.wav").frames == 3000


def test_float_keeps_values_beyond_full_scale(tmp_path):
    loud = tone() * 4
    assert write(tmp_path / "a.wav", loud, subtype="FLOAT").clipped == 0
    assert np.array_equal(read(tmp_path / "a.wav")[0], loud)
    assert write(tmp_path / "b.raw", loud, subtype="f32le").clipped == 0
    assert np.array_equal(read(tmp_path / "b.raw", RawFormat(44100, 2, "f32le"))[0], loud)
    assert write(tmp_path / "a.ogg", loud).clipped > 0


def test_nan_and_infinity_in_are_replaced_and_counted(tmp_path):
    samples = np.full((2, 10), 0.5)
    samples[0, 3], samples[1, 4], samples[0, 5], samples[1, 9] = np.nan, np.inf, -np.inf, 1e30
    for subtype in ("FLOAT", "DOUBLE"):
        sf.write(tmp_path / "a.wav", samples.T, 44100, subtype=subtype)
        back, audio = read(tmp_path / "a.wav", block=4)
        assert audio.repaired == 4
        assert back[0, 3] == back[1, 4] == back[0, 5] == 0
        assert back[1, 9] == 2**32
        assert np.count_nonzero(back == 0.5) == 16


@pytest.mark.parametrize("format", ["AIFF", "AU", "CAF", "W64", "FLAC", "OGG", "MP3"])
def test_other_formats_read_as_libsndfile_reads_them(tmp_path, format):
    sf.write(tmp_path / "a", tone(n=20000).T, 44100, format=format)
    reference, rate = sf.read(tmp_path / "a", dtype="float32")
    back, audio = read(tmp_path / "a", block=1234)
    assert audio.sample_rate == rate
    assert np.array_equal(back, reference.T)
    assert audio.n_samples == (None if format == "MP3" else len(reference))
    assert abs(audio.expected - len(reference)) < 2 * 1152
    assert audio.warnings == []


@pytest.mark.parametrize("subtype", ["ALAW", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_wav_with_other_codings_goes_through_libsndfile(tmp_path, subtype):
    sf.write(tmp_path / "a.wav", tone(1).T, 44100, subtype=subtype)
    reference, _ = sf.read(tmp_path / "a.wav", dtype="float32")
    assert np.array_equal(read(tmp_path / "a.wav")[0][0], reference)


def test_flac_of_unknown_length_is_read_to_its_end(tmp_path):
    need("ffmpeg")
    sf.write(tmp_path / "a.wav", tone(n=50000).T, 44100)
    made = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-f", "flac", "-"],
        check=True,
        stdout=subprocess.PIPE,
    )
    (tmp_path / "a.flac").write_bytes(made.stdout)
    back, audio = read(tmp_path / "a.flac", block=5000)
    assert audio.n_samples is None
    assert np.array_equal(back, sf.read(tmp_path / "a.wav", dtype="float32")[0].T)


def test_all_vorbis_comments_of_flac_and_opus(tmp_path):
    need("flac")
    need("opusenc")
    sf.write(tmp_path / "a.wav", tone(n=48000, rate=48000).T, 48000)
    tags = ["ARTIST=Ä", "artist=B", "ALBUMARTIST=C=D", "DISCNUMBER=2"]
    flags = [word for tag in tags for word in ("-T", tag)]
    subprocess.run(["flac", "-s", *flags, tmp_path / "a.wav", "-o", tmp_path / "a.flac"], check=True)
    subprocess.run(["opusenc", "--quiet", tmp_path / "a.flac", tmp_path / "a.opus"], check=True)
    for name in ("a.flac", "a.opus"):
        assert read(tmp_path / name)[1].tags == {"ARTIST": "Ä; B", "ALBUMARTIST": "C=D", "DISCNUMBER": "2"}


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_tags_without_a_place_are_named_and_odd_values_do_no_harm(tmp_path, name):
    tags = {"title": "x\n\x1b[31m", "ARTIST": "", "GENRE": "half \udce9", "MOOD": "calm", "COMMENT": "y" * 70_000}
    flac = name.endswith("flac")
    assert write(tmp_path / name, tone(), tags=tags).lost_tags == (() if flac else ("MOOD",))
    expected = {"TITLE": "x\n\x1b[31m", "GENRE": "half ?", "COMMENT": "y" * 70_000} | ({"MOOD": "calm"} if flac else {})
    assert read(tmp_path / name)[1].tags == expected
    assert write(tmp_path / "a.raw", tone(), tags=tags).lost_tags == ()


def test_raw_formats_and_their_refusals(tmp_path):
    (tmp_path / "a.raw").write_bytes(np.array([1, -1, 32767, -32768, 5], "<i2").tobytes() + b"x")
    back, audio = read(tmp_path / "a.raw", RawFormat(8000, 2))
    assert (back * 32768).tolist() == [[1, 32767], [-1, -32768]]
    assert (audio.sample_rate, audio.n_samples) == (8000, 2)
    assert "the last 3 bytes left out" in audio.warnings[0]
    for options in ((8000, 2, "s24le"), (7000, 1), (8000, 0), (8000, 9), (200000, 1)):
        with pytest.raises(AudioError):
            RawFormat(*options)


def make(path, kind):
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not audio at all, just a text of some length\n" * 20)
    elif kind == "folder":
        path.mkdir()
    elif kind == "9 channels":
        sf.write(path, np.zeros((10, 9)), 44100, format="AIFF")
    elif kind == "4 kHz":
        sf.write(path, np.zeros((10, 1)), 4000, format="FLAC")
    elif kind == "noise flac":
        sf.write(path, np.random.default_rng(0).uniform(-1, 1, 50000), 44100, format="FLAC")
        path.write_bytes(path.read_bytes()[:42] + b"noise" * 10_000)
    elif kind == "short wav":
        path.write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("missing", "No such file"), ("empty", "is empty"), ("text", "not audio that rvq reads (WAV, W64, FLAC"),
        ("folder", "directory"), ("9 channels", "9 channels; rvq takes 1 to 8"),
        ("4 kHz", "4000 Hz; rvq takes sample rates from 8000 to 192000 Hz"), ("noise flac", "damaged, or no"),
        ("short wav", "ends within its WAV header"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, kind, text):
    path = tmp_path / "song.wav"
    make(path, kind)
    with pytest.raises(AudioError) as caught:
        read(path)
    assert text in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["AIFF", "AU", "OGG", "MP3", "FLAC", "CAF", "W64"])
def test_cut_off_files_warn(tmp_path, format):
    path = tmp_path / "a"
    sf.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 100_000), 44100, format=format)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    back, audio = read(path)
    assert 0 < back.shape[1] < 60_000
    assert len(audio.losses) == 1
    assert "cut off" in audio.losses[0]


def test_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    path = tmp_path / "a.wav"
    write(path, tone(n=100_000), n_samples=100_000)
    with open_input(path) as audio:
        blocks = audio.blocks(1000)
        next(blocks)
        os.truncate(path, 50_000)
        with pytest.raises(AudioError, match="of 100000 samples per channel: damaged"):
            list(blocks)


def test_file_that_grows_is_read_to_its_first_length(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(2000))
    with open_input(path, RawFormat(8000, 1)) as audio:
        for _ in audio.blocks(100):
            with path.open("ab") as file:
                file.write(bytes(1000))
    assert audio.samples_read == audio.n_samples == 1000


def test_output_choices_are_checked_and_named(tmp_path):
    with pytest.raises(AudioError, match=r"must end in one of \.wav, \.wave, \.flac"):
        open_output(tmp_path / "a.mp3", 44100, 1)
    for name, legal in (("a.wav", SUBTYPES["wav"]), ("a.flac", SUBTYPES["flac"]), ("a.raw", SUBTYPES["raw"])):
        with pytest.raises(AudioError, match="PCM_13.*takes " + ", ".join(legal)):
            open_output(tmp_path / name, 44100, 1, subtype="PCM_13")
    with pytest.raises(AudioError, match="Opus takes 8000, 12000"):
        open_output(tmp_path / "a.opus", 44100, 1)
    with pytest.raises(AudioError, match="only wav and raw can"):
        open_output("-", 44100, 1, format="flac")
    with pytest.raises(AudioError, match="format 'aiff': must be one of wav, flac, ogg, raw"):
        open_output(tmp_path / "a.wav", 44100, 1, format="aiff")
    with pytest.raises(AudioError, match="from 8000 to 192000 Hz"):
        open_output(tmp_path / "a.wav", 4000, 1)
    (tmp_path / "there.wav").write_bytes(b"precious")
    with pytest.raises(AudioError, match=r"there\.wav exists; use -f"):
        open_output(tmp_path / "there.wav", 44100, 1, force=False)
    assert os.listdir(tmp_path) == ["there.wav"]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.raw"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, AudioError, ZeroDivisionError])
def test_nothing_stays_after_an_error_and_an_old_file_is_untouched(tmp_path, name, error):
    (tmp_path / name).write_bytes(b"old")

    def fail():
        with open_output(tmp_path / name, 44100, 2) as output:
            output.write(tone())
            assert (tmp_path / name).read_bytes() == b"old"
            assert len(os.listdir(tmp_path)) == 2
            raise error("stop")

    with pytest.raises(error, match="stop"):
        fail()
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"old"


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_result_appears_only_when_it_is_whole(tmp_path, name):
    with open_output(tmp_path / name, 44100, 2) as output:
        output.write(tone())
        assert not (tmp_path / name).exists()
        output.close()
        assert (tmp_path / name).exists()
    output.abort()
    assert sf.info(tmp_path / name).frames == 3000


def test_folder_or_missing_folder_as_target(tmp_path):
    (tmp_path / "a.wav").mkdir()
    for target in (tmp_path / "a.wav", tmp_path / "no" / "a.wav", tmp_path / "no" / "a.flac"):
        with pytest.raises(AudioError) as caught:
            open_output(target, 44100, 1)
        assert "\n" not in str(caught.value)
        assert str(target) in str(caught.value)


def test_devices_are_written_to_and_never_replaced(tmp_path):
    fifo = tmp_path / "pipe.wav"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write(fifo, tone(n=100), n_samples=100)
    data = os.read(reader, 10_000)
    os.close(reader)
    assert len(data) == 44 + 400
    assert fifo.is_fifo()
    write("/dev/null", tone(), format="raw")
    assert not os.path.isfile("/dev/null")
    with pytest.raises(AudioError, match="needs a regular file"):
        open_output("/dev/null", 44100, 1, format="flac")
