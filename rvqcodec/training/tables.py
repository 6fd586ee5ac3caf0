"""The tables of a model by which codes are coded: from audio, trained, made whole numbers, written.

collect    excerpts of recordings -> their codes, chunk by chunk (`Chunks`)
train      codes -> networks (`training.likely`), frequencies of codes that stand alone
whole      all of it -> tensors of whole numbers, as `models.rvq44.likely` reads them
write      tensors -> MODEL.tables.safetensors
name       their hash -> the cards beside them
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from rvqcodec import files
from rvqcodec.codec.encoding import Encoder
from rvqcodec.container import FRAMES_PER_CHUNK, Chunk, Header
from rvqcodec.errors import WeightsError
from rvqcodec.models.cards import read_card
from rvqcodec.models.coding import ENDING, FOR, read
from rvqcodec.models.interface import Card, Model
from rvqcodec.models.loading import open_card, verified_tensors
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.integers import MOST, STEPS, SUMS, TAIL
from rvqcodec.models.rvq44.likely import BANDS, BASE, CHAINED, ENVELOPE, ONE, SCALE
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.network.engine import network_of
from rvqcodec.models.rvq44.payload import known_levels
from rvqcodec.training.data import mapped
from rvqcodec.training.export import card_bytes
from rvqcodec.training.likely import ChainNet, Chunks, EnvelopeNet, first_bias, fit, moved

FAMILY = "rvq44"
SECONDS = 14.0  # of an excerpt: four whole chunks
MONO, STEREO = 24, 32  # codebooks a frame that excerpts are encoded with
LOUDNESS = -16.0, 3.0  # dB by which they are made softer or louder
WEIGHTS = 32000  # largest of a layer
ALONE = 65535  # of the frequencies of codes that stand alone
MEAN = 256  # of them
FEWEST = 0.5  # times that a code is taken to have come besides
SHARES = {"envelope": 0.7, "chains": 0.25, "second": 0.05}  # of the time for training
CHAIN_RATE, CHAIN_DECAY = 4e-3, 1e-3
CALIBRATED = 64  # chunks whose activations set the scale of heads

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Collected:
    """Chunks of first or only channels, and of second ones."""

    main: Chunks
    second: Chunks


def opened(card: Card) -> tuple[Model, Network]:
    """A model to encode with, and its network. WeightsError for one that tables cannot be made for."""
    if card.family != FAMILY:
        raise WeightsError(f"model {card.model_id} is of family {card.family}, not {FAMILY}; no tables are made for it")
    return open_card(card), network_of(Config(**card.config), verified_tensors(card))


def collect(
    model: Model, arrays: Sequence[Path], seconds: float, seed: int, *, shown: Callable[[float, float], Any]
) -> Collected:
    """Codes of random excerpts of cached recordings, `seconds` in all, every other one of two channels as stereo."""
    rng = np.random.default_rng(seed)
    found: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]] = ([], [])
    rate, done = model.facts.model_rate, 0.0
    while done < seconds:
        for array in rng.permutation(np.array(arrays, object)).tolist():
            if done >= seconds:
                break
            track, length = mapped(array), int(SECONDS * rate)
            start = int(rng.integers(0, max(1, track.shape[1] - length)))
            sound = track[:, start : start + length].astype(np.float32) / 32768 * 10 ** (rng.uniform(*LOUDNESS) / 20)
            if len(sound) == 1 or rng.random() < 0.5:
                sound = sound.mean(0, keepdims=True)
            sound = (sound / max(1, np.abs(sound).max())).astype(np.float32)
            for chunk in _encoded(model, sound):
                for c, codes in enumerate(chunk.codes):
                    row = chunk.allocation.demand[c] if chunk.allocation.demand else b""
                    if row:
                        found[c].append((codes, chunk.n_q[c], np.frombuffer(row, np.uint8)))
            done += sound.shape[1] / rate
            shown(min(done, seconds), seconds)
    return Collected(*(joined(kind, model.facts.max_n_q) for kind in found))


def _encoded(model: Model, sound: NDArray[np.float32]) -> Iterator[Chunk]:
    header = Header.of(
        model.facts, sample_rate=model.facts.model_rate, channels=len(sound), n_samples=sound.shape[1],
        total_n_q=MONO if len(sound) == 1 else STEREO,
    )  # fmt: skip
    encoder = Encoder(model, header)
    yield from encoder.push(sound, more=True)
    yield from encoder.flush()


def joined(parts: Sequence[tuple[Any, ...]], most: int) -> Chunks:
    """Codes [K, T], n_q and demand [T] of chunks, side by side."""
    codes = torch.zeros(len(parts), most, FRAMES_PER_CHUNK, dtype=torch.int16)
    n_q, demand = (torch.zeros(len(parts), FRAMES_PER_CHUNK, dtype=torch.int16) for _ in range(2))
    for i, (own, counts, wanted) in enumerate(parts):
        frames = own.shape[1]
        codes[i, : len(own), :frames] = torch.from_numpy(own.astype(np.int16))
        n_q[i, :frames] = torch.from_numpy(counts.astype(np.int16))
        demand[i, :frames] = torch.from_numpy(wanted.astype(np.int16))
    return Chunks(codes, n_q, demand)


# ---- training


def train(
    network: Network, collected: Collected, seconds: float, seed: int, *, shown: Callable[[float], Any]
) -> Tensors:
    """Tables from codes, trained for so many seconds of this process. shown: told how much of them is over."""
    config, main, second = network.config, collected.main, collected.second
    size, fine = config.codebook_size, config.max_n_q - config.envelope_codebooks
    begin = process_time()

    def during(share: float, bits: float) -> None:
        shown(min(1, (process_time() - begin) / seconds))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = envelope_net(network)
        with torch.no_grad():
            for k in range(ENVELOPE):
                net.bias[k] = first_bias(main.codes[:, k].long(), main.n_q > k, size)
        fit(net, lambda some: net(*main.pick(some)), len(main), SHARES["envelope"] * seconds, shown=during)
        tensors = shared(config) | whole_envelope(net, main, config.envelope_step)
        details, counts, onsets = waveform(network, main)
        for j in range(CHAINED):
            there = counts > j
            known = there & chain_known(main, counts, j)
            chain = fitted_chain(details[:, j].long(), there, known, size, SHARES["chains"] / CHAINED * seconds, during)
            tensors |= whole_chain(f"chain{j}", chain)
        there = second.n_q > 0
        known = there & moved(there, -1)
        chain = fitted_chain(second.codes[:, 0].long(), there, known, size, SHARES["second"] * seconds, during)
        tensors |= whole_chain("second", chain)
    onset = (onsets > 0) & (main.n_q > ENVELOPE)
    return tensors | {
        "static": alone([(details[:, j], counts > j) for j in range(fine)], size),
        "static.second": alone([(second.codes[:, 1 + j], second.n_q > 1 + j) for j in range(fine)], size),
        "onset": alone([(main.codes[:, ENVELOPE], onset)], size),
    }


def envelope_net(network: Network) -> EnvelopeNet:
    """A net that is to be trained, for the envelope's codebooks."""
    every = torch.arange(network.config.codebook_size)
    entries = torch.stack([stage.lookup(every) for stage in network.envelope_quantizer.stages]).detach()
    first = network.config.base_codebooks
    known = torch.from_numpy(known_levels(((first, network.config.max_n_q),), (1,))[0])
    return EnvelopeNet(entries, known, first)


