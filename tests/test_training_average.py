"""`rvq train average`: a decoder that is the mean of several, with the codebooks of one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinycodec
import torch
from conftest import Result, names_in
from safetensors.torch import save_file

from rvqcodec.errors import WeightsError
from rvqcodec.models import cards, loading
from rvqcodec.training.average import average
from rvqcodec.training.data import Pool
from rvqcodec.training.export import export
from rvqcodec.training.options import Options
from rvqcodec.training.trainer import Trainer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's last.pt, of the network that all tests use."""
    folder = tmp_path_factory.mktemp("run")
    np.save(folder / "music.npy", (tinycodec.sound(44100, channels=2) * 32768).astype(np.int16))
    pool = Pool([folder / "music.npy"], 44100)
    options = Options(steps=4, batch=2, sub_frames=8, judge_channels=2)
    trainer = Trainer(config=tinycodec.CONFIG, options=options, pool=pool, out=folder)
    trainer.adopt(tinycodec.shared())
    trainer.save()
    return folder / "last.pt"


class TestAverage:
    @pytest.fixture
    def parts(self, checkpoint: Path, tmp_path: Path) -> tuple[Path, Path]:
        """The card of a decoder, and the checkpoint of another one for the same codes."""
        names: dict[str, Any] = {"model_id": "tiny-1", "licence": "CC0", "training": {}}
        card = export(checkpoint, tmp_path / "w", decoder_version=1, **names)
        run = tmp_path / "run"
        run.mkdir()
        state = torch.load(checkpoint, weights_only=True)
        for name, tensor in loading.verified_tensors(cards.read_card(card)).items():
            state["average"][name] = torch.from_numpy(tensor).float()
        state["average"]["decoder_in.bias"] += 1
        torch.save(state, run / "last.pt")
        return card, run

    def test_mean(self, parts: tuple[Path, Path], tmp_path: Path, invoke: Callable[..., Result]) -> None:
        card, run = parts
        alone = tmp_path / "decoder.safetensors"
        before = {n: torch.from_numpy(t) for n, t in loading.verified_tensors(cards.read_card(card)).items()}
        save_file({n: t + (0 if "carrier" in n else 2) for n, t in before.items() if n.startswith("decoder_")}, alone)
        result = invoke(
            *("train", "average", f"0.5={card}", f"0.25={run}", f"0.25={alone}", "--base", card),
            *("--decoder-version", "2", "--to", tmp_path / "w", "--note", "why=because"),
        )
        second = cards.read_card(Path(result.out.strip()))
        assert (second.model_id, second.decoder_version, second.licence) == ("tiny-1", 2, "CC0")
        assert second.bitstream_sha256 == cards.read_card(card).bitstream_sha256
        assert second.training == {"why": "because", "mean_of": {str(card): 0.5, str(run): 0.25, str(alone): 0.25}}
        after = loading.verified_tensors(second)
        for name, tensor in before.items():
            learned = name.startswith("decoder_") and "carrier" not in name
            more = learned * (0.75 if name == "decoder_in.bias" else 0.5)
            torch.testing.assert_close(
                torch.from_numpy(after[name]).float(), tensor.float() + more, atol=2e-3, rtol=1e-3
            )

    def test_a_run_whose_envelope_is_between_the_steps(
        self, checkpoint: Path, parts: tuple[Path, Path], tmp_path: Path
    ) -> None:
        """Its entries are put on steps when it is exported; it is the same bitstream before."""
        made = average(parts[0], [(1.0, checkpoint)], tmp_path / "w", decoder_version=2, training={})
        assert cards.read_card(made).bitstream_sha256 == cards.read_card(parts[0]).bitstream_sha256

    def test_noise_of_the_base_from_a_frequency_on(self, parts: tuple[Path, Path], tmp_path: Path) -> None:
        card, run = parts
        state = torch.load(run / "last.pt", weights_only=True)
        state["average"]["decoder_noise.bias"] += 1
        torch.save(state, run / "last.pt")
        made = average(card, [(1.0, run)], tmp_path / "w", decoder_version=2, training={}, noise_until=15_000)
        before, after = (loading.verified_tensors(cards.read_card(c))["decoder_noise.bias"] for c in (card, made))
        np.testing.assert_allclose(after - before, np.arange(588) < 400, atol=2e-3)
        assert cards.read_card(made).training["noise_until"] == 15_000

    def test_other_codebooks_have_no_part_in_it(self, parts: tuple[Path, Path], tmp_path: Path) -> None:
        card, run = parts
        state = torch.load(run / "last.pt", weights_only=True)
        state["average"]["envelope_mean"] += 1
        torch.save(state, run / "last.pt")
        with pytest.raises(WeightsError, match=r"run: its bitstream is .* it decodes other files"):
            average(card, [(1.0, run)], tmp_path / "w", decoder_version=2, training={})

    def test_another_noise(self, parts: tuple[Path, Path], tmp_path: Path) -> None:
        card, run = parts
        state = torch.load(run / "last.pt", weights_only=True)
        state["average"]["decoder_carrier"] *= -1
        torch.save(state, run / "last.pt")
        with pytest.raises(WeightsError, match=r"its decoder_carrier is not that of"):
            average(card, [(1.0, run)], tmp_path / "w", decoder_version=2, training={})
        assert len(names_in(tmp_path / "w")) == 2

    @pytest.mark.parametrize(
        ("shares", "text"),
        [
            (("0.5", "0.4"), "the shares sum to 0.9; they must sum to 1"),
            (("2", "-1"), "give SHARE=PATH, the share above 0"),
        ],
    )
    def test_shares(
        self,
        parts: tuple[Path, Path],
        tmp_path: Path,
        invoke: Callable[..., Result],
        shares: tuple[str, str],
        text: str,
    ) -> None:
        named = [f"{share}={path}" for share, path in zip(shares, parts, strict=True)]
        result = invoke(
            "train", "average", "--base", parts[0], "--decoder-version", "2", "--to", tmp_path / "w", "--", *named
        )
        assert result.code == 2
        assert text in result.err

    def test_what_is_no_decoder(self, parts: tuple[Path, Path], tmp_path: Path) -> None:
        (tmp_path / "a.safetensors").write_bytes(b"no tensors")
        with pytest.raises(WeightsError, match=r"a\.safetensors: cannot be read"):
            average(parts[0], [(1.0, tmp_path / "a.safetensors")], tmp_path / "w", decoder_version=2, training={})
