"""`Trainer`: network, average, judges and optimizers of a run; one step; checkpoints that resume exactly."""

import contextlib
import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rvqcodec.errors import RvqError, WeightsError
from rvqcodec.models.rvq44 import config as configs
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.family import Rvq44
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.network.coders import Searches, Trained
from rvqcodec.models.rvq44.network.engine import TorchEngine
from rvqcodec.models.rvq44.network.envelope import by_sub_frame
from rvqcodec.models.rvq44.network.layers import Block
from rvqcodec.models.rvq44.network.parts import Encoded
from rvqcodec.models.rvq44.network.quantize import Quantized
from rvqcodec.training import checkpoint, losses
from rvqcodec.training.data import Pool
from rvqcodec.training.discriminators import (
    WINDOWS,
    Discriminators,
    codec_loss,
    feature_distance,
    judge_loss,
    limited,
)
from rvqcodec.training.from_data import start_from_data
from rvqcodec.training.gpu_pool import ResidentPool, for_device, onto
from rvqcodec.training.kept import codebooks_kept
from rvqcodec.training.noise_table import flat_noise
from rvqcodec.training.options import Options, RunState
from rvqcodec.training.pace import bf16_pays, parts_by_rate
from rvqcodec.training.stereo import LENGTH, start_stereo

START_CROPS, START_SUB_FRAMES = 32, 84
START_PAIRS = 4  # sequences of a batch from which the table of a pair's parameters is set
POLISH = 4.7  # batches that improve the codebooks for each that set them
REVIVE_EVERY = 100  # steps
# Hz from which the way around the network has gain 1. What recordings have coded there is small and mostly wrong, which
# taught it to damp tones, however well coded, by up to 8 dB.
DIRECT_FROM = 3200.0
GRADIENT_LIMIT = 50.0  # a few times what is usual: a single odd crop must not undo many steps


def untimed(name: str) -> AbstractContextManager[None]:
    """What `Trainer.part` is unless a profile is taken."""
    return contextlib.nullcontext()


