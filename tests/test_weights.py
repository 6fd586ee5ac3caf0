"""Weights: verified before use; whatever is wrong with them is a WeightsError that names model and hash."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinycodec
import torch
from safetensors.torch import save
from torch import Tensor

from rvqcodec.errors import WeightsError
from rvqcodec.models import cards, loading
from rvqcodec.models.interface import Model
from rvqcodec.models.rvq44.cpu.engine import NumpyEngine
from rvqcodec.models.rvq44.family import Rvq44
from rvqcodec.models.rvq44.network.engine import network_of
from rvqcodec.training.export import bitstream_of


def tensors_of(seed: int = 0) -> dict[str, Tensor]:
    return {name: t.half().contiguous() for name, t in tinycodec.make(seed).state_dict().items()}


def write(folder: Path, tensors: dict[str, Tensor], *, name: str = "tiny-1-d1", **changes: Any) -> Path:
    """NAME.safetensors and a NAME.json that fits it, but for `changes`."""
    folder.mkdir(exist_ok=True)
    data = save(tensors)
    (folder / f"{name}.safetensors").write_bytes(data)
    fields: dict[str, Any] = {
        "family": "rvq44",
        "model_id": "tiny-1",
        "decoder_version": 1,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bitstream_sha256": bitstream_of(tensors),
        "config": tinycodec.CONFIG.to_dict(),
        "licence": "CC0",
        "training": {"steps": 3},
    }
    card = folder / f"{name}.json"
    card.write_text(json.dumps(fields | changes))
    return card


def load(name: str | None = None, *, bitstream: bytes | None = None) -> Model:
    """The model of a card, read anew."""
    return loading.open_card(cards.find(name, bitstream=bitstream))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder where models are looked for."""
    monkeypatch.setattr(cards, "FOLDERS", (tmp_path / "nowhere", tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def test_load_gives_what_was_written(folder: Path) -> None:
    tensors = tensors_of()
    write(folder, tensors)
    model = load()
    assert isinstance(model, Rvq44)
    assert isinstance(model.engine, NumpyEngine)
    assert model.facts.model_id == "tiny-1"
    assert model.facts.weights_hash == bytes.fromhex(bitstream_of(tensors))[:8]
    assert model.engine.config == tinycodec.CONFIG
    network = network_of(tinycodec.CONFIG, {name: tensor.numpy() for name, tensor in tensors.items()})
    assert not network.training
    for name, value in network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, tensors[name].float())
    assert not any(p.requires_grad for p in network.parameters())


def test_bitstream_hash_leaves_the_decoder_out() -> None:
    tensors = tensors_of()
    before = bitstream_of(tensors)
    tensors["decoder_in.weight"] += 1
    assert bitstream_of(tensors) == before
    for name in ("envelope_mean", "waveform_quantizer.codebooks.3.entries"):
        changed = {k: v.clone() for k, v in tensors.items()}
        changed[name].view(-1)[0] += 1
        assert bitstream_of(changed) != before


def test_bitstream_hash_is_pinned() -> None:
    """Files name their model by it: the way it is computed must never change."""
    tensors = {"b": torch.arange(3, dtype=torch.float16), "a": torch.ones(2, 2), "decoder_in.x": torch.zeros(1)}
    expected = hashlib.sha256(
        b"a torch.float32 [2, 2]\n" + b"\x00\x00\x80?" * 4 + b"b torch.float16 [3]\n" + b"\x00\x00\x00<\x00@"
    ).hexdigest()
    assert bitstream_of(tensors) == expected


def test_newest_id_and_newest_decoder_come_first(folder: Path) -> None:
    tensors = tensors_of()
    write(folder, tensors)
    tensors["decoder_in.bias"] += 1
    write(folder, tensors, name="tiny-1-d2", decoder_version=2)
    write(folder, tensors_of(1), name="tiny-0-d9", model_id="tiny-0", decoder_version=9)
    assert [(i.model_id, i.decoder_version) for i in cards.available()] == [
        ("tiny-1", 2),
        ("tiny-1", 1),
        ("tiny-0", 9),
    ]
    assert cards.find().decoder_version == 2
    assert cards.find("tiny-0").decoder_version == 9
    assert cards.find(str(folder / "tiny-1-d1.json")).decoder_version == 1


def test_a_model_with_another_bitstream_is_refused(folder: Path) -> None:
    tensors = tensors_of()
    write(folder, tensors)
    right = bytes.fromhex(bitstream_of(tensors))[:8]
    assert load("tiny-1", bitstream=right).facts.weights_hash == right
    with pytest.raises(WeightsError, match="tiny-1.*0000000000000000.*" + right.hex()):
        load("tiny-1", bitstream=bytes(8))


def test_unknown_model(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"model big-7 \(hash 0102030405060708\).*installed: none"):
        load("big-7", bitstream=bytes(range(1, 9)))
    write(folder, tensors_of())
    with pytest.raises(WeightsError, match="installed: tiny-1"):
        load("big-7")
    with pytest.raises(WeightsError, match="cannot be read"):
        load(str(folder / "none.json"))


def test_altered_weights_are_refused(folder: Path) -> None:
    card = write(folder, tensors_of())
    path = card.with_suffix(".safetensors")
    data = bytearray(path.read_bytes())
    said = json.loads(card.read_text())["sha256"]
    for cut in (bytes(data[:-1]), b"", bytes(data) + b"x"):
        path.write_bytes(cut)
        with pytest.raises(WeightsError, match=f"model tiny-1.*{hashlib.sha256(cut).hexdigest()}.*{said}"):
            load()
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=f"tiny-1.*{said}"):
        load()


