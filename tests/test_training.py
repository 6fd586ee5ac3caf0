"""Training: the start from data, losses that fall, exact resumption, slices, the decoder alone, the log."""

import copy
import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinycodec
import torch
from torch import Tensor

from rvqcodec.errors import RvqError, WeightsError
from rvqcodec.models.rvq44.config import NEW
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.network.quantize import LatentQuantizer
from rvqcodec.training import checkpoint
from rvqcodec.training.data import Mix, Pool
from rvqcodec.training.export import bitstream_of
from rvqcodec.training.from_data import nearest, refit, start_from_data, start_quantizer
from rvqcodec.training.loop import run
from rvqcodec.training.options import Options, check_options, new_config, parse_settings
from rvqcodec.training.profile import profile
from rvqcodec.training.session import Request, begin
from rvqcodec.training.trainer import Trainer

Start = Callable[..., Trainer]

OPTIONS = Options(
    steps=6,
    batch=4,
    sub_frames=8,
    start_batches=2,
    carrier_steps=2,
    stereo_steps=2,
    log_every=2,
    synthetic=0.0,
    warm_up=2,
    judge_channels=2,
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    folder = tmp_path_factory.mktemp("arrays")
    for name, channels in (("speech-a", 1), ("music-b", 2), ("sound-c", 2)):
        samples = tinycodec.sound(60_000, channels=channels, seed=len(name) + channels)
        np.save(folder / f"{name}.npy", (samples * 20000).clip(-32768, 32767).astype(np.int16))
    return Pool(sorted(folder.glob("*.npy")), 44100, mix=Mix(synthetic=0))


def make(pool: Pool, out: Path, **changes: Any) -> Trainer:
    trainer = Trainer(config=tinycodec.CONFIG, options=dataclasses.replace(OPTIONS, **changes), pool=pool, out=out)
    trainer.bf16 = False
    return trainer


@pytest.fixture(scope="module")
def origin(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run at step 0, its codebooks set from data."""
    out = tmp_path_factory.mktemp("origin")
    trainer = make(pool, out)
    trainer.start()
    trainer.save()
    return out / "last.pt"


@pytest.fixture
def started(pool: Pool, origin: Path) -> Callable[..., Trainer]:
    """Makes trainers that stand at `origin`."""

    def at_origin(out: Path, **changes: Any) -> Trainer:
        trainer = make(pool, out, **changes)
        trainer.load(origin, new_slice=False)
        return trainer

    return at_origin


def batch_of(trainer: Trainer) -> Tensor:
    o = trainer.options
    return torch.from_numpy(trainer.pool.batch(o.batch, trainer.samples, o.seed + 2, trainer.progress.step))


def everything(trainer: Trainer) -> dict[str, Tensor]:
    """All weights, averages and counts."""
    parts = {"codec": trainer.network, "average": trainer.average, "judges": trainer.judges}
    found = {f"{part}.{k}": v for part, module in parts.items() for k, v in module.state_dict().items()}
    found |= {k: v for k, v in trainer.network.named_buffers() if k.endswith((".usage", ".total"))}
    return {name: value.clone() for name, value in found.items()}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different


def test_every_codebook_of_the_start_lowers_the_error(pool: Pool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(tinycodec.CONFIG).eval()
        n = 22 * 588
        start_from_data(network, lambda i: torch.from_numpy(pool.batch(8, n, 1, i)), 2, 1, 12)
    network.requires_grad_(False)
    shape = tinycodec.quantized(network, torch.from_numpy(pool.batch(8, n, 5, 0)), 8).shape
    for quantizer, latent in (
        (network.envelope_quantizer, shape.latent),
        (network.waveform_quantizer, shape.waveform_latent),
    ):
        codes = quantizer.encode(latent, 4)
        weight = quantizer.stages[0].project_in.weight  # the start's distance is weighted
        errors = [
            float(((latent - quantizer.decode(codes, torch.full(latent.shape[:2], n))) @ weight.t()).square().mean())
            for n in range(5)
        ]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < 0.7 * errors[0]
    assert float(network.envelope_mean.abs().sum()) > 0


def test_codebooks_fitted_together_come_closer() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        latent = torch.randn(600, 6)
        quantizer = LatentQuantizer(latent=6, size=8, dims=[6] * 3, width=4, ahead=3)
        for stage in quantizer.stages:
            torch.nn.init.eye_(stage.project_in.weight)
            torch.nn.init.eye_(stage.project_out.weight)
        start_quantizer(quantizer, latent, torch.ones(6), 16)

        def error() -> float:
            return float((quantizer.quantize(latent[None], torch.tensor([3])).latent - latent).square().mean())

        before = error()
        refit(quantizer, latent, 2**-12)
    assert error() < 0.97 * before
    for stage in quantizer.stages:
        torch.testing.assert_close(stage.total, stage.entries * stage.usage[:, None])


def test_loss_falls(tmp_path: Path, started: Start) -> None:
    trainer = started(tmp_path, steps=100, rate=2e-3)
    losses = []
    for _ in range(48):
        values = trainer.step(batch_of(trainer))
        losses.append(
            sum(float(values[n]) * getattr(trainer.options, n) for n in ("waveform", "spectrum", "mel", "energy"))
        )
    assert np.mean(losses[-16:]) < 0.97 * np.mean(losses[:16])


def test_average_follows(tmp_path: Path, started: Start) -> None:
    trainer = started(tmp_path)
    first = trainer.average.decoder_in.weight.clone()
    for _ in range(3):
        trainer.step(batch_of(trainer))
    mine, theirs = trainer.average.decoder_in.weight, trainer.network.decoder_in.weight
    assert not torch.equal(mine, first)
    assert (mine - theirs).abs().max() < (first - theirs).abs().max()
    assert torch.equal(
        trainer.average.waveform_quantizer.stages[0].entries, trainer.network.waveform_quantizer.stages[0].entries
    )


@pytest.mark.parametrize("adversarial", [0.0, 3.0])
def test_resuming_is_exact(pool: Pool, tmp_path: Path, adversarial: float, started: Start) -> None:
    """Six steps are three steps, saved, loaded, and three more: bit for bit."""
    whole = started(tmp_path / "whole", adversarial=adversarial)
    run(whole)
    half = started(tmp_path / "half", adversarial=adversarial)
    for _ in range(3):
        half.step(batch_of(half))
    half.save()
    torch.manual_seed(12345)  # what another process would have
    again = make(pool, tmp_path / "half", adversarial=adversarial)
    again.load(tmp_path / "half" / "last.pt", new_slice=False)
    assert again.progress.step == 3
    run(again)
    assert again.progress.step == 6
    assert_same(everything(whole), everything(again))


def test_restarts_of_entries_resume_exactly(pool: Pool, tmp_path: Path, started: Start) -> None:
    """Restarts draw random numbers: these come from the checkpoint too."""
    trainer = started(tmp_path, steps=1000)
    trainer.progress.step = 98
    trainer.network.waveform_quantizer.stages[0].usage[:4] = 0
    trainer.save()
    ends = []
    for seed in (1, 2):
        again = make(pool, tmp_path, steps=1000)
        torch.manual_seed(seed)
        again.load(tmp_path / "last.pt", new_slice=False)
        values = [again.step(batch_of(again)) for _ in range(2)]
        assert float(values[1]["revived"]) > 0
        ends.append(everything(again))
    assert_same(ends[0], ends[1])


def test_decoder_alone_leaves_the_bitstream(pool: Pool, tmp_path: Path, started: Start) -> None:
    first = started(tmp_path / "a")
    run(first)
    again = make(pool, tmp_path / "b", decoder_only=True, adversarial=3.0)
    again.load(tmp_path / "a" / "last.pt", new_slice=True)
    before = {k: v.clone() for k, v in again.average.state_dict().items()}
    assert_same(before, dict(first.average.state_dict()))
    run(again)
    for network in (again.average, again.network):
        after = network.state_dict()
        assert bitstream_of(after) == bitstream_of(before)
        half = {k: v.half() for k, v in after.items()}
        assert bitstream_of(half) == bitstream_of({k: v.half() for k, v in before.items()})
    changed = [k for k, v in again.average.state_dict().items() if not torch.equal(v, before[k])]
    assert changed
    assert all(name.startswith("decoder_") for name in changed)
    samples = tinycodec.sound(588 * 10)
    codes = [
        tinycodec.quantized(n, torch.from_numpy(samples), 8).waveform.codes for n in (first.average, again.average)
    ]
    assert torch.equal(codes[0], codes[1])


def test_judges_that_warm_up_are_not_heard(tmp_path: Path, started: Start) -> None:
    alone, warming = started(tmp_path / "a"), started(tmp_path / "b", adversarial=3.0, judge_warm_up=1)
    judges = copy.deepcopy(warming.judges.state_dict())
    for trainer in (alone, warming):
        trainer.step(batch_of(trainer))
    assert_same(alone.network.state_dict(), warming.network.state_dict())
    assert any(not torch.equal(v, judges[k]) for k, v in warming.judges.state_dict().items())
    for trainer in (alone, warming):
        trainer.step(batch_of(trainer))
    assert not torch.equal(alone.network.decoder_in.weight, warming.network.decoder_in.weight)


def test_no_step_waits_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Start) -> None:
    """Losses stay tensors until the log wants them."""
    trainer = started(tmp_path)
    batch = batch_of(trainer)

    def refuse(*_: object) -> Any:
        raise AssertionError("a step fetched a value from the device")

    monkeypatch.setattr(trainer.optimizer, "step", lambda: None)  # AdamW counts its steps on the CPU
    for name in ("item", "tolist", "numpy", "__float__", "__int__", "__bool__"):
        monkeypatch.setattr(Tensor, name, refuse)
    values = trainer.step(batch)
    monkeypatch.undo()
    assert {"mel", "waveform", "spectrum", "commitment", "gradient"} <= values.keys()
    assert all(isinstance(v, Tensor) and not v.requires_grad for v in values.values())


def test_rate_rises_and_falls(pool: Pool, tmp_path: Path) -> None:
    trainer = make(pool, tmp_path, steps=1000, warm_up=10, anneal=0.4, floor=0.1)
    seen = []
    for step in (0, 4, 9, 300, 600, 800, 990):
        trainer.progress.step = step
        seen.append(round(trainer.rate_factor(trainer.share_done()), 3))
    assert seen == [0.1, 0.5, 1.0, 1.0, 1.0, 0.5, 0.1]
    trainer.progress.run_start = trainer.progress.step
    assert trainer.rate_factor(trainer.share_done()) == pytest.approx(0.1)


def test_hours_end_a_slice(pool: Pool, tmp_path: Path) -> None:
    trainer = make(pool, tmp_path, hours=2.0, steps=10**9)
    trainer.progress.seconds = 3600
    assert trainer.share_done() == pytest.approx(0.5)
    trainer.progress.seconds = 7200
    run(trainer)
    assert trainer.progress.step == 0
    assert (tmp_path / "last.pt").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_save_first(tmp_path: Path, number: signal.Signals, started: Start) -> None:
    trainer = started(tmp_path, steps=1000)
    before = signal.getsignal(number)

    def interrupt(share: float) -> None:
        if trainer.progress.step == 2:
            os.kill(os.getpid(), number)

    assert run(trainer, shown=interrupt) == number
    assert signal.getsignal(number) == before
    assert checkpoint.read(tmp_path / "last.pt")["progress"]["step"] in (2, 3)
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["step"] == 2


def test_losses_that_are_no_numbers_stop_the_run(tmp_path: Path, started: Start) -> None:
    trainer = started(tmp_path)
    trainer.save()
    good = (tmp_path / "last.pt").read_bytes()
    with torch.no_grad():
        trainer.network.decoder_in.weight.fill_(float("nan"))
    with pytest.raises(RvqError, match=r"no numbers any more.*last\.pt"):
        run(trainer)
    assert (tmp_path / "last.pt").read_bytes() == good


def test_log_rows_are_means(tmp_path: Path, started: Start) -> None:
    trainer = started(tmp_path)
    run(trainer)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert {"seconds", "mel", "waveform", "spectrum", "commitment", "gradient", "rate"} <= rows[0].keys()


class TestBegin:
    """Where a run begins, by what lies in --out and what was asked for."""

    def request(self, out: Path, **changes: Any) -> Request:
        fields: dict[str, Any] = {"options": vars(OPTIONS), "config": vars(tinycodec.CONFIG)} | changes
        return Request(out=out, **fields)

    def test_new_run_and_the_same_folder_twice(self, pool: Pool, tmp_path: Path) -> None:
        said: list[str] = []
        trainer = begin(self.request(tmp_path), pool, say=said.append)
        assert said == ["new run: setting codebooks from data"]
        trainer.save()
        with pytest.raises(RvqError, match="add --resume"):
            begin(self.request(tmp_path), pool)

    def test_interrupted_slice_goes_on(self, pool: Pool, tmp_path: Path) -> None:
        trainer = begin(self.request(tmp_path), pool)
        for _ in range(2):
            trainer.step(batch_of(trainer))
        trainer.save()
        said: list[str] = []
        again = begin(Request(out=tmp_path, resume=True), pool, say=said.append)
        assert said == ["going on at step 2, 33.3 % of the slice done"]
        assert again.options == OPTIONS
        assert again.progress.run_start == 0

    @pytest.mark.parametrize(("changes", "why"), [({}, "is over"), ({"steps": 9}, "options differ")])
    def test_new_slice(self, pool: Pool, tmp_path: Path, changes: dict[str, Any], why: str) -> None:
        trainer = begin(self.request(tmp_path), pool)
        trainer.progress.step = 6 if not changes else 3
        trainer.save()
        said: list[str] = []
        again = begin(Request(out=tmp_path, resume=True, options=changes), pool, say=said.append)
        assert why in said[0]
        assert again.progress.run_start == again.progress.step == trainer.progress.step
        assert again.rate_factor(again.share_done()) == 0.5  # warming up

    def test_init_from_checkpoint(self, pool: Pool, tmp_path: Path) -> None:
        trainer = begin(self.request(tmp_path / "a"), pool)
        trainer.step(batch_of(trainer))
        trainer.save()
        again = begin(self.request(tmp_path / "b", init=tmp_path / "a" / "last.pt"), pool)
        assert_same(everything(trainer), everything(again))
        assert again.progress.run_start == 1

    def test_share_of_synthetic_sounds(self, tmp_path: Path) -> None:
        np.save(tmp_path / "music.npy", (tinycodec.sound(60_000, channels=2) * 20000).astype(np.int16))
        own = Pool([tmp_path / "music.npy"], 44100)
        begin(self.request(tmp_path, options=vars(OPTIONS) | {"synthetic": 1.0}), own)
        assert own.mix == Mix(synthetic=1.0)
        with pytest.raises(RvqError, match=r"synthetic 1.5: must be a share between 0 and 1"):
            begin(self.request(tmp_path / "b", options={"synthetic": 1.5}), own)

    def test_another_architecture_is_refused(self, pool: Pool, tmp_path: Path) -> None:
        begin(self.request(tmp_path), pool).save()
        with pytest.raises(RvqError, match=r"dim=64.*has 32; only a new run"):
            begin(Request(out=tmp_path, resume=True, config={"dim": 64}), pool)


def test_damaged_checkpoints_are_refused(pool: Pool, tmp_path: Path) -> None:
    trainer = make(pool, tmp_path)
    trainer.save()
    path = tmp_path / "last.pt"
    whole = path.read_bytes()
    with pytest.raises(WeightsError, match="no such checkpoint"):
        checkpoint.read(tmp_path / "none.pt")
    for bad in (b"", b"PK", whole[: len(whole) // 2], b"\x80\x04N."):
        path.write_bytes(bad)
        with pytest.raises(WeightsError, match=r"last\.pt"):
            checkpoint.read(path)
    torch.save({"codec": {}}, path)
    with pytest.raises(WeightsError, match="it lacks config"):
        checkpoint.read(path)


def test_checkpoints_with_the_names_of_before_go_on(pool: Pool, tmp_path: Path, origin: Path) -> None:
    state = checkpoint.read(origin)
    names = {new: old for old, new in checkpoint.OLD_NAMES.items()}
    said = {names.get(k, k): v for k, v in state["config"].items() if k not in checkpoint.OLD_CONSTANTS}
    state["config"] = said | {"envelope_dim": 16, "envelope_blocks": 0, "encoder_blocks": 0}
    assert checkpoint.config_of(origin, state) == tinycodec.CONFIG
    checkpoint.write(tmp_path / "last.pt", state)
    make(pool, tmp_path).load(tmp_path / "last.pt", new_slice=False)
    state["config"]["evil"] = 1
    with pytest.raises(WeightsError, match="does not know"):
        checkpoint.config_of(origin, state)


class Evil:
    """Would run code when unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("was-here",))


def test_a_checkpoint_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"codec": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="cannot be read"):
        checkpoint.read(tmp_path / "evil.pt")
    assert not (tmp_path / "was-here").exists()


