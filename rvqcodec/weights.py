"""Name or id of a model -> its verified `Codec`; weights are data: safetensors, hashed before they are used.

A model is two files: NAME.safetensors and NAME.json. Its `model_id` names the bitstream (encoder and codebooks), and
`bitstream_sha256` is the hash of just these tensors: a later decoder for the same files has the same model id and hash
and a higher `decoder_version`. Listing models imports no torch.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rvqcodec.config import Config, WeightsInfo
from rvqcodec.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from rvqcodec.model import Codec

HERE = Path(__file__).parent
FOLDERS = (HERE / "_weights", HERE.parent / "weights")  # installed from a wheel; a checkout
LARGEST = 256 << 20  # bytes of a weights file that we are willing to read
LARGEST_CARD = 1 << 20


def read_info(card: Path) -> WeightsInfo:
    """NAME.json -> what it says; WeightsError when it is no description of weights."""
    try:
        if card.stat().st_size > LARGEST_CARD:
            raise WeightsError(f"{card}: larger than {LARGEST_CARD} bytes; no description of weights")
        fields = json.loads(card.read_text(encoding="utf-8"))
        said = WeightsInfo(path=card.with_suffix(".safetensors"), **(fields | {"config": Config(**fields["config"])}))
        bytes.fromhex(said.sha256 + said.bitstream_sha256)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise WeightsError(f"{card}: cannot be read as a description of weights ({error}); reinstall rvq") from error
    return said


def available() -> list[WeightsInfo]:
    """The models that are installed: newest id first, and of one id the newest decoder first."""
    folder = next((f for f in FOLDERS if f.is_dir()), None)
    cards = sorted(folder.glob("*.json")) if folder else []
    return sorted((read_info(card) for card in cards), key=lambda i: (i.model_id, i.decoder_version), reverse=True)


def info(name: str | None = None, *, bitstream: bytes | None = None) -> WeightsInfo:
    """The newest model, or the newest decoder of model id `name`, or the description at a path ending in .json.

    bitstream: the eight hash bytes that a file names; a model with another hash cannot decode it.
    """
    if name is not None and name.endswith(".json"):
        candidates = [read_info(Path(name))]
    else:
        installed = available()
        candidates = [i for i in installed if name in (None, i.model_id)]
        if not candidates:
            known = ", ".join(sorted({i.model_id for i in installed})) or "none"
            wanted = f" (hash {bitstream.hex()})" if bitstream else ""
            raise WeightsError(
                f"model {name or 'of any kind'}{wanted}: no such weights are installed; installed: {known}"
            )
    if bitstream is not None:
        same = [i for i in candidates if i.weights_hash == bitstream]
        if not same:
            raise WeightsError(
                f"model {candidates[0].model_id}: the file was made with weights {bitstream.hex()}, installed are "
                f"{candidates[0].weights_hash.hex()}; install the rvq version that made it"
            )
        candidates = same
    return candidates[0]


def load(name: str | None = None, *, device: str = "cpu", bitstream: bytes | None = None) -> "Codec":
    """The verified codec of a model (see `info`), ready to run on `device`; sizes are checked against the config."""
    chosen = info(name, bitstream=bitstream)
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    from rvqcodec.model import Codec

    try:
        if chosen.path.stat().st_size > LARGEST:
            raise WeightsError(f"{chosen.path}: larger than {LARGEST} bytes; model {chosen.model_id} is not")
        data = chosen.path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"model {chosen.model_id}: {chosen.path} cannot be read ({error.strerror}); expected sha256 "
            f"{chosen.sha256}; reinstall rvq"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != chosen.sha256:
        raise WeightsError(
            f"model {chosen.model_id}: {chosen.path} has sha256 {found}, expected {chosen.sha256}; "
            "it was altered, reinstall rvq"
        )
    try:
        codec = Codec(chosen.config)
        tensors = parse(data)
        if bitstream_sha256(tensors) != chosen.bitstream_sha256:
            raise WeightsError(
                f"model {chosen.model_id}: its tensors do not hash to {chosen.bitstream_sha256}; reinstall rvq"
            )
        codec.load_state_dict({name: t.float() for name, t in tensors.items()})
    except (SafetensorError, RuntimeError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise WeightsError(
            f"model {chosen.model_id} (sha256 {chosen.sha256}): weights do not fit their config: {first}"
        ) from error
    codec.info = chosen
    return codec.to(device).eval().requires_grad_(False)


def bitstream_sha256(tensors: "Mapping[str, Tensor]") -> str:
    """The hash over encoder and codebooks: name, type, shape and bytes of every tensor, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if not name.startswith("decoder_"):
            tensor = tensors[name].contiguous()
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