class Trainer:
    """Owns network, average, judges, optimizers and progress of one run in one folder.

    `part(name)` wraps each part of a step; a profile puts a clock there. `workers` make batches ahead.
    """

    def __init__(
        self,
        *,
        config: Config,
        options: Options,
        pool: Pool | ResidentPool,
        out: Path,
        device: str = "cpu",
        workers: int = 1,
    ) -> None:
        self.options, self.out = options, out
        self.device = torch.device(device)
        self.pool = for_device(pool, self.device)
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        self.network = Network(config).to(self.device)
        self.average = copy.deepcopy(self.network).eval()
        self.network.waveform_quantizer.width = 1  # nearest entries: a search in every step takes long
        self.judges = Discriminators(options.judge_channels).to(self.device)
        self.progress = RunState()
        self.workers = workers
        self.part: Callable[[str], AbstractContextManager[None]] = untimed
        self.bf16 = bf16_pays(self.device)
        self._searches: Searches | None = None
        self._make_optimizers()

    def _make_optimizers(self) -> None:
        o = self.options
        fixed = set(configs.bitstream(name for name, _ in self.network.named_parameters())) if o.decoder_only else set()
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name not in fixed)
        self.network.envelope_quantizer.requires_grad_(False)
        groups = [{"params": some, "share": share} for share, some in parts_by_rate(self.network).items()]
        self.optimizer = torch.optim.AdamW(groups, o.rate, betas=(0.8, 0.99), weight_decay=o.weight_decay)
        self.judge_optimizer = torch.optim.AdamW(self.judges.parameters(), o.judge_rate, betas=(0.8, 0.99))

    @property
    def model(self) -> Rvq44:
        """The averaged network as a model, for figures."""
        return Rvq44(TorchEngine(self.average))

    @property
    def samples(self) -> int:
        """Length of a crop: two sub-frames more than the sub-frames, which `Network.encode` wants before the first."""
        return (self.options.sub_frames + 2) * self.network.config.sub_frame

    def searches(self) -> Searches | None:
        """Of codebooks that this run leaves as they are, made once."""
        if self._searches is None and self.options.decoder_only:
            envelope, waveform = self.network.quantizers
            self._searches = envelope.search(), waveform.search()
        return self._searches

    def start(self) -> None:
        """Set codebooks, means and the table of a pair's parameters from data, and make the decoder's noise."""
        few = self.options.start_batches
        frames = self.options.batch * self.options.sub_frames // self.network.config.frame_sub_frames
        start_from_data(self.network, self.start_batch, few, round(POLISH * few), frames)
        start_stereo(self.network, self.start_pairs, few, self.options.stereo_steps)
        carrier = self.network.decoder_carrier
        carrier.copy_(flat_noise(carrier, self.network.config.sample_rate, self.options.carrier_steps).half())
        self.average.load_state_dict(self.network.state_dict())

    def start_batch(self, index: int) -> Tensor:
        """Crops [START_CROPS, N] from which the start is made."""
        n = (START_SUB_FRAMES + 2) * self.network.config.sub_frame
        return onto(self.device, torch.as_tensor(self.pool.batch(START_CROPS, n, self.options.seed + 1, index)))

    def start_pairs(self, index: int) -> Tensor:
        """Left and right [START_PAIRS, 2, N] of LENGTH frames."""
        c = self.network.config
        n = (LENGTH * c.frame_sub_frames + 2) * c.sub_frame
        return torch.as_tensor(self.pool.pairs(START_PAIRS, n, self.options.seed + 1, index)).to(self.device)

    # ---- checkpoints

    def save(self, name: str = checkpoint.LAST) -> None:
        """Write everything that going on needs; RvqError, and nothing written, when the losses are no numbers."""
        self.means()
        state = {
            "config": self.network.config.to_dict(),
            "options": asdict(self.options),
            "codec": self.network.state_dict(),
            "counts": {k: b for k, b in self.network.named_buffers() if k.endswith((".usage", ".total"))},
            "average": self.average.state_dict(),
            "judges": self.judges.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "judge_optimizer": self.judge_optimizer.state_dict(),
            "progress": {k: v for k, v in vars(self.progress).items() if k != "sums"},
            "random": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        checkpoint.write(self.out / name, state)

    def means(self) -> dict[str, float]:
        """The losses since the last log line, averaged: the only place that waits for the device."""
        found = {name: float(torch.stack(v).float().mean()) for name, v in self.progress.sums.items()}
        if not all(math.isfinite(value) for value in found.values()):
            raise RvqError(
                f"{self.out}: the losses are no numbers any more at step {self.progress.step}; go on from "
                f"{checkpoint.LAST} with a lower rate (--set rate=4e-4)"
            )
        return found

    def load(self, path: Path, *, new_slice: bool) -> None:
        """Go on from a checkpoint: exactly (new_slice False), or as a new slice with a fresh learning-rate curve.

        A slice that trains the decoder alone begins with the averaged weights: their encoder is what was shipped.
        """
        state = checkpoint.read(path, self.device)
        if checkpoint.config_of(path, state) != self.network.config:
            raise WeightsError(f"{path}: made for another architecture; start a new run or give its config")
        same_parts = state["options"]["decoder_only"] == self.options.decoder_only
        self._searches = None
        self.network.load_state_dict(state["codec" if same_parts or not self.options.decoder_only else "average"])
        buffers = dict(self.network.named_buffers())
        for name, value in state["counts"].items():
            buffers[name].copy_(value)
        self.average.load_state_dict(state["average"])
        self.progress = RunState(**state["progress"])
        torch.set_rng_state(state["random"].cpu())
        if "random_cuda" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"].cpu(), self.device)
        if state["options"]["judge_channels"] == self.options.judge_channels:
            self.judges.load_state_dict(state["judges"])
            self.judge_optimizer.load_state_dict(state["judge_optimizer"])
        if same_parts:
            self.optimizer.load_state_dict(state["optimizer"])
        if new_slice:
            self.progress.run_start, self.progress.seconds = self.progress.step, 0.0

    def adopt(self, source: Network) -> None:
        """Begin with the weights of a network that has no training state, as shipped ones have none."""
        self._searches = None
        self.network.load_state_dict(source.state_dict())
        self.average.load_state_dict(source.state_dict())
        frames = self.options.batch * self.options.sub_frames / self.network.config.frame_sub_frames
        for quantizer in self.network.quantizers:
            for codebook in quantizer.stages:
                codebook.usage.fill_(frames / len(codebook.entries))
                codebook.total.copy_(codebook.entries * codebook.usage[:, None])

    def compile_blocks(self) -> None:
        """Let torch.compile fuse the network's blocks, in place."""
        for module in self.network.modules():
            if isinstance(module, Block):
                module.compile()

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

    def reconstruct(self, x: Tensor, n_q: Tensor, first: int) -> tuple[Tensor, Tensor, Encoded[Quantized]]:
        """x [B, N], n_q [B, T] -> coded part alone, with noise (both [B, N - 3 sub_frame]), and what was coded."""
        network, config = self.network, self.network.config
        with torch.set_grad_enabled(not self.options.decoder_only):
            coder = Trained(network.quantizers, n_q, self.options.codebook_decay, self.searches())
            parts = network.encode([x], coder)[0]
        envelope = by_sub_frame(parts.shape.envelope.latent, config.frame_sub_frames)
        latent = network.unpack(by_sub_frame(parts.waveform.latent, config.frame_sub_frames), envelope)
        onset = torch.where(parts.onsets & (n_q > config.envelope_codebooks), parts.onset_codes + 1, 0)
        made = network.synthesize(latent, envelope, n_q, onset)
        noise = network.noise(first, len(x) * envelope.shape[1]).view_as(made.coefficients)
        noisy = replace(made, coefficients=made.coefficients + made.noise_amplitude * noise)
        with torch.autocast(self.device.type, enabled=False):
            plain, full = network.sound_without_onsets(made), network.sound(noisy)
        return plain[:, config.sub_frame :], full[:, config.sub_frame :], parts

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One update of codec (and judges); the losses, for the log, still on the device: nothing waits for them.

        The losses run backward to the decoded sound first, then the network from there: the two are timed apart,
        and never hold memory at the same time.
        """
        o, p = self.options, self.progress
        rng = np.random.default_rng((o.seed, p.step, 1))
        x = onto(self.device, batch)
        self.set_rates()
        n_q = codebooks_kept(self.network, x, rng)
        self.network.train(not o.decoder_only)
        with self.part("network"), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            plain, full, parts = self.reconstruct(x, n_q, int(rng.integers(1 << 24)))
        sub = self.network.config.sub_frame
        target = x[:, 2 * sub : 2 * sub + full.shape[1]]
        leaves = [plain.detach().requires_grad_(), full.detach().requires_grad_()]
        with self.part("losses"):
            values = losses.some_distances(target, leaves[0], leaves[1], rng, self.network.config.sample_rate)
            loss = torch.stack([getattr(o, name) * value for name, value in values.items()]).sum()
            loss.backward()
        if o.adversarial > 0:
            with self.part("discriminators"):
                verdict = self.judge(target, leaves[1], p.step % len(WINDOWS), values)
                distances = leaves[1].grad
                assert distances is not None
                if p.step - p.run_start >= o.judge_warm_up:
                    distances += limited(torch.autograd.grad(verdict, leaves[1])[0], distances)
        with self.part("network"):
            ends, gradients = [plain, full], [leaf.grad for leaf in leaves]
            if not o.decoder_only:
                values["commitment"] = parts.shape.envelope.commitment + parts.waveform.commitment
                ends, gradients = [*ends, o.commitment * values["commitment"]], [*gradients, None]
            self.optimizer.zero_grad()
            torch.autograd.backward(ends, gradients)
        with self.part("update"):
            values["gradient"] = torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_LIMIT)
            self.optimizer.step()
            self.follow()
            if not o.decoder_only and p.step % REVIVE_EVERY == REVIVE_EVERY - 1 and self.share_done() < 0.8:
                values["revived"] = torch.tensor(float(self.revive(parts)))
        p.step += 1
        return {name: value.detach() for name, value in values.items()}

    def set_rates(self) -> None:
        """Put this step's learning rates into the optimizers."""
        factor = self.rate_factor(self.share_done())
        for optimizer, rate in (
            (self.optimizer, self.options.rate),
            (self.judge_optimizer, self.options.judge_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor * group.get("share", 1.0)

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
        """Hold the treble's direct gain, then move the average; codebooks are averages already and are copied."""
        treble = self.network.config.coefficient(DIRECT_FROM)
        for network in (self.network, self.average):
            network.decoder_direct[treble:] = 1.0
        keep = min(self.options.average, (self.progress.step + 1) / (self.progress.step + 10))
        mine: list[Tensor] = list(self.average.parameters())
        theirs: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - keep)
        if not self.options.decoder_only:
            for a, b in zip(self.average.buffers(), self.network.buffers(), strict=True):
                a.copy_(b)

    def revive(self, parts: Encoded[Quantized]) -> int:
        """Restart entries that nothing chose for long; how many they were."""
        fewest = 0.015 * self.options.batch * self.options.sub_frames / self.network.config.codebook_size
        replaced = self.network.envelope_quantizer.revive(parts.shape.latent, fewest)
        return replaced + self.network.waveform_quantizer.revive(parts.shape.waveform_latent, fewest)