def waveform(network: Network, chunks: Chunks) -> tuple[Tensor, Tensor, Tensor]:
    """Waveform codes int16 [N, K, T], how many frames have int64 [N, T], which frames have onsets, 1 or 0."""
    codes = chunks.codes[:, :BASE].long()
    onsets = torch.cat([network.onset.flags(network.levels(some)) for some in codes.split(64)]).long()
    rest = torch.nn.functional.pad(chunks.codes[:, ENVELOPE:], (0, 0, 0, 1))
    details = torch.where(onsets[:, None] > 0, rest[:, 1:], rest[:, :-1])
    return details, (chunks.n_q - ENVELOPE - onsets).clamp_min(0), onsets


def chain_known(chunks: Chunks, counts: Tensor, j: int) -> Tensor:
    """Whether waveform code j of the frame before is known when that of a frame comes, bool [N, T]."""
    return moved(counts > j, -1) & (moved(chunks.demand, -1) >= chunks.demand)  # but for frames with onsets


def fitted_chain(
    codes: Tensor, there: Tensor, known: Tensor, size: int, seconds: float, shown: Callable[[float, float], Any]
) -> ChainNet:
    """A net for codes [N, T], which there are, and of which the one before is known."""
    net = ChainNet(size)
    with torch.no_grad():
        net.bias.copy_(first_bias(codes, there, size))
    fit(
        net, lambda some: net(codes[some], there[some], known[some]), len(codes), seconds,
        rate=CHAIN_RATE, decay=CHAIN_DECAY, shown=shown,
    )  # fmt: skip
    return net


# ---- whole numbers


def shared(config: Config) -> Tensors:
    """What all nets have in common, and the rule of onsets."""
    distance = np.arange(TAIL) / STEPS
    rise = config.onset_rise / 8.686 * config.envelope_scale / config.envelope_step * (config.bands - config.onset_band)
    return {
        "frequencies": (np.rint(ALONE * np.exp(-distance)) + 1).astype(np.int32),
        "onset.rule": np.array([int(rise), config.onset_band], np.int32),
    }


