"""The tables beside a model's weights: used where they have the sha256 that its card names, else refused."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from rvqcodec.container import Reader
from rvqcodec.models import cards, coding
from rvqcodec.training import tables

Invoke = Callable[..., Result]
WriteWav = Callable[..., Path]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the shipped model, where models are looked for."""
    folder, card = tmp_path / "weights", cards.find()
    folder.mkdir()
    (folder / card.path.name).symlink_to(card.path)
    for path in (card.path.with_suffix(".json"), tables_in(card.path.parent)):
        shutil.copy(path, folder)
    monkeypatch.setattr(cards, "FOLDERS", (folder,))
    coding.coder.cache_clear()
    yield folder
    coding.coder.cache_clear()


@pytest.fixture
def song(tmp_path: Path, stereo: NDArray[np.float32], write_wav: WriteWav) -> Path:
    return write_wav(tmp_path / "song.wav", stereo)


def tables_in(folder: Path) -> Path:
    return next(folder.glob(f"*{coding.ENDING}"))


def card_in(folder: Path) -> Path:
    return next(folder.glob("*.json"))


def renamed(card: Path, **changes: str | None) -> None:
    """Write some fields of a card, without those that become None."""
    fields = json.loads(card.read_text()) | changes
    card.write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))


def codec_of(path: Path) -> int:
    with path.open("rb") as file:
        return Reader(file).header.codec


def test_damaged_tables_are_refused(weights: Path, song: Path, tmp_path: Path, invoke: Invoke) -> None:
    coded, plain, out = tmp_path / "coded.rvq", tmp_path / "plain.rvq", tmp_path / "out"
    assert invoke("encode", song, "-o", coded).code == 0
    assert invoke("encode", song, "--plain", "-o", plain).code == 0
    before = [invoke("info", coded).out, invoke("models").out, invoke("models", "show", cards.find().model_id).out]
    path = tables_in(weights)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    coding._checked.cache_clear()
    coding.coder.cache_clear()
    for command in (("encode", song), ("decode", coded), ("trim", coded, "-b", "3k"), ("pack", plain)):
        result = invoke(*command, "-o", out)
        assert (result.code, result.err.count("\n")) == (1, 1), command
        assert re.search(rf"{re.escape(str(path))}: has sha256 [0-9a-f]+, expected [0-9a-f]+; .*reinstall", result.err)
        assert not out.exists()
    after = [invoke("info", coded).out, invoke("models").out, invoke("models", "show", cards.find().model_id).out]
    assert after == before
    assert invoke("verify", coded).code == 0
    assert invoke("decode", plain, "-o", tmp_path / "plain.wav").code == 0


def test_what_card_and_folder_must_have(weights: Path, song: Path, tmp_path: Path, invoke: Invoke) -> None:
    out, path, card = tmp_path / "out.rvq", tables_in(weights), card_in(weights)
    shipped, text = path.read_bytes(), card.read_text()

    def encoded() -> Result:
        coding._checked.cache_clear()
        return invoke("encode", song, "-f", "-o", out)

    path.unlink()
    assert "cannot be read as tables" in encoded().err, "the card names tables that are not there"
    renamed(card, tables_sha256=None)
    assert encoded().code == 0
    assert codec_of(out) == 0, "a model without tables"
    path.write_bytes(shipped)
    assert "names no tables_sha256; rvq train name-tables writes it" in encoded().err
    for end in (0, 8, 100, len(shipped) - 1):
        path.write_bytes(shipped[:end])
        assert re.search(r"cannot be read as tables \(.*\); reinstall rvq", encoded().err), end
    path.write_bytes(save(load_file(tables_in(Path(cards.PACKAGE.parent, "weights")))))
    assert "made for bitstream None, not" in encoded().err
    result = invoke("train", "name-tables", path)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "no card beside it" in result.err
    path.write_bytes(shipped)
    assert invoke("train", "name-tables", path).out == f"{card}\n"
    assert card.read_text() == text
    assert encoded().code == 0
    assert codec_of(out) == 1


def test_new_tables_are_named_by_the_cards_of_their_bitstream(weights: Path) -> None:
    path, card = tables_in(weights), card_in(weights)
    later, other = (card.with_name(f"{cards.read_card(card).model_id}-d{n}.json") for n in (98, 99))
    shutil.copy(card, later)
    renamed(later, tables_sha256=None)
    shutil.copy(card, other)
    renamed(other, bitstream_sha256="ab" * 32)
    tensors = load_file(path)
    tensors["onset"] = tensors["onset"] // 2
    digest = tables.write(tensors, path, cards.read_card(card).bitstream_sha256, force=True)
    assert [cards.read_card(c).tables_sha256 == digest for c in (card, later, other)] == [True, True, False]
    found = coding.tables_of(cards.read_card(later))
    assert found is not None
    assert found.hash == bytes.fromhex(digest)[:4]
