"""Disks that are full and folders that may not be written: one line, and nothing left behind."""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest

from rvqcodec.audio import open_input, open_output
from rvqcodec.errors import AudioError

NOISE = np.random.default_rng(0).uniform(-1, 1, (1, 50_000)).astype(np.float32)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 256 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    try:
        done = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("a small tmpfs cannot be mounted here (needs root)")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.raw"])
def test_disk_full_while_writing(small_disk, name):
    def fill():
        with open_output(small_disk / name, 44100, 1) as output:
            for _ in range(40):
                output.write(NOISE)

    with pytest.raises(AudioError, match=r"cannot write .*(No space left on device|is the disk full\?)"):
        fill()
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize("name", ["a.flac", "a.wav"])
def test_disk_full_only_while_closing(small_disk, name):
    output = open_output(small_disk / name, 44100, 1)
    output.write(NOISE[:, :3000])  # less than one FLAC block: libsndfile writes it while it closes
    with open(small_disk / "rest", "wb", buffering=0) as rest, contextlib.suppress(OSError):
        while rest.write(bytes(4096)):
            pass
    if name == "a.flac":
        with pytest.raises(AudioError, match=r"cannot write .*is the disk full\?"), output:
            pass
        assert os.listdir(small_disk) == ["rest"]
    else:  # only the head is left to be written, and it has its place already
        output.close()
        assert sorted(os.listdir(small_disk)) == ["a.wav", "rest"]


def test_full_device_as_stdout():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    child = (
        "import numpy, sys; from rvqcodec.audio import open_output; from rvqcodec.errors import AudioError\n"
        "try:\n"
        "    with open_output('-', 44100, 1) as output: output.write(numpy.zeros((1, 9), numpy.float32))\n"
        "except AudioError as error: sys.exit(str(error))"
    )
    with open("/dev/full", "wb") as full:
        result = subprocess.run([sys.executable, "-c", child], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (result.returncode, result.stderr) == (1, b"cannot write stdout: No space left on device\n")


def test_no_room_to_spool_stdin(small_disk, tmp_path_factory):
    source = tmp_path_factory.mktemp("in") / "a.flac"
    with open_output(source, 44100, 1) as output:
        for _ in range(6):
            output.write(NOISE)
    child = (
        "import sys; from rvqcodec.audio import open_input; from rvqcodec.errors import AudioError\n"
        "try: open_input('-')\n"
        "except AudioError as error: sys.exit(str(error))"
    )
    env = {**os.environ, "TMPDIR": str(small_disk)}
    result = subprocess.run(
        [sys.executable, "-c", child], input=source.read_bytes(), stderr=subprocess.PIPE, env=env, timeout=60
    )
    assert result.returncode == 1
    assert result.stderr.startswith(b"stdin: cannot be kept in ")
    assert b"No space left on device" in result.stderr
    assert result.stderr.count(b"\n") == 1
    assert os.listdir(small_disk) == []


def test_folder_and_file_without_permission(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "a.wav").chmod(0)
    with pytest.raises(AudioError, match="Permission denied"):
        open_input(tmp_path / "a.wav")
    tmp_path.chmod(0o500)
    try:
        for name in ("b.wav", "b.flac"):
            with pytest.raises(AudioError, match=r"cannot write .*: Permission denied"):
                open_output(tmp_path / name, 44100, 1)
    finally:
        tmp_path.chmod(0o700)


def test_folder_that_is_read_only_for_everyone():
    # /proc takes no new files, not even from root.
    if not os.path.isdir("/proc"):
        pytest.skip("no /proc here")
    for name in ("/proc/a.wav", "/proc/a.flac"):
        with pytest.raises(AudioError, match=f"cannot write {name}: "):
            open_output(name, 44100, 1)
