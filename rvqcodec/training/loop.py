"""The training loop: options, one step, checkpoints that resume exactly, a clean end by steps or hours."""

import copy
import json
import os
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor

from rvqcodec.config import Config
from rvqcodec.errors import WeightsError
from rvqcodec.model import Analysis, Codec
from rvqcodec.training import losses
from rvqcodec.training.data import Pool
from rvqcodec.training.discriminators import (
    WINDOWS,
    Discriminators,
    codec_loss,
    feature_distance,
    judge_loss,
)
from rvqcodec.training.start import start_from_data

FEW = (2, 3, 4, 6, 8, 8, 9, 10, 12, 14, 16, 16, 16, 16, 20, 24)  # codebooks that half of a batch keeps
START_CROPS, START_SUB_FRAMES = 32, 84


@dataclass(frozen=True)
class Options:
    """Everything that a run's result depends on, beside the data."""

    steps: int = 100_000  # the run ends here or at `hours`, whichever comes first
    hours: float = 0.0  # 0: no limit
    batch: int = 16
    sub_frames: int = 56  # per crop; 56 are 0.75 s
    rate: float = 8e-4
    warm_up: int = 100
    anneal: float = 0.35  # the last share of the run, in which the learning rate falls to `floor`
    floor: float = 0.02
    weight_decay: float = 1e-2
    average: float = 0.999  # of the weights that are evaluated and shipped
    codebook_decay: float = 0.99
    mel: float = 26.0
    waveform: float = 40.0
    spectrum: float = 8.0
    commitment: float = 4.0
    adversarial: float = 0.0  # 0: stage one; 3 is a good value for stage two
    matching: float = 6.0
    judge_rate: float = 4e-4
    judge_channels: int = 16
    decoder_only: bool = False
    start_batches: int = 64
    seed: int = 0
    save_minutes: float = 5.0
    log_every: int = 50


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    run_start: int = 0  # step at which this slice began: learning rate and hours count from there
    seconds: float = 0.0  # spent in this slice
    sums: dict[str, list[float]] = field(default_factory=dict)


def decoder_parts(name: str) -> bool:
    """Whether a parameter belongs to the decoder; the rest, with the codebooks, is the bitstream."""
    return name.startswith("decoder_")