@torch.no_grad()
def whole_envelope(net: EnvelopeNet, chunks: Chunks, step: float) -> Tensors:
    """A trained net as whole numbers; chunks set the scale of activations. step: of envelopes."""
    tensors: Tensors = {
        "entries": (net.entries / step).round().numpy().astype(np.int16),
        "scale": np.array([round(SCALE * ONE * step * net.scale)], np.int32),
    }
    some = torch.linspace(0, len(chunks) - 1, min(CALIBRATED, len(chunks))).long()
    tables = net.tables()
    for k in range(ENVELOPE):
        name, there, (first, second, last) = f"envelope{k}", chunks.n_q[some] > k, net.layers(k)
        scales = [_scale(stage[there].amax(0)) for stage in net.stages(k, *chunks.pick(some))]
        rows, distances = (torch.full([n], float(ONE)).double() for n in (first.in_features, 2 * BANDS))
        tensors |= whole_layer(f"{name}.first", first.weight, first.bias, rows, scales[0])
        tensors |= whole_layer(f"{name}.second", second.weight, second.bias, scales[0], scales[1])
        tensors |= whole_layer(f"{name}.last", last.weight, last.bias, torch.cat([scales[1], distances]), scales[2])
        tensors |= whole_head(f"{name}.head", tables[k], net.bias[k], scales[2])
        tensors[f"{name}.spread"] = np.array([round(SCALE * ONE * step * net.spread[k])], np.int32)
    return tensors


@torch.no_grad()
def whole_chain(name: str, net: ChainNet) -> Tensors:
    """As `whole_envelope`."""
    seen = net.seen.relu().double()
    scale = _scale(seen.amax(0))
    whole = (seen * scale).floor().clamp(0, MOST).numpy().astype(np.int16)
    return {f"{name}.seen": whole} | whole_head(f"{name}.head", net.table, net.bias, scale)


def _scale(largest: Tensor) -> Tensor:
    """Largest activations [n] -> powers of two that make whole numbers up to MOST of them, with room above."""
    scale: Tensor = 2 ** (MOST / (1.1 * largest.double()).clamp_min(1e-3)).log2().floor().clamp(-8, 10)
    return scale


def whole_head(name: str, table: Tensor, bias: Tensor, given: Tensor) -> Tensors:
    """What a head multiplies with [size, in] and its bias [size], in nats; only differences of logits count."""
    steps = torch.full([len(bias)], float(STEPS))
    return whole_layer(name, table, bias - bias.mean(), given, steps)


def whole_layer(name: str, weight: Tensor, bias: Tensor, given: Tensor, made: Tensor) -> Tensors:
    """weight [out, in] and bias [out]; scales of what the layer is given [in] and makes [out] -> whole numbers."""
    weight, bias = weight.double() / given * made[:, None], bias.double() * made
    largest = MOST * weight.abs().sum(1) + bias.abs()
    bits = (SUMS / 2 / largest.clamp_min(1e-9)).log2().floor()
    bits = torch.minimum(bits, (WEIGHTS / weight.abs().amax(1).clamp_min(1e-9)).log2().floor()).clamp(-8, 24)
    whole = [(x * 2**shift).round().numpy() for x, shift in ((weight, bits[:, None]), (bias, bits))]
    return {
        f"{name}.weight": np.ascontiguousarray(whole[0].T.astype(np.int16)),
        f"{name}.bits": bits.numpy().astype(np.int8),
        f"{name}.bias": whole[1].astype(np.int32),
    }


def alone(codes: Sequence[tuple[Tensor, Tensor]], size: int) -> NDArray[np.uint16]:
    """Codes and which of them there are, of codebooks -> frequencies less 1 [codebooks, size]."""
    rows = []
    for own, there in codes:
        counts = np.bincount(own[there].numpy().astype(np.int64), minlength=size) + FEWEST
        rows.append(np.minimum(np.rint(counts * (MEAN * size / counts.sum())), ALONE).astype(np.uint16))
    return np.stack(rows)


# ---- files


def write(tensors: Mapping[str, NDArray[Any]], path: Path, bitstream: str, *, force: bool = False) -> str:
    """Write tables for a bitstream, which the cards beside them then name; gives their hash."""
    data = save({name: np.ascontiguousarray(x) for name, x in tensors.items()}, metadata={FOR: bitstream})
    with files.replacing(path, force=force) as file:
        file.write(data)
    name_in_cards(path)
    return hashlib.sha256(data).hexdigest()


def name_in_cards(path: Path) -> list[Path]:
    """Write the hash of tables into the cards beside them that are of their bitstream; gives these."""
    tables, named = read(path), []
    model_id = path.name.removesuffix(ENDING)
    for card in sorted(path.parent.glob(f"{model_id}-d*.json")):
        found = read_card(card)
        if (found.model_id, found.bitstream_sha256) == (model_id, tables.made_for):
            fields = json.loads(card.read_text(encoding="utf-8")) | {"tables_sha256": tables.sha256}
            with files.replacing(card, force=True) as file:
                file.write(card_bytes(fields))
            named.append(card)
    return named
