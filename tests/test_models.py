"""`rvq models`: a user's own models are added, shown and removed; what cannot be added is said in a line."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import toyfamily
from conftest import Result

import rvqcodec
from rvqcodec.models import cards, families, loading

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is not there yet."""
    monkeypatch.setenv("RVQ_MODELS", str(tmp_path / "own"))
    loading._load.cache_clear()
    return tmp_path / "own"


def test_where_the_users_models_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("RVQ_MODELS", "/own")
    assert cards.user_folder() == Path("/own")
    monkeypatch.delenv("RVQ_MODELS")
    assert cards.user_folder() == Path("/data/rvq/models")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert cards.user_folder() == Path.home() / ".local/share/rvq/models"


def test_a_users_model_stands_behind_those_of_the_package(
    own: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is called: adding one must not change what `rvq encode` does."""
    monkeypatch.setitem(families.FAMILIES, "toy", "toyfamily")
    shipped = cards.available()
    own.mkdir()
    toyfamily.install(own, "zzz-9")
    assert [card.model_id for card in cards.available()] == [*(card.model_id for card in shipped), "zzz-9"]
    assert cards.find("zzz-9").family == "toy"
    if shipped:
        assert cards.find().model_id == shipped[0].model_id
    assert "zzz-9" in invoke("models").out
    assert json.loads(invoke("models", "show", "zzz-9", "--json").out)["config"]["hop"] == toyfamily.HOP


def test_a_card_that_cannot_be_read_stops_no_other_model(own: Path, invoke: Invoke) -> None:
    own.mkdir()
    (own / "broken.json").write_text("{")
    result = invoke("models")
    assert result.code == 0
    assert "broken.json: cannot be read" in result.err
    assert "rvq models remove broken" in result.err
    assert "broken.json: cannot be read" in invoke("encode", "x.wav", "--model", "broken", "-b", "6").err
    assert invoke("models", "remove", "broken").code == 0
    assert not list(own.iterdir())


def test_a_model_that_is_not_there(invoke: Invoke) -> None:
    assert "others are added with rvq models add" in invoke("models", "show", "mimi").err
    result = invoke("models", "remove", "mimi")
    assert (result.code, "model mimi: was not added; added are none" in result.err) == (1, True)
    shipped = cards.available()
    if shipped:
        assert "is part of rvq and stays" in invoke("models", "remove", shipped[0].model_id).err
    assert invoke("models", "remove", "../own").code == 1


def test_download_says_what_is_missing(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke("models", "add", "soundstream", "--download")
    assert (result.code, "there are encodec-24khz, encodec-32khz" in result.err) == (1, True)
    assert "encodec-48khz: it codes channels together" in invoke("models", "add", "encodec-48khz", "--download").err
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra [families]")

    def unreachable(*_: object, **__: object) -> str:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(hub, "snapshot_download", unreachable)
    result = invoke("models", "add", "encodec-24khz", "--download")
    assert result.code == 1
    assert "huggingface.co/facebook/encodec_24khz cannot be fetched (no route)" in result.err
    assert "bring its config.json and model.safetensors in a folder" in result.err
    assert len(result.err.splitlines()) == 1


class TestFolders:
    """What `add` does with folders as Hugging Face lays them out."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> Path:
        pytest.importorskip("transformers", reason="needs the extra [families]")
        import checkpoints

        checkpoints.make("mimi", tmp_path / "given")
        return tmp_path / "given"

    def refused(self, invoke: Invoke, own: Path, *words: object) -> str:
        result = invoke("models", "add", *words)
        assert result.code == 1
        assert len(result.err.splitlines()) == 1
        assert not own.exists() or not list(own.iterdir())
        return result.err

    def test_linked_shown_and_removed(self, folder: Path, own: Path, invoke: Invoke) -> None:
        (folder / "README.md").write_text("---\nlibrary_name: x\nlicense: cc-by-4.0\ntags:\n- audio\n---\n# Mimi\n")
        result = invoke("models", "add", folder)
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith("mimi: 24,000 Hz, 12.5 frames/s, 32 codebooks of 11 bits, 0.138 to 4.4 kbps")
        assert "licence cc-by-4.0" in result.out
        assert sorted(path.name for path in own.iterdir()) == ["mimi.json", "mimi.safetensors"]
        assert (own / "mimi.safetensors").resolve() == (folder / "model.safetensors").resolve()
        shown = invoke("models", "show", "mimi").out
        for text in ("32 of 2,048 codes", "each channel by itself", "cc-by-4.0", str(folder), "transformers 5"):
            assert text in shown
        assert "mimi is there already; give another --id" in invoke("models", "add", folder).err
        assert invoke("models", "add", folder, "--id", "mine").code == 0
        assert invoke("models", "remove", "mimi").code == 0
        assert [card.model_id for card in cards.available() if card.path.parent == own] == ["mine"]
        assert (folder / "model.safetensors").exists()

    def test_copied(self, folder: Path, own: Path, invoke: Invoke) -> None:
        assert invoke("models", "add", folder, "--copy").code == 0
        (folder / "model.safetensors").unlink()
        assert not (own / "mimi.safetensors").is_symlink()
        assert rvqcodec.load("mimi").max_n_q == 32
        assert json.loads((own / "mimi.json").read_text())["licence"] == "not stated"

    def test_weights_that_changed_or_went_are_refused_by_name(self, folder: Path, own: Path, invoke: Invoke) -> None:
        assert invoke("models", "add", folder).code == 0
        weights = folder / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        with pytest.raises(rvqcodec.WeightsError, match=r"model mimi: .* it was altered, rvq models remove mimi, then"):
            rvqcodec.load("mimi")
        weights.unlink()
        with pytest.raises(rvqcodec.WeightsError, match=r"model mimi: .* cannot be read .*rvq models remove mimi"):
            rvqcodec.load("mimi")

    def test_the_config_is_part_of_the_hash(self, folder: Path, own: Path, invoke: Invoke) -> None:
        """The same weights decode differently under another config."""
        assert invoke("models", "add", folder).code == 0
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16", "note": 1}))
        assert invoke("models", "add", folder, "--id", "same").code == 0
        (folder / "config.json").write_text(json.dumps(config | {"sliding_window": 19}))
        assert invoke("models", "add", folder, "--id", "other").code == 0
        hashes = {name: cards.find(name).weights_hash for name in ("mimi", "same", "other")}
        assert hashes["mimi"] == hashes["same"] != hashes["other"]

    def test_no_folder_of_a_model(self, tmp_path: Path, own: Path, invoke: Invoke) -> None:
        assert "no such folder" in self.refused(invoke, own, tmp_path / "none")
        assert "no config.json in it" in self.refused(invoke, own, tmp_path)
        cache = tmp_path / "models--kyutai--mimi" / "snapshots" / "0123abcd"
        cache.mkdir(parents=True)
        (cache / "config.json").write_text("{}")
        assert f"its model lies deeper; give {cache}" in self.refused(invoke, own, cache.parents[1])

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"model_type": "bert"}, "its model type is 'bert'; rvq takes folders of encodec, dac, mimi"),
            ({"model_type": None}, "its model type is None"),
            ({"num_filters": 5}, "model.safetensors does not fit config.json: tensor"),
            ({"num_hidden_layers": 3}, "is missing; get both of the same revision again"),
            ({"num_quantizers": 7}, "tensors too many; get both of the same revision again"),
            ({"num_filters": "many"}, "config.json is no model that rvq can use"),
            ({"audio_channels": 2}, "audio_channels is 2, and only 1 is supported"),
            ({"num_semantic_quantizers": 2}, "num_semantic_quantizers is 2"),
            ({"codebook_size": 1000}, "config.json is no model that rvq can use"),
            ({"num_quantizers": 65}, "65 codebooks: must be 1 to 64"),
            ({"sampling_rate": 10**7}, "1000 to 768000 Hz"),
        ],
        ids=range(11),
    )
    def test_configs(self, folder: Path, own: Path, invoke: Invoke, changes: dict[str, object], reason: str) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))
        assert reason in self.refused(invoke, own, folder)

    @pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"model_type": []}'], ids=range(5))
    def test_hostile_configs(self, folder: Path, own: Path, invoke: Invoke, text: str) -> None:
        (folder / "config.json").write_text(text)
        assert str(folder) in self.refused(invoke, own, folder)

    def test_weights(self, folder: Path, own: Path, invoke: Invoke) -> None:
        weights = folder / "model.safetensors"
        data = weights.read_bytes()
        weights.write_bytes(data[: len(data) // 2])
        assert "model.safetensors cannot be read" in self.refused(invoke, own, folder)
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
        assert "git lfs pull" in self.refused(invoke, own, folder)
        weights.unlink()
        assert "no model.safetensors in it" in self.refused(invoke, own, folder)
        (folder / "pytorch_model.bin").write_bytes(data)
        assert "pickled weights only, which rvq does not open" in self.refused(invoke, own, folder)
        (folder / "model.safetensors.index.json").write_text("{}")
        assert "in several files" in self.refused(invoke, own, folder)

    def test_ids(self, folder: Path, own: Path, invoke: Invoke) -> None:
        assert "must be 1 to 32 letters" in self.refused(invoke, own, folder, "--id", "a/b")
        assert "must be 1 to 32 letters" in self.refused(invoke, own, folder, "--id", "x" * 33)
        shipped = cards.available()
        if shipped:
            assert "is part of rvq; give another --id" in self.refused(invoke, own, folder, "--id", shipped[0].model_id)

    def test_encodec_as_it_was_published(self, tmp_path: Path, own: Path, invoke: Invoke) -> None:
        """Names of tensors and fields of the config as old versions of transformers wrote them."""
        import checkpoints
        import numpy as np
        from safetensors.numpy import load_file, save_file

        folder = tmp_path / "published"
        checkpoints.make("encodec-24khz", folder)
        assert invoke("models", "add", folder, "--id", "new", "--copy").code == 0
        tensors = load_file(folder / "model.safetensors")
        for name in [name for name in tensors if "parametrizations" in name]:
            old = name.replace("parametrizations.weight.original0", "weight_g")
            tensors[old.replace("parametrizations.weight.original1", "weight_v")] = tensors.pop(name)
        assert any(name.endswith(".weight_g") for name in tensors)
        save_file(tensors, folder / "model.safetensors")
        config = json.loads((folder / "config.json").read_text())
        config |= {"overlap": 0.01, "torch_dtype": "float32", "transformers_version": "4.31.0"}
        (folder / "config.json").write_text(json.dumps(config))
        assert invoke("models", "add", folder, "--id", "old").code == 0
        assert cards.find("old").config == cards.find("new").config
        samples = checkpoints.noise(24_000)
        codes = [rvqcodec.load(name).encode(samples, 24_000, n_q=8).codes for name in ("new", "old")]
        np.testing.assert_array_equal(*codes)

    def test_the_config_of_mimi_as_it_was_published(self, folder: Path, own: Path, invoke: Invoke) -> None:
        assert invoke("models", "add", folder, "--id", "new").code == 0
        config = json.loads((folder / "config.json").read_text())
        del config["rope_parameters"]
        config |= {"rope_theta": 10000.0, "frame_rate": 12.5, "normalize": False}
        (folder / "config.json").write_text(json.dumps(config))
        assert invoke("models", "add", folder, "--id", "old").code == 0
        assert cards.find("old").weights_hash == cards.find("new").weights_hash
        assert cards.find("old").weights_hash.hex() in invoke("models", "show", "new").out

    def test_encodec_48_is_refused_by_name(self, tmp_path: Path, own: Path, invoke: Invoke) -> None:
        import checkpoints

        checkpoints.make("encodec-48khz", tmp_path / "joint")
        said = self.refused(invoke, own, tmp_path / "joint")
        assert "it codes channels together, in overlapping windows with a scale each (as EnCodec 48 kHz does)" in said
        assert "take EnCodec 24 or 32 kHz" in said

    def test_other_versions_of_transformers(
        self, folder: Path, own: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import transformers

        monkeypatch.setattr(transformers, "__version__", "5.20.1")
        said = self.refused(invoke, own, folder)
        assert "transformers 5.20.1: must be 5.24 or later, below 6; pip install 'rvqcodec[families]'" in said

    @pytest.mark.skipif(os.name != "posix", reason="permissions")
    def test_a_folder_that_cannot_be_written(self, folder: Path, tmp_path: Path, invoke: Invoke) -> None:
        (tmp_path / "own").write_text("a file")
        result = invoke("models", "add", folder)
        assert (result.code, len(result.err.splitlines())) == (1, 1)


def test_without_transformers(tmp_path: Path, own: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "config.json").write_text('{"model_type": "dac"}')
    (tmp_path / "given" / "model.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "transformers", None)
    said = invoke("models", "add", tmp_path / "given").err
    assert "need transformers and torch: pip install 'rvqcodec[families]'" in said