def test_settings() -> None:
    options, config = parse_settings(["spectrum=10", "batch=32", "dim=512", "decoder_only=true"])
    assert options == {"spectrum": 10.0, "batch": 32, "decoder_only": True}
    assert config == {"dim": 512}
    assert new_config(config) == dataclasses.replace(NEW, dim=512)
    for bad, why in (("batch=many", "is no int"), ("speed=3", "no such setting; there are"), ("rate", "is no float")):
        with pytest.raises(RvqError, match=why):
            parse_settings([bad])


@pytest.mark.parametrize("changes", [{"batch": 0}, {"sub_frames": 9}, {"sub_frames": 6}, {"rate": 0.0}])
def test_options_that_cannot_work(changes: dict[str, Any]) -> None:
    with pytest.raises(RvqError, match=next(iter(changes))):
        check_options(dataclasses.replace(OPTIONS, **changes), tinycodec.CONFIG)


def test_a_step_in_bf16(tmp_path: Path, started: Start) -> None:
    """As on processors that are faster at it: codebooks follow encodings of another type."""
    trainer = started(tmp_path)
    trainer.bf16 = True
    values = trainer.step(batch_of(trainer))
    assert all(torch.isfinite(value) for value in values.values())


def test_profile_times_every_part(pool: Pool, tmp_path: Path) -> None:
    found = profile(make(pool, tmp_path, adversarial=3.0), 2)
    assert list(found.seconds) == ["data", "network", "losses", "discriminators", "update"]
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert found.audio_seconds == pytest.approx(2 * 4 * 8 * 588 / 44100)
    assert found.speed > 0


@pytest.mark.parametrize("size", [64, 10])
def test_nearest_entries(size: int) -> None:
    random = torch.Generator().manual_seed(size)
    entries, vectors = torch.randn(size, 3, generator=random), torch.randn(2500, 3, generator=random)
    assert (nearest(entries, vectors) == torch.cdist(vectors, entries).argmin(1)).all()
