"""The table of onsets' shapes, from recordings and from made attacks: descent on what a code is chosen by."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.network.coders import Searched
from rvqcodec.models.rvq44.network.onset import Onsets
from rvqcodec.models.rvq44.onsets import LOUDNESS
from rvqcodec.training import synthetic

ROUNDS, STEPS, RATE = 45, 8, 2e-2  # new codes for all shapes; steps of descent for each; dB / 10
SEARCHED = 4096  # shapes that are compared with all entries at once
RARE = 2  # shapes that chose an entry; one with fewer is moved, in the first half of the rounds
SECONDS, AT_ONCE = 5.0, 4  # length of a made sound, and number of them in a batch


def start_onsets(network: Network, crops: Callable[[int], Tensor], count: int) -> None:
    """Set the shapes of onsets from those of `count` batches of crops and of as many of made attacks."""
    rng, n = np.random.default_rng(3), _whole(network, SECONDS)
    batches = (x for i in range(count) for x in (crops(i), made_attacks(network, n, AT_ONCE, rng)))
    fit(network.onset, torch.cat([shapes_in(network, x) for x in batches]))


@torch.no_grad()
def shapes_in(network: Network, x: Tensor) -> Tensor:
    """x [B, (S + 2) * sub_frame] -> shapes of its onsets [n, slots], dB / 10."""
    onset = network.onset
    shape = network.shapes([x], Searched(network.quantizers))[0]
    flags = onset.flags(network.levels(shape.envelope.codes))
    powers = onset.powers(network.inverse(onset.treble(shape.coefficients)))
    return onset.shape(powers, onset.reference(network.amplitude(shape.quantized)))[flags]


def made_attacks(network: Network, n: int, count: int, rng: np.random.Generator) -> Tensor:
    """[count, n]: attacks after silence at any place in a frame, for there are few in recordings."""
    rate = network.config.sample_rate
    made = np.stack([synthetic.attacks(n, rate, rng) for _ in range(count)])
    return torch.from_numpy(made).to(network.device)


@torch.enable_grad()
def fit(onset: Onsets, shapes: Tensor) -> None:
    """Set the table to what fits shapes [n, slots] best, by the errors that `Onsets.encode` makes least."""
    size = len(onset.entries)
    some = shapes[torch.randperm(len(shapes), device=shapes.device)[:size]]
    onset.entries[: len(some)] = some
    entries = onset.entries.clone().requires_grad_()
    optimizer = torch.optim.Adam([entries])
    heard = onset.heard(shapes)
    for round_ in range(ROUNDS):
        codes = torch.cat([onset.encode(part) for part in shapes.split(SEARCHED)])
        if round_ < ROUNDS / 2:
            _move_rare(entries, shapes, codes)
        optimizer.param_groups[0]["lr"] = RATE * (1 - round_ / ROUNDS)
        for _ in range(STEPS):
            chosen = F.embedding(codes, entries)
            errors = (heard.weight * (chosen - shapes).square()).sum(1)
            loss = (errors + LOUDNESS * heard.louder(chosen).square()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        onset.entries.copy_(entries.detach())
    onset.entries.copy_(onset.entries.half())


@torch.no_grad()
def _move_rare(entries: Tensor, shapes: Tensor, codes: Tensor) -> None:
    """Put entries that hardly any shape chose to shapes that the most common ones stand for."""
    number = torch.bincount(codes, minlength=len(entries))
    rare = (number < RARE).nonzero()[:, 0]
    chosen = min(len(rare), int((number > 0).sum()))  # where few are, some rare entries stay as they are
    for entry, common in zip(rare.tolist(), number.topk(chosen).indices.tolist(), strict=False):
        theirs = (codes == common).nonzero()[:, 0]
        entries[entry] = shapes[theirs[torch.randint(len(theirs), (1,), device=codes.device)[0]]]


def _whole(network: Network, seconds: float) -> int:
    """Samples of whole frames, and the two sub-frames before the first."""
    c = network.config
    return (round(seconds * c.sample_rate / c.hop) * c.frame_sub_frames + 2) * c.sub_frame