class Trainer:
    """Owns codec, average, judges, optimizers and progress of one run in one folder."""

    def __init__(self, *, config: Config, options: Options, pool: Pool, out: Path, device: str = "cpu") -> None:
        self.options, self.pool, self.out = options, pool, out
        self.device = torch.device(device)
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        self.codec = Codec(config).to(self.device)
        self.average = copy.deepcopy(self.codec).eval()
        self.judges = Discriminators(options.judge_channels).to(self.device)
        self.progress = Progress()
        self.stopping = False
        self.bf16 = bf16_pays(self.device)
        self._make_optimizers()

    def _make_optimizers(self) -> None:
        o = self.options
        for name, parameter in self.codec.named_parameters():
            parameter.requires_grad_(decoder_parts(name) or not o.decoder_only)
        trained = [p for p in self.codec.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, o.rate, betas=(0.8, 0.99), weight_decay=o.weight_decay)
        self.judge_optimizer = torch.optim.AdamW(self.judges.parameters(), o.judge_rate, betas=(0.8, 0.99))

    @property
    def samples(self) -> int:
        """Length of a crop: one sub-frame more than the sub-frames, for the overlap of the windows."""
        return (self.options.sub_frames + 1) * self.codec.config.sub_frame

    def start(self) -> None:
        """Set codebooks and means from data."""
        n = (START_SUB_FRAMES + 1) * self.codec.config.sub_frame
        batches = [
            torch.from_numpy(self.pool.batch(START_CROPS, n, self.options.seed + 1, i)).to(self.device)
            for i in range(self.options.start_batches)
        ]
        start_from_data(self.codec, batches, self.options.batch * self.options.sub_frames // 2)
        self.average.load_state_dict(self.codec.state_dict())

    # ---- checkpoints

    def save(self, name: str = "last.pt") -> None:
        """Write everything that going on needs, under a temporary name first."""
        state = {
            "config": self.codec.config.to_dict(),
            "options": asdict(self.options),
            "codec": self.codec.state_dict(),
            "counts": {k: b for k, b in self.codec.named_buffers() if k.endswith((".usage", ".total"))},
            "average": self.average.state_dict(),
            "judges": self.judges.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "judge_optimizer": self.judge_optimizer.state_dict(),
            "progress": {k: v for k, v in asdict(self.progress).items() if k != "sums"},
            "random": torch.get_rng_state(),
        }
        part = self.out / f".{name}.part"
        torch.save(state, part)
        os.replace(part, self.out / name)

    def load(self, path: Path, *, new_slice: bool) -> None:
        """Go on from a checkpoint: exactly (new_slice False), or as a new slice with a fresh learning-rate curve."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["config"] != self.codec.config.to_dict():
            raise WeightsError(f"{path}: made for another architecture; start a new run or give its config")
        self.codec.load_state_dict(state["codec"])
        buffers = dict(self.codec.named_buffers())
        for name, value in state["counts"].items():
            buffers[name].copy_(value)
        self.average.load_state_dict(state["average"])
        self.progress = Progress(**state["progress"])
        torch.set_rng_state(state["random"].cpu())
        if state["options"]["judge_channels"] == self.options.judge_channels:
            self.judges.load_state_dict(state["judges"])
            self.judge_optimizer.load_state_dict(state["judge_optimizer"])
        if state["options"]["decoder_only"] == self.options.decoder_only:
            self.optimizer.load_state_dict(state["optimizer"])
        if new_slice:
            self.progress.run_start, self.progress.seconds = self.progress.step, 0.0

    # ---- one step

    def rate_factor(self, share: float) -> float:
        """Warm-up, constant, then linear down to `floor` over the last `anneal` of the slice."""
        o = self.options
        since = self.progress.step - self.progress.run_start
        rise = min(1.0, (since + 1) / o.warm_up)
        fall = min(1.0, max(o.floor, (1 - share) / max(o.anneal, 1e-9)))
        return rise * fall

    def share_done(self) -> float:
        """How much of the slice is over, by steps or by time, whichever is further."""
        o, p = self.options, self.progress
        by_steps = (p.step - p.run_start) / max(1, o.steps)
        return max(by_steps, p.seconds / 3600 / o.hours if o.hours else 0.0)

    def codebooks_kept(self, rng: np.random.Generator) -> Tensor:
        """n_q [batch]: a random number for half of the batch, all for the rest."""
        n_q = np.full(self.options.batch, self.codec.config.max_n_q)
        n_q[: self.options.batch // 2] = rng.choice(FEW, self.options.batch // 2)
        return torch.from_numpy(n_q).to(self.device)

    def reconstruct(self, x: Tensor, n_q: Tensor, first: int) -> tuple[Tensor, Tensor, Analysis]:
        """x [B, N] -> waveform part alone, with noise (both [B, N - 2 sub_frame]), and the analysis."""
        codec, config = self.codec, self.codec.config
        with torch.set_grad_enabled(not self.options.decoder_only):
            parts = codec.quantize(x, n_q, self.options.codebook_decay)
        envelope = parts.envelope.latent.reshape(len(x), -1, config.bands)
        latent = parts.waveform.latent.reshape(len(x), -1, config.latent)
        synthesis = codec.synthesize(latent, envelope, n_q[:, None].expand(-1, envelope.shape[1]))
        noise = codec.noise(first, len(x) * envelope.shape[1], x.device).view_as(synthesis.waveform)
        both = torch.cat([synthesis.waveform, synthesis.waveform + synthesis.noise_amplitude * noise])
        plain, full = codec.waveform(both)[:, config.sub_frame :].chunk(2)
        return plain, full, parts

    def distances(self, x: Tensor, plain: Tensor, full: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        """Losses between the crop and what was made of it: two mel scales and two spectra, chosen at random."""
        rate = self.codec.config.sample_rate
        long, short, wave = (int(rng.choice(n)) for n in ((512, 1024, 2048), (64, 128, 256), (512, 2048)))
        with torch.no_grad():
            goal = {n: losses.spectrum(x, n) for n in {long, short, wave}}
        made, quick = losses.spectrum(full, long), losses.spectrum(full, short)
        unit = [losses.at_unit_level(s, x) for s in (goal[long], made)]
        mel = losses.mel_distance(goal[long], made, rate) + losses.mel_distance(goal[short], quick, rate)
        return {
            "mel": mel / 2,
            "waveform": losses.complex_distance(goal[wave], losses.spectrum(plain, wave), 0.5, 1e-4),
            "spectrum": losses.complex_distance(unit[0], unit[1], 0.4, 1e-3),
        }

    def step(self, batch: Tensor) -> dict[str, float]:
        """One update of codec (and judges); the losses, for the log."""
        o, p = self.options, self.progress
        rng = np.random.default_rng((o.seed, p.step, 1))
        x = batch.to(self.device, non_blocking=True)
        factor = self.rate_factor(self.share_done())
        for optimizer, rate in ((self.optimizer, o.rate), (self.judge_optimizer, o.judge_rate)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        n_q = self.codebooks_kept(rng)
        self.codec.train(not o.decoder_only)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            plain, full, parts = self.reconstruct(x, n_q, int(rng.integers(1 << 24)))
        sub = self.codec.config.sub_frame
        target = x[:, sub : sub + full.shape[1]]
        values = self.distances(target, plain, full, rng)
        loss = o.mel * values["mel"] + o.waveform * values["waveform"] + o.spectrum * values["spectrum"]
        if not o.decoder_only:
            values["commitment"] = parts.envelope.commitment + parts.waveform.commitment
            loss = loss + o.commitment * values["commitment"]
        if o.adversarial > 0:
            loss = loss + self.judge(target, full, p.step % len(WINDOWS), values)
        self.optimizer.zero_grad()
        loss.backward()
        values["gradient"] = torch.nn.utils.clip_grad_norm_(self.codec.parameters(), 1000.0)
        self.optimizer.step()
        self.follow()
        if not o.decoder_only and p.step % 100 == 99 and self.share_done() < 0.8:
            self.revive(parts)
        p.step += 1
        return {k: float(v.detach()) for k, v in values.items()} | {"rate": factor}

    def judge(self, target: Tensor, full: Tensor, which: int, values: dict[str, Tensor]) -> Tensor:
        """Train one judge, then say what it costs the codec."""
        o = self.options
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            real, goal = self.judges(target, which)
            values["judge"] = judge_loss(real, self.judges(full.detach(), which)[0])
        self.judge_optimizer.zero_grad()
        values["judge"].backward()
        torch.nn.utils.clip_grad_norm_(self.judges.parameters(), 10.0)
        self.judge_optimizer.step()
        self.judges.requires_grad_(False)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            verdict, features = self.judges(full, which)
        self.judges.requires_grad_(True)
        values["adversarial"], values["matching"] = codec_loss(verdict), feature_distance(goal, features)
        return o.adversarial * values["adversarial"] + o.matching * values["matching"]

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average of the weights; codebooks are averages already and are copied."""
        keep = min(self.options.average, (self.progress.step + 1) / (self.progress.step + 10))
        mine: list[Tensor] = list(self.average.parameters())
        theirs: list[Tensor] = list(self.codec.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - keep)
        for a, b in zip(self.average.buffers(), self.codec.buffers(), strict=True):
            a.copy_(b)

    def revive(self, parts: Analysis) -> None:
        """Restart entries that nothing chose for long."""
        least = 0.015 * self.options.batch * self.options.sub_frames / self.codec.config.codebook_size
        replaced = self.codec.envelope_quantizer.revive(parts.envelope_latent, least)
        replaced += self.codec.waveform_quantizer.revive(parts.waveform_latent, least)
        self.progress.sums.setdefault("revived", []).append(float(replaced))

    # ---- the run

    def run(self) -> None:
        """Train until the slice is over or a signal asks to stop; always leaves last.pt behind."""
        o, p = self.options, self.progress
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        saved = clock = time.monotonic()
        with (self.out / "log.jsonl").open("a") as log:
            for batch in self.pool.batches(o.batch, self.samples, o.seed + 2, p.step):
                if self.stopping or self.share_done() >= 1:
                    break
                for name, value in self.step(torch.from_numpy(batch)).items():
                    p.sums.setdefault(name, []).append(value)
                now = time.monotonic()
                p.seconds, clock = p.seconds + now - clock, now
                if p.step % o.log_every == 0:
                    self.write_log(log)
                if now - saved > 60 * o.save_minutes:
                    self.save()
                    saved = now
        self.save()

    def write_log(self, log: TextIO) -> None:
        """One JSON line of the means since the last one."""
        p = self.progress
        row: dict[str, Any] = {"step": p.step, "seconds": round(p.seconds, 1)}
        row |= {k: round(float(np.mean(v)), 5) for k, v in p.sums.items()}
        p.sums.clear()
        log.write(json.dumps(row) + "\n")
        log.flush()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True


def bf16_pays(device: torch.device) -> bool:
    """Whether bf16 products are faster than float32 here; on CPUs without AMX or AVX512-BF16 they are slower."""
    if device.type == "cuda":
        return True

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.randn(448, 384).to(dtype), torch.randn(384, 1152).to(dtype)
        best = 1e9
        for _ in range(5):
            begin = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - begin)
        return best

    return seconds(torch.bfloat16) < seconds(torch.float32) / 1.5
