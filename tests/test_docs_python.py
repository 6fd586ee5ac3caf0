"""The Python examples of README and docs run, in order, and give what the pages say."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from numpy.typing import NDArray

PYTHON = (ROOT / "docs" / "python.md").read_text()


@pytest.mark.parametrize(("page", "least"), [("README.md", 4), ("docs/python.md", 20)])
def test_examples(
    page: str, least: int, stereo: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile = pytest.importorskip("soundfile")
    assert stereo.shape == (2, 132300)
    soundfile.write(tmp_path / "song.wav", stereo.T, 44100)
    monkeypatch.chdir(tmp_path)
    source = "\n".join(re.findall(r"^```pycon\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL))
    examples = doctest.DocTestParser().get_doctest(source, {}, page, page, 0)
    assert len(examples.examples) > least
    failures: list[str] = []
    result = doctest.DocTestRunner().run(examples, out=failures.append)
    assert result.failed == 0, "".join(failures)
    assert page == "README.md" or (tmp_path / "python.rvq").stat().st_size > 2000


def test_every_public_name_is_shown_or_an_error() -> None:
    import rvqcodec

    for name in ("load", "open", "tokens", "ResidualQuantizer", "RvqError"):
        assert name in rvqcodec.__all__
        assert f"rvqcodec.{name}" in PYTHON
