"""The table of a pair's parameters (`models.rvq44.stereo`): k-means first, then towards what is heard.

A code refines the ones before, so entries are made by running the closed loop: search, then move each entry towards
what was wanted where it was chosen. The start is a residual quantizer's stages, large steps and small ones, side by
side: from random targets the loop settles on few entries and stays coarse.

Shapes: T frames, N sequences, B bands, D = 2 B parameters. Covariances are of main and second at the middle angle.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from rvqcodec.models.rvq44 import stereo
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.tables import Floats
from rvqcodec.training.from_data import k_means

LENGTH = 168  # frames of a sequence
STAGES = 4  # of the start
SETTLED = 6  # frames after which a sequence's codes are learned from
SPAN = 4  # frames over which levels and coherence are compared
SEARCHED, LEARNED = 300, 64  # sequences of a round of k-means, of a step of Adam
WIDTH = 4  # of the search: an encoder's is wider
STEPS_A_ROUND = 10
RATE = 2e-3
COHERENCE = 5.0  # a coherence error's weight in the loss, against the level error's in dB


def start_stereo(network: Network, pairs: Callable[[int], Tensor], batches: int, steps: int) -> None:
    """Set the table of a network from batches of left and right [N, 2, (S + 2) * sub_frame], S LENGTH frames."""
    excerpts = [e for i in range(batches) for e in covariances(network, pairs(i))]
    rounds = -(-steps // STEPS_A_ROUND)
    with torch.random.fork_rng(devices=[]):  # what comes after it in a run does not depend on it
        table = fit(excerpts, len(network.stereo_table), rounds=rounds, steps=steps)
    network.stereo_table.copy_(table)


@torch.no_grad()
def covariances(network: Network, pairs: Tensor) -> list[Floats]:
    """Left and right [N, 2, (S + 2) * sub_frame] -> covariances [3, T, B] of each."""
    c = network.config
    left, right = pairs.unbind(1)
    weights = network.band_weights[: c.coefficients].cpu().numpy()
    both = (left + right) / 2, (right - left) / 2
    main, second = (network.analyse(x)[1][:, 1:].cpu().numpy() for x in both)
    return [stereo.covariances(m, s, weights, c.frame_sub_frames) for m, s in zip(main, second, strict=True)]


def fit(excerpts: Sequence[Floats], size: int, *, rounds: int, steps: int) -> Tensor:
    """Covariances [3, T, B] of many excerpts -> table [size, D], entry 0 zero, as float16 holds it."""
    powers, values, weights = sequences(excerpts)
    left, stages = values[2::4].flatten(0, 1), []
    for _ in range(STAGES):
        entries, _ = k_means(left, size // STAGES)
        stages.append(entries)
        left = left - entries[torch.cdist(left, entries).argmin(1)]
    table = torch.cat(stages)
    table[0] = 0
    table = closed_loop(table, values, weights, rounds=rounds)
    if steps:
        table = towards_heard(table, powers, values, weights, steps=steps)
    return table.half().float()


def sequences(excerpts: Sequence[Floats]) -> tuple[Tensor, Tensor, Tensor]:
    """Covariances [3, T, B] of excerpts -> pieces: covariances [3, LENGTH, N, B], values and weights [LENGTH, N, D]."""
    pieces = [e[:, i : i + LENGTH] for e in excerpts for i in range(0, e.shape[1] - LENGTH + 1, LENGTH)]
    after = len(stereo.SPREAD) // 2
    made = [stereo.Analysis().push(np.pad(piece, ((0, 0), (0, after), (0, 0)))) for piece in pieces]
    values, weights = (torch.from_numpy(np.stack([m[i] for m in made], 1)) for i in range(2))
    return torch.from_numpy(np.stack(pieces, 2)), values, weights


@torch.no_grad()
def search(values: Tensor, weights: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """As StereoEncoder, for sequences side by side [T, N, D] -> codes [T, N], what was wanted of each [T, N, D]."""
    _, count, dim = values.shape
    across, squares = table.t().contiguous(), table.square().t().contiguous()
    states, cost = torch.zeros(count, 1, dim), torch.zeros(count, 1)
    undecided = torch.zeros(count, 1, 0, dtype=torch.int64)
    codes = []
    for value, weight in zip(values, weights, strict=True):
        left = value[:, None] - stereo.DECAY * states
        heard = left * weight[:, None]
        fixed = (weight @ squares)[:, None] + ((heard * left).sum(2) + cost)[..., None]
        least = torch.baddbmm(fixed.expand(-1, -1, len(table)), heard, across.expand(count, -1, -1), alpha=-2)
        cost, place = least.flatten(1).topk(WIDTH, 1, largest=False)
        chain, code = place // len(table), place % len(table)
        states = stereo.DECAY * states.gather(1, chain[..., None].expand(-1, -1, dim)) + table[code]
        earlier = undecided.gather(1, chain[..., None].expand(-1, -1, undecided.shape[2]))
        undecided = torch.cat([earlier, code[..., None]], 2)
        if undecided.shape[2] > stereo.DELAY:
            codes.append(undecided[:, 0, 0])
            cost = cost.masked_fill(undecided[:, :, 0] != codes[-1][:, None], torch.inf)
            undecided = undecided[:, :, 1:]
    found = torch.stack(codes + list(undecided[:, 0].unbind(1)))
    wanted, state = [], torch.zeros(count, dim)
    for value, code in zip(values, found, strict=True):
        wanted.append(value - stereo.DECAY * state)
        state = stereo.DECAY * state + table[code]
    return found, torch.stack(wanted)


def closed_loop(table: Tensor, values: Tensor, weights: Tensor, *, rounds: int) -> Tensor:
    """Lloyd's rounds in the closed loop, half of the way each; unused entries start again at something wanted."""
    for k in range(rounds):
        some = torch.randperm(values.shape[1])[:SEARCHED]
        codes, wanted = search(values[:, some], weights[:, some], table)
        index, x = codes[SETTLED:].flatten(), wanted[SETTLED:].flatten(0, 1)
        w = weights[SETTLED:, some].flatten(0, 1)
        sums = torch.zeros_like(table).index_add_(0, index, w * x)
        share = torch.zeros_like(table).index_add_(0, index, w)
        used = torch.bincount(index, minlength=len(table))
        moved = torch.where(share > 1e-4, 0.5 * table + 0.5 * sums / share.clamp_min(1e-4), table)
        table = torch.where(used[:, None] > 2, moved, table)
        unused = (used == 0).nonzero().squeeze(1)
        if k < rounds - 3:
            table[unused] = x[torch.randint(len(x), (len(unused),))]
        table[0] = 0
    return table


