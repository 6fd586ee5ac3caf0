"""The `rvq` group and what verbs share: help, wrong commands, one-line errors, names of results."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from conftest import Result

from rvqcodec import __version__
from rvqcodec.cli import VERBS, streams
from rvqcodec.cli.errors import Batch, guarded, one_line
from rvqcodec.cli.names import Job, plan
from rvqcodec.errors import FormatError, RvqError

Invoke = Callable[..., Result]


def test_help_shows_every_verb(invoke: Invoke) -> None:
    result = invoke("--help")
    assert result.code == 0
    assert all(f"\n  {verb} " in result.out for verb in VERBS)
    assert invoke("-h").out == result.out
    assert invoke("--version").out == f"rvq, version {__version__}\n"


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_help(invoke: Invoke, verb: str) -> None:
    result = invoke(verb, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: main {verb} ")


def test_wrong_commands_get_a_hint(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("encod", "x.wav")
    assert (result.code, "did you mean `rvq encode`?" in result.err) == (2, True)
    (tmp_path / "a.rvq").write_bytes(b"")
    result = invoke(tmp_path / "a.rvq")
    assert (result.code, f"did you mean `rvq decode {tmp_path / 'a.rvq'}`?" in result.err) == (2, True)
    assert invoke("nonsense").code == 2


GPU_FULL = type("OutOfMemoryError", (RuntimeError,), {})  # torch's has this name and base


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RvqError("6000 is too much;\nuse less"), "6000 is too much; use less"),
        (FormatError("broken", 7), "broken (at byte 7)"),
        (FileNotFoundError(2, "No such file or directory", "a.wav"), "a.wav: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("odd"), "odd"),
        (MemoryError(), "not enough memory; close other programs, or give fewer --jobs"),
        (GPU_FULL(), "not enough memory on the GPU; give --device cpu, or fewer --jobs"),
    ],
)
def test_errors_are_one_line(error: Exception, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert one_line(error) == text

    @guarded
    def fails() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        fails()
    assert end.value.code == 1
    assert capsys.readouterr().err == f"rvq: {text}\n"


def test_our_own_mistakes_are_not_hidden() -> None:
    @guarded
    def fails() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        fails()


def test_control_characters_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    streams.say("a\x1b[31mred\nb\x9b.wav: ä is fine")
    assert capsys.readouterr().err == "rvq: a\\x1b[31mred\\nb\\x9b.wav: ä is fine\n"


def names(inputs: list[str], output: str | None, **options: bool) -> list[tuple[str, str]]:
    batch = Batch()
    jobs = plan(inputs, output, ending=".rvq", accepts={".wav"}, batch=batch, **options)
    return [(job.source, job.target) for job in jobs]


def test_names_of_results(tmp_path: Path) -> None:
    assert names(["a.wav"], None) == [("a.wav", "a.rvq")]
    assert names(["deep/a.WAV"], None) == [("deep/a.WAV", "deep/a.rvq")]
    assert names(["a.b"], None) == [("a.b", "a.b.rvq")]
    assert names(["noending"], None) == [("noending", "noending.rvq")]
    assert names(["-"], None) == [("-", "-")]
    assert names(["a.wav"], "-") == [("a.wav", "-")]
    assert names(["a.wav"], "x") == [("a.wav", "x")]
    assert names(["d/a.wav"], "new/") == [("d/a.wav", "new/a.rvq")]
    assert names(["d/a.wav"], str(tmp_path)) == [("d/a.wav", f"{tmp_path}/a.rvq")]
    assert names(["-"], f"{tmp_path}") == [("-", f"{tmp_path}/stdin.rvq")]
    assert names(["d/a.wav", "b.wav"], "new") == [("d/a.wav", "new/a.rvq"), ("b.wav", "new/b.rvq")]


def test_the_same_file_twice_is_done_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert names(["a.wav", "a.wav"], None) == [("a.wav", "a.rvq")]
    assert "already the result of a.wav" in capsys.readouterr().err


def test_command_lines_without_sense() -> None:
    for inputs, output in ((["a.wav", "b.wav"], "-"), (["-", "a.wav"], None), (["a.wav", "b.wav"], __file__)):
        with pytest.raises(click.UsageError):
            names(inputs, output)
    with pytest.raises(click.UsageError, match="is empty"):
        names(["a.wav"], "")


def test_a_batch_goes_on_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    batch = Batch()
    for name in ("a", "b", "c"):
        with batch.item(name):
            if name != "b":
                raise RvqError("is bad")
    assert batch.failed == 2
    with pytest.raises(SystemExit) as end:
        batch.finish()
    assert end.value.code == 1
    assert capsys.readouterr().err == "rvq: a: is bad\nrvq: c: is bad\n"


def test_jobs_are_values() -> None:
    assert Job("a", "b") == Job("a", "b")