def test_missing_weights_are_named(folder: Path) -> None:
    card = write(folder, tensors_of())
    card.with_suffix(".safetensors").unlink()
    with pytest.raises(WeightsError, match=r"tiny-1.*tiny-1-d1\.safetensors cannot be read.*sha256 [0-9a-f]{64}"):
        load()


def without(name: str) -> dict[str, Tensor]:
    return {k: v for k, v in tensors_of().items() if k != name}


@pytest.mark.parametrize(
    "tensors",
    [
        without("decoder_in.weight"),
        tensors_of() | {"more": torch.zeros(2)},
        tensors_of() | {"decoder_in.weight": torch.zeros(3, 3)},
        {},
    ],
    ids=["missing", "too many", "wrong shape", "empty"],
)
def test_tensors_that_do_not_fit(folder: Path, tensors: dict[str, Tensor]) -> None:
    card = write(folder, tensors)
    said = json.loads(card.read_text())["sha256"]
    with pytest.raises(WeightsError, match=f"tiny-1.*{said}.*do not fit"):
        load()


def test_a_wrong_bitstream_hash_is_noticed(folder: Path) -> None:
    write(folder, tensors_of(), bitstream_sha256="00" * 32)
    with pytest.raises(WeightsError, match=r"tiny-1: its tensors do not hash to 0{64}"):
        load()


def test_no_safetensors_inside(folder: Path) -> None:
    junk = b"\xff" * 64
    card = write(folder, tensors_of(), sha256=hashlib.sha256(junk).hexdigest())
    card.with_suffix(".safetensors").write_bytes(junk)
    with pytest.raises(WeightsError, match="tiny-1"):
        load()


GOOD: dict[str, Any] = {
    "family": "rvq44",
    "model_id": "tiny-1",
    "decoder_version": 1,
    "sha256": "00" * 32,
    "bitstream_sha256": "00" * 32,
    "config": tinycodec.CONFIG.to_dict(),
    "licence": "CC0",
    "training": {},
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "\x00\xff",
        json.dumps({}),
        json.dumps(GOOD | {"sha256": "xyz"}),
        json.dumps(GOOD | {"sha256": 5}),
        json.dumps(GOOD | {"config": {"dim": 32, "evil": 1}}),
        json.dumps(GOOD | {"config": {k: v for k, v in GOOD["config"].items() if k != "level_floor"}}),
        json.dumps(GOOD | {"family": 3}),
        json.dumps({k: v for k, v in GOOD.items() if k != "family"}),
        json.dumps(GOOD | {"config": None}),
        json.dumps(GOOD | {"config": []}),
        json.dumps(GOOD | {"more": 1}),
        json.dumps({k: v for k, v in GOOD.items() if k != "licence"}),
        "[" * 100_000,
    ],
    ids=range(18),
)
def test_hostile_descriptions(folder: Path, text: str) -> None:
    card = folder / "tiny-1-d1.json"
    card.write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"tiny-1-d1\.json"):
        load(str(card))
    with pytest.raises(WeightsError):
        cards.available()


def test_an_unknown_family(folder: Path) -> None:
    card = write(folder, tensors_of(), family="none-such")
    with pytest.raises(WeightsError, match=r"family 'none-such' are unknown; known are rvq44"):
        cards.read_card(card)


def test_a_description_without_end_is_not_read(folder: Path) -> None:
    card = folder / "tiny-1-d1.json"
    with card.open("wb") as file:
        file.truncate(cards.LARGEST_CARD + 1)
    with pytest.raises(WeightsError, match="larger than"):
        cards.read_card(card)


def test_weights_without_end_are_not_read(folder: Path) -> None:
    card = write(folder, tensors_of())
    with card.with_suffix(".safetensors").open("wb") as file:
        file.truncate(loading.LARGEST + 1)
    with pytest.raises(WeightsError, match="tiny-1"):
        load()


@pytest.mark.parametrize("changes", [{"dim": 10**9}, {"dim": -1}, {"dim": "many"}, {"max_n_q": 2}])
def test_configs_that_cannot_be_built(folder: Path, changes: dict[str, Any]) -> None:
    """An absurd size must not take the machine's memory before it is noticed."""
    write(folder, tensors_of(), config=tinycodec.CONFIG.to_dict() | changes)
    with pytest.raises(WeightsError, match="tiny-1"):
        load()


def test_shipped_weights_load() -> None:
    """What a checkout carries is whole, and fits its description."""
    shipped = cards.available()
    if not shipped:
        pytest.skip("no weights in this checkout")
    model = load(shipped[0].model_id)
    assert isinstance(model, Rvq44)
    assert model.facts.code_bits == 10
    assert all(np.isfinite(t).all() for t in loading.verified_tensors(shipped[0]).values())
    assert sum(i.path.stat().st_size for i in shipped[:1]) <= 40_000_000


# ---- the shipped model

FROZEN = {
    "rvq44-5": (
        "5355ae6ac7daf77f",
        "e80a12eba77095e6",
    )
}  # since 0.2.0: of the bitstream, of the tables. Other ones are another model.


@pytest.mark.parametrize("model_id", FROZEN)
def test_codes_of_released_models_mean_what_they_meant(model_id: str) -> None:
    card = cards.find(model_id)
    tables = hashlib.sha256(card.path.with_name(f"{model_id}.tables.safetensors").read_bytes()).hexdigest()
    assert (card.bitstream_sha256[:16], tables[:16]) == FROZEN[model_id]