def image_loss(powers: Tensor, values: Tensor) -> Tensor:
    """Covariances [3, T, N, B], parameters [T, N, D], T a multiple of SPAN -> errors of level and coherence."""
    main, across, second = powers
    alpha, rho = values.clamp(-stereo.STEEPEST, stereo.STEEPEST).chunk(2, -1)
    alpha, rho = torch.tan(alpha), torch.tan(rho.clamp_min(0)) + 1e-4
    loud = main + stereo.NEARLY * 2 * (main + second) + stereo.FLOOR
    wanted, made = _image(main, across, second), _image(loud, alpha * loud, (alpha**2 + rho**2) * loud)
    weight = _means(2 * (main + second)) ** stereo.WEIGHT
    weight = weight / (weight.mean(-1, keepdim=True) + 1e-3)
    level_error = ((wanted[0] - made[0]).square() + 0.3**2).sqrt()
    coherence_error = ((wanted[1] - made[1]).square() + 0.03**2).sqrt()
    return (weight * (level_error + COHERENCE * coherence_error)).mean()


def _image(main: Tensor, across: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Covariances [T, N, B] -> level of right over left in dB, coherence [T / SPAN, N, B]."""
    left, right, both = (_means(x) for x in (main - 2 * across + second, main + 2 * across + second, main - second))
    left, right = left.clamp_min(0), right.clamp_min(0)
    level = (10 * torch.log10((right + 1e-6) / (left + 1e-6))).clamp(-30, 30)
    return level, both / ((left * right + 1e-20).sqrt() + 1e-7)


def _means(x: Tensor) -> Tensor:
    """[T, ...] -> means of SPAN frames [T / SPAN, ...]."""
    means: Tensor = x.unflatten(0, (-1, SPAN)).mean(1)
    return means


def towards_heard(table: Tensor, powers: Tensor, values: Tensor, weights: Tensor, *, steps: int) -> Tensor:
    """Adam on `image_loss` through the closed loop, codes searched anew for every batch."""
    table = table.clone().requires_grad_()
    optimizer = torch.optim.Adam([table], lr=RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        some = torch.randperm(values.shape[1])[:LEARNED]
        ahead, heard = (torch.cat([x[:1, some].expand(stereo.AHEAD, -1, -1), x[:, some]]) for x in (values, weights))
        codes, _ = search(ahead, heard, table.detach())
        state, states = torch.zeros_like(ahead[0]), []
        for entry in table[codes]:
            state = stereo.DECAY * state + entry
            states.append(state)
        optimizer.zero_grad()
        image_loss(powers[:, :, some], torch.stack(states[stereo.AHEAD :])).backward()
        assert table.grad is not None
        table.grad.nan_to_num_(0)[0] = 0
        optimizer.step()
    return table.detach()
