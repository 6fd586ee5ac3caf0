"""What goes with training: cache and crops, export, usage, curves, travel, credits; and `rvq train` itself."""

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinycodec
import torch
from conftest import Result, names_in

from rvqcodec.errors import AudioError, RvqError, WeightsError
from rvqcodec.models import cards, loading
from rvqcodec.models.rvq44.family import Rvq44
from rvqcodec.models.rvq44.network.envelope import on_steps
from rvqcodec.training import credits, curves, pieces, synthetic
from rvqcodec.training.codebook_usage import entropy, excerpts, measure_usage, read
from rvqcodec.training.data import Mix, Pool, build_cache, domain_of, held_out
from rvqcodec.training.evaluate import figures, held_out_clips
from rvqcodec.training.export import averaged_network, export
from rvqcodec.training.options import Options
from rvqcodec.training.tables import write as write_tables
from rvqcodec.training.trainer import Trainer

OPTIONS = Options(steps=4, batch=2, sub_frames=8, start_batches=1, carrier_steps=2, stereo_steps=2, judge_channels=2)
NAMES = [f"{domain}-{i}" for i in range(40) for domain in ("speech", "music", "sound")]
HELD = next(name for name in NAMES if held_out(f"{name}.wav.44100.npy"))
TRAINED = [name for name in NAMES if not held_out(f"{name}.wav.44100.npy")][:3]
TINY = [word for name, value in tinycodec.CONFIG.to_dict().items() for word in ("--set", f"{name}={value}")] + [
    "--set",
    "sub_frames=8",
    "--set",
    "carrier_steps=2",
    "--set",
    "stereo_steps=2",
    "--set",
    "start_batches=1",
    "--set",
    "log_every=2",
    "--batch",
    "2",
    "--device",
    "cpu",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three files to train on, one held out, and one that is no audio."""
    import soundfile

    folder = tmp_path_factory.mktemp("data")
    (folder / "below").mkdir()
    for i, name in enumerate(TRAINED):
        soundfile.write(folder / f"{name}.wav", tinycodec.sound(66150, channels=2, seed=i).T, 44100)
    soundfile.write(folder / f"{HELD}.wav", tinycodec.sound(24000 * 3, seed=9).T, 24000)
    (folder / "bad.flac").write_bytes(b"fLaC and no more")
    return folder


@pytest.fixture(scope="module")
def arrays(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return build_cache(data, tmp_path_factory.mktemp("cache"), 44100)


@pytest.fixture(scope="module")
def checkpoint(arrays: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's last.pt, of the network that all tests use."""
    out = tmp_path_factory.mktemp("run")
    trainer = Trainer(config=tinycodec.CONFIG, options=OPTIONS, pool=Pool(arrays, 44100), out=out)
    trainer.adopt(tinycodec.shared())
    trainer.save()
    return out / "last.pt"


class TestData:
    def test_cache_decodes_once(self, data: Path, tmp_path: Path) -> None:
        warned: list[str] = []
        shown: list[tuple[int, int]] = []
        first = build_cache(data, tmp_path, 44100, warn=warned.append, shown=lambda *at: shown.append(at))
        assert len(warned) == 1
        assert "bad.flac" in warned[0]
        assert shown == [(i, 5) for i in range(5)]
        assert len(first) == 4
        times = [a.stat().st_mtime_ns for a in first]
        assert build_cache(data, tmp_path, 44100) == first
        assert [a.stat().st_mtime_ns for a in first] == times
        assert not [name for name in names_in(tmp_path) if name.endswith(".part")]

    def test_cache_holds_the_sound(self, data: Path, arrays: list[Path]) -> None:
        stereo, held = np.load(arrays[1]), np.load(next(a for a in arrays if a.name.startswith(HELD)))
        assert stereo.dtype == np.int16
        assert held.shape == (1, 3 * 44100)  # resampled from 24 kHz
        assert stereo.shape[0] == 2

    def test_nothing_to_read(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match="no audio files in it"):
            build_cache(tmp_path, tmp_path / "cache", 44100)
        (tmp_path / "a.wav").write_bytes(b"junk")
        with pytest.raises(AudioError, match="none of its 1 audio files can be read"):
            build_cache(tmp_path, tmp_path / "cache", 44100)
        (tmp_path / "b.npy").write_bytes(b"junk")
        with pytest.raises(AudioError, match=r"b\.npy: cannot be read"):
            Pool([tmp_path / "b.npy"], 44100)

    def test_crops_depend_on_seed_and_step_only(self, arrays: list[Path]) -> None:
        pool = Pool(arrays, 44100)
        again = Pool(arrays, 44100)
        batches = pool.batches(2, 3000, 7, 5, workers=3)
        for step in range(5, 12):
            np.testing.assert_array_equal(next(batches), again.batch(2, 3000, 7, step))
        batches.close()
        assert not np.array_equal(pool.batch(2, 3000, 7, 5), pool.batch(2, 3000, 8, 5))

    def test_crops_are_sound_within_full_scale(self, arrays: list[Path]) -> None:
        batch = Pool(arrays, 44100).batch(32, 3000, 0, 0)
        assert batch.shape == (32, 3000)
        assert batch.dtype == np.float32
        assert np.abs(batch).max() <= 1
        assert (np.abs(batch).max(1) > 0).all()

    def test_synthetic_crops_come_as_often_as_asked(self, arrays: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(synthetic, "sound", lambda n, *_: np.full(n, 7, np.float32))
        for share in (0.0, 0.25, 1.0):
            batch = Pool(arrays, 44100, mix=Mix(synthetic=share)).batch(400, 100, 0, 0)
            assert abs(np.mean(batch[:, 0] == 7) - share) < 0.06

    @pytest.mark.parametrize("kind", synthetic.KINDS, ids=lambda kind: kind.__name__)
    def test_every_synthetic_sound_is_one(self, kind: synthetic.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(synthetic, "KINDS", (kind,))
        for seed in range(40):
            x = synthetic.sound(20_000, 44100, np.random.default_rng(seed))
            assert x.dtype == np.float32
            assert x.shape == (20_000,)
            assert np.isfinite(x).all()
            assert 0 < np.abs(x).max() <= 1
        assert np.array_equal(x, synthetic.sound(20_000, 44100, np.random.default_rng(seed)))

    def test_about_one_file_in_25_is_held_out(self) -> None:
        share = np.mean([held_out(f"file-{i}.wav") for i in range(4000)])
        assert 0.03 < share < 0.05
        assert [domain_of(n) for n in ("speech-a", "music-b", "sound-c", "else")] == [
            "speech",
            "music",
            "sound",
            "music",
        ]


class TestFigures:
    def test_clips_come_from_held_out_files_only(self, arrays: list[Path]) -> None:
        clips = held_out_clips(arrays, 44100)
        assert {clip.name for clip in clips} == {f"{HELD}.wav.44100.npy"}
        assert all(44100 <= len(clip.samples) <= 6 * 44100 for clip in clips)

    def test_rows(self, arrays: list[Path]) -> None:
        rows = figures(tinycodec.model(), held_out_clips(arrays, 44100)[:1], (1, 8))
        assert [row["n_q"] for row in rows] == [1, 8]
        kind = "speech" if HELD.startswith("speech") else "other"
        assert {f"{kind}_mel", f"{kind}_stft"} <= rows[0].keys()


class TestExport:
    def test_round_trip(self, checkpoint: Path, tmp_path: Path) -> None:
        card = export(checkpoint, tmp_path, model_id="tiny-1", decoder_version=1, licence="CC0", training={"a": "b"})
        assert names_in(tmp_path) == ["tiny-1-d1.json", "tiny-1-d1.safetensors"]
        said = cards.read_card(card)
        assert (said.licence, said.training["a"]) == ("CC0", "b")
        model = loading.open_card(said)
        assert isinstance(model, Rvq44)
        written = loading.verified_tensors(said)
        for name, value in tinycodec.shared().state_dict().items():
            expected = (
                on_steps(value, 2**-12) if name.startswith("envelope_q") and name.endswith("entries") else value.half()
            )
            torch.testing.assert_close(torch.from_numpy(written[name]), expected.half(), atol=0, rtol=0)
        assert torch.equal(averaged_network(checkpoint).decoder_in.weight, tinycodec.shared().decoder_in.weight)

    def test_the_same_name_is_not_overwritten(self, checkpoint: Path, tmp_path: Path) -> None:
        names: dict[str, Any] = {"model_id": "tiny-1", "decoder_version": 1, "licence": "CC0", "training": {}}
        card = export(checkpoint, tmp_path, **names)
        before = card.read_bytes()
        with pytest.raises(WeightsError, match=r"exists; use -f"):
            export(checkpoint, tmp_path, **names)
        assert card.read_bytes() == before
        export(checkpoint, tmp_path, **names, overwrite=True)

    def test_a_decoder_version_needs_the_same_bitstream(self, checkpoint: Path, tmp_path: Path) -> None:
        names: dict[str, Any] = {"model_id": "tiny-1", "licence": "CC0", "training": {}}
        export(checkpoint, tmp_path / "w", decoder_version=1, **names)
        state = torch.load(checkpoint, weights_only=True)
        state["average"]["decoder_in.bias"] += 1
        torch.save(state, tmp_path / "decoder.pt")
        second = export(tmp_path / "decoder.pt", tmp_path / "w", decoder_version=2, **names)
        first = cards.read_card(tmp_path / "w" / "tiny-1-d1.json")
        assert cards.read_card(second).bitstream_sha256 == first.bitstream_sha256
        assert cards.read_card(second).sha256 != first.sha256
        state["average"]["envelope_mean"] += 1
        torch.save(state, tmp_path / "other.pt")
        with pytest.raises(WeightsError, match="choose another --model-id"):
            export(tmp_path / "other.pt", tmp_path / "w", decoder_version=3, **names)
        assert len(names_in(tmp_path / "w")) == 4

    def test_tables_that_fit_are_named(self, checkpoint: Path, tmp_path: Path) -> None:
        names: dict[str, Any] = {"model_id": "tiny-1", "decoder_version": 1, "licence": "CC0", "training": {}}
        card = export(checkpoint, tmp_path, **names)
        assert cards.read_card(card).tables_sha256 is None
        for made_for, fits in ((cards.read_card(card).bitstream_sha256, True), ("ab" * 32, False)):
            digest = write_tables({}, tmp_path / "tiny-1.tables.safetensors", made_for, force=True)
            export(checkpoint, tmp_path, **names, overwrite=True)
            assert cards.read_card(card).tables_sha256 == (digest if fits else None)

    def test_numbers_beyond_float16(self, checkpoint: Path, tmp_path: Path) -> None:
        state = torch.load(checkpoint, weights_only=True)
        state["average"]["decoder_in.bias"][0] = 1e6
        torch.save(state, tmp_path / "big.pt")
        with pytest.raises(WeightsError, match=r"decoder_in\.bias does not fit float16"):
            export(tmp_path / "big.pt", tmp_path, model_id="a", decoder_version=1, licence="CC0", training={})
        assert names_in(tmp_path) == ["big.pt"]


class TestUsage:
    def test_entropy(self) -> None:
        assert entropy(np.array([5, 5, 5, 5])) == pytest.approx(2)
        assert entropy(np.array([7, 0, 0])) == 0
        assert entropy(np.array([1, 1, 2])) == pytest.approx(1.5)

    def test_counts_all_codes(self, arrays: list[Path]) -> None:
        found = measure_usage(tinycodec.model(), arrays, seconds=None)
        assert len(found.entropy) == len(found.unused) == 8
        assert all(0 < bits <= 4 for bits in found.entropy)
        assert max(found.entropy) > 2
        assert found.code_bits == 4
        assert found.frames == len(excerpts(arrays, None, 44100)) * 188

    def test_excerpts_are_spread_over_everything(self, tmp_path: Path) -> None:
        lengths = {"a": 41, "b": 3, "c": 16}
        for name, seconds in lengths.items():
            np.save(tmp_path / f"{name}.npy", np.full((2, seconds * 1000), ord(name), np.int16))
        arrays = [tmp_path / f"{name}.npy" for name in lengths]
        found = excerpts(arrays, None, 1000)
        assert [path.stem for path, _ in found] == ["a"] * 8 + ["b"] + ["c"] * 3
        assert [path.stem for path, _ in excerpts(arrays, 20, 1000)] == ["a", "a", "a", "c"]
        for path, begin in found:
            assert 0 <= begin <= max(0, lengths[path.stem] - 5) * 1000
            assert read(path, begin, 1000).tolist() == [ord(path.stem) / 32768] * 5000


class TestCurves:
    def test_log_that_went_back(self, tmp_path: Path) -> None:
        """Steps that were run again after an interruption count once, the later ones; a cut line not at all."""
        log = tmp_path / "log.jsonl"
        steps = [(50, 1.0), (100, 2.0), (150, 3.0), (100, 4.0), (150, 5.0)]
        log.write_text("".join(json.dumps({"step": s, "mel": v}) + "\n" for s, v in steps) + '{"step": 2')
        rows = curves.read_log(log)
        assert [(row["step"], row["mel"]) for row in rows] == [(50, 1.0), (100, 4.0), (150, 5.0)]

    def test_draw(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        (tmp_path / "log.jsonl").write_text('{"step": 1, "mel": 0.5, "rate": 1}\n{"step": 2, "mel": 0.4, "rate": 1}\n')
        curves.draw(tmp_path, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
        with pytest.raises(RvqError, match=r"curves\.what"):
            curves.draw(tmp_path, tmp_path / "curves.what")

    def test_no_log(self, tmp_path: Path) -> None:
        with pytest.raises(RvqError, match="no log of a run"):
            curves.draw(tmp_path, tmp_path / "curves.png")


class TestTravel:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        source = tmp_path / "corpus"
        (source / "below" / "empty").mkdir(parents=True)
        (source / "below" / "b.bin").write_bytes(np.random.default_rng(0).bytes(70_001))
        (source / "a file.txt").write_text("ä")
        (source / "none").write_bytes(b"")
        return source

    @pytest.mark.parametrize("piece", [1000, 4096, 81920, 10**9])
    def test_round_trip(self, source: Path, tmp_path: Path, piece: int) -> None:
        listing = pieces.pack(source, tmp_path / "out", piece)
        sizes = [p.stat().st_size for p in (tmp_path / "out").glob("*.tar.*")]
        assert max(sizes) <= piece
        target = pieces.unpack(listing, tmp_path / "in")
        assert target == tmp_path / "in" / "corpus"
        for path in [*source.rglob("*")]:
            again = target / path.relative_to(source)
            assert again.is_dir() if path.is_dir() else again.read_bytes() == path.read_bytes()
        assert names_in(tmp_path / "in") == ["corpus"]

    def test_one_file(self, source: Path, tmp_path: Path) -> None:
        listing = pieces.pack(source / "below" / "b.bin", tmp_path / "out", 16384)
        assert names_in(tmp_path / "out") == ["b.bin.pieces.json", *(f"b.bin.tar.{i:04}" for i in range(5))]
        target = pieces.unpack(listing, tmp_path)
        assert target.read_bytes() == (source / "below" / "b.bin").read_bytes()

    def test_the_same_content_gives_the_same_bytes(self, source: Path, tmp_path: Path) -> None:
        first = pieces.pack(source, tmp_path / "1", 4096).read_bytes()
        (source / "none").touch()
        (source / "none").chmod(0o600)
        assert pieces.pack(source, tmp_path / "2", 4096).read_bytes() == first

    def test_wrong_and_missing_pieces_are_named(self, source: Path, tmp_path: Path) -> None:
        listing = pieces.pack(source, tmp_path / "out", 8192)
        (tmp_path / "out" / "corpus.tar.0003").unlink()
        piece = tmp_path / "out" / "corpus.tar.0001"
        data = bytearray(piece.read_bytes())
        data[17] ^= 1
        piece.write_bytes(data)
        with pytest.raises(RvqError, match=r"2 of \d+ pieces.*tar\.0001 \(altered\).*tar\.0003"):
            pieces.unpack(listing, tmp_path / "in")
        assert not (tmp_path / "in").exists()

    def test_nothing_is_overwritten(self, source: Path, tmp_path: Path) -> None:
        listing = pieces.pack(source, tmp_path / "out", 8192)
        with pytest.raises(RvqError, match="exists; remove it"):
            pieces.unpack(listing, tmp_path)
        with pytest.raises(RvqError, match="packed there before"):
            pieces.pack(source, tmp_path / "out", 8192)

    @pytest.mark.skipif(os.name != "posix", reason="links and FIFOs")
    def test_nothing_is_left_out_without_a_word(self, source: Path, tmp_path: Path) -> None:
        (source / "link").symlink_to(source / "below" / "b.bin")
        target = pieces.unpack(pieces.pack(source, tmp_path / "out", 8192), tmp_path / "in")
        assert (target / "link").read_bytes() == (source / "below" / "b.bin").read_bytes()
        for make, why in (
            (lambda path: path.symlink_to("below"), "a link to a folder"),
            (lambda path: path.symlink_to("nowhere"), "neither a file nor a folder"),
            (os.mkfifo, "neither a file nor a folder"),
        ):
            make(source / "odd")
            with pytest.raises(RvqError, match=why):
                pieces.pack(source, tmp_path / "other", 8192)
            (source / "odd").unlink()
        assert names_in(tmp_path / "other") == []

    def test_a_run_that_was_killed_is_no_hindrance(self, source: Path, tmp_path: Path) -> None:
        (tmp_path / "out" / ".corpus.packing").mkdir(parents=True)
        (tmp_path / "in" / ".corpus.unpacking").mkdir(parents=True)
        pieces.unpack(pieces.pack(source, tmp_path / "out", 1 << 20), tmp_path / "in")
        assert names_in(tmp_path / "out") == ["corpus.pieces.json", "corpus.tar.0000"]
        assert names_in(tmp_path / "in") == ["corpus"]

    @pytest.mark.parametrize("name", ["../evil", "/etc/evil", "other/x", "corpus/../../evil"])
    def test_nothing_comes_out_elsewhere(self, tmp_path: Path, name: str) -> None:
        self.hostile(tmp_path, name, b"0", "refused")

    def test_links_are_refused(self, tmp_path: Path) -> None:
        self.hostile(tmp_path, "corpus/link", b"2", "neither a file nor a folder")

    def hostile(self, folder: Path, name: str, kind: bytes, why: str) -> None:
        """Pack a tar that a careless reader would follow, and see it refused."""
        import hashlib
        import io
        import tarfile

        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info, io.BytesIO())
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        (folder / "corpus.tar.0000").write_bytes(data)
        piece = {"name": "corpus.tar.0000", "size": len(data), "sha256": digest}
        listing = folder / "corpus.pieces.json"
        listing.write_text(json.dumps({"name": "corpus", "size": len(data), "sha256": digest, "pieces": [piece]}))
        with pytest.raises(RvqError, match=why):
            pieces.unpack(listing, folder / "in")
        assert names_in(folder / "in") == []

    @pytest.mark.parametrize(
        "text", ["", "[]", "{}", '{"name": "../x", "size": 0, "sha256": "", "pieces": []}', "\x00"]
    )
    def test_hostile_lists(self, tmp_path: Path, text: str) -> None:
        listing = tmp_path / "x.pieces.json"
        listing.write_text(text)
        with pytest.raises(RvqError, match=r"x\.pieces\.json"):
            pieces.unpack(listing, tmp_path / "in")


class TestCredits:
    MANIFEST = (
        "file\tdomain\trepo\tcommit\tlicence\tkind\tchannels\tduration_s\tclips\tbytes\n"
        "a.opus\tspeech\tx/voices\tabc\tCC BY 4.0 (LICENSE) | CC0 (README)\treading\t1\t1800\t3\t9\n"
        "b.opus\tspeech\tx/voices\tabc\tCC0 (README)\treading\t1\t1800\t2\t9\n"
        'c.opus\tmusic\ty/songs\tdef\t"CC BY (says ""BY"")"\trock\t2\t900\t1\t9\n'
    )

    def test_every_source_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "MANIFEST.tsv").write_text(self.MANIFEST)
        text = credits.render(credits.read_manifest(tmp_path / "MANIFEST.tsv"))
        assert "| speech | 1.000 | 2 |" in text
        assert "| all | 1.250 | 3 |" in text
        assert "## [x/voices](https://github.com/x/voices)\n\n1.000 hours, 5 recordings, at commit abc\n" in text
        assert "CC BY 4.0 (LICENSE); CC0 (README)" in text
        assert 'CC BY (says "BY")' in text
        assert "`a.opus`, `b.opus`" in text

    @pytest.mark.parametrize("text", ["", "a\tb\n1\t2\n", MANIFEST.replace("1800", "long")])
    def test_no_manifest(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "MANIFEST.tsv").write_text(text)
        with pytest.raises(RvqError, match="manifest"):
            credits.read_manifest(tmp_path / "MANIFEST.tsv")


class TestCommand:
    """`rvq train` as a stranger at a shell sees it."""

    def test_train_resume_export(self, invoke: Callable[..., Result], data: Path, tmp_path: Path) -> None:
        out = tmp_path / "run"
        done = invoke("train", "--data", data, "--out", out, "--steps", "4", "--threads", "1", *TINY)
        assert done.code == 0
        assert "bad.flac" in done.err
        assert "3 files, 1 held out" in done.err
        assert "n_q" in done.out.splitlines()[0]
        assert len(done.out.splitlines()) == 5
        assert {"last.pt", "log.jsonl", "figures.jsonl", "cache"} <= set(names_in(out))
        again = invoke("train", "--data", data, "--out", out)
        assert again.code == 1
        assert "add --resume" in again.err
        more = invoke(
            "train", "--data", data, "--out", out, "--resume", "--stage", "decoder", "--no-figures", "--quiet"
        )
        assert more.code == 0
        assert more.out == ""
        steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
        assert steps == [2, 4, 6, 8]
        card = invoke("train", "export", out, "--model-id", "tiny-1", "--to", tmp_path / "w", "--note", "hardware=test")
        assert card.out.strip() == str(tmp_path / "w" / "tiny-1-d1.json")
        assert cards.read_card(tmp_path / "w" / "tiny-1-d1.json").training["hardware"] == "test"
        used = invoke(
            *("train", "usage", "--data", data, "--cache", out / "cache", "--minutes", "0.5"),
            *("--checkpoint", out / "last.pt", "--json"),
        )
        assert len(json.loads(used.out)["entropy"]) == 8

    def test_names_of_any_bytes(self, invoke: Callable[..., Result], data: Path, tmp_path: Path) -> None:
        """caf\\xe9, which is no UTF-8, as the name of data, run, model and packet."""
        name = os.fsdecode(b"caf\xe9")
        try:
            (tmp_path / f"{name}.d").mkdir()
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
        for path in data.glob("*.wav"):
            (tmp_path / f"{name}.d" / f"{name}-{path.name}").write_bytes(path.read_bytes())
        run = tmp_path / name
        for more in ([], ["--resume"]):
            done = invoke("train", "--data", f"{run}.d", "--out", run, "--steps", "2", "--no-figures", *TINY, *more)
            assert (done.code, rf"{tmp_path}/caf\xe9" in done.err) == (0, True), done.err
        assert invoke("train", "export", run, "--model-id", "tiny-1", "--to", f"{run}.w").code == 0
        model = ("--model", f"{run}.w/tiny-1-d1.json")
        assert invoke("encode", next((tmp_path / f"{name}.d").iterdir()), *model, "-o", tmp_path / "a.rvq").code == 0
        listing = invoke("train", "pack", run, "--to", f"{run}.p").out
        assert listing == rf"{tmp_path}/caf\xe9.p/caf\xe9.pieces.json" + "\n"
        done = invoke("train", "unpack", f"{run}.p/{name}.pieces.json", "--to", tmp_path / "in")
        assert (done.code, names_in(tmp_path / "in")) == (0, [name])
        if importlib.util.find_spec("matplotlib") is not None:
            assert invoke("train", "plot", run, "-o", f"{run}.png").code == 0
            before = Path(f"{run}.png").read_bytes()
            assert (invoke("train", "plot", run, "-o", f"{run}.png").code, before[:4]) == (1, b"\x89PNG")

    def test_pack_and_unpack(self, invoke: Callable[..., Result], data: Path, tmp_path: Path) -> None:
        packed = invoke("train", "pack", data, "--to", tmp_path / "pieces", "--piece", "64KiB")
        listing = tmp_path / "pieces" / f"{data.name}.pieces.json"
        assert packed.out.strip() == str(listing)
        done = invoke("train", "unpack", listing, "--to", tmp_path / "in")
        assert done.out.strip() == str(tmp_path / "in" / data.name)
        assert names_in(tmp_path / "in" / data.name) == names_in(data)
        assert "give something like 60MiB" in invoke("train", "pack", data, "--to", tmp_path, "--piece", "big").err

    def test_profile(self, invoke: Callable[..., Result], data: Path, tmp_path: Path) -> None:
        words = [word for word in TINY if word not in ("--batch", "2")]
        done = invoke(
            *("train", "profile", "--data", data, "--cache", tmp_path, "--steps", "1", "--set", "batch=2"),
            *("--stage", "adversarial", *words),
        )
        assert done.code == 0
        assert [line.split()[0] for line in done.out.splitlines()] == [
            *("data", "network", "losses", "discriminators", "update", "all")
        ]

    @pytest.mark.parametrize(
        ("words", "code", "why"),
        [
            ([], 2, "give --data FOLDER and --out RUN"),
            (["--data", "DATA", "--out", "OUT", "--set", "speed=9"], 1, "no such setting"),
            (["--data", "DATA", "--out", "OUT", "--init", "none.pt"], 1, "none.pt: no such checkpoint"),
            (["--data", "nowhere", "--out", "OUT"], 2, "nowhere"),
            (["--data", "DATA", "--out", "OUT", "--steps", "0"], 2, "0"),
            (["plot", "DATA", "-o", "OUT.png"], 1, "no log of a run"),
        ],
    )
    def test_errors(
        self, invoke: Callable[..., Result], data: Path, tmp_path: Path, words: list[str], code: int, why: str
    ) -> None:
        names = {"DATA": str(data), "OUT": str(tmp_path / "run"), "OUT.png": str(tmp_path / "a.png")}
        done = invoke("train", *(names.get(word, word) for word in words))
        assert done.code == code
        assert why in done.err
        assert done.out == ""
