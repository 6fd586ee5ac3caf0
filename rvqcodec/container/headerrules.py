"""The rules of a header, each with the byte at which the field stands that breaks it."""

import re

from rvqcodec.container.header import CODINGS, MAX_CHANNELS, MAX_FRAMES_PER_CHUNK, MAX_N_Q, MAX_SAMPLES, Header
from rvqcodec.container.payloads import CODED, PAYLOADS
from rvqcodec.container.shapes import TABLES_HASH
from rvqcodec.container.tags import tag_problem
from rvqcodec.errors import FormatError
from rvqcodec.speakers import problem as speakers_problem

MAX_FIRST_FRAME = (1 << 32) - 1
MAX_BUDGET = (1 << 24) - 1

CODEC_AT, _N_SAMPLES_AT, LIMITS_AT, MODEL_ID_AT = 7, 27, 43, 47
_RULES: tuple[tuple[str, int, int, int], ...] = (
    # field, where it stands, least, most
    ("channels", 9, 1, MAX_CHANNELS),
    ("sample_rate", 10, 1000, 768000),
    ("model_rate", 14, 1000, 768000),
    ("hop", 18, 1, 65535),
    ("pre_skip", 20, 0, 65535),
    ("code_bits", 22, 1, 16),
    ("total_n_q", 23, 1, MAX_CHANNELS * MAX_N_Q),
    ("frames_per_chunk", 25, 1, MAX_FRAMES_PER_CHUNK),
)
_MODEL_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")


def check_header(header: Header) -> None:
    """Raises FormatError for the first rule that a header breaks, with the position where that field stands."""
    if header.codec not in PAYLOADS:
        raise FormatError(unknown_codec(header.codec), CODEC_AT)
    for name, position, least, most in _RULES:
        value = getattr(header, name)
        if not least <= value <= most:
            raise FormatError(f"header: {name} {value} is not in {least} to {most}", position)
    if header.coding not in CODINGS:
        raise FormatError(f"header: channel coding {header.coding!r} is none of {', '.join(CODINGS)}", 8)
    wanted = {"mono": (1, 1), "mid-side": (2, 2), "discrete": (2, MAX_CHANNELS)}[header.coding]
    if not wanted[0] <= header.channels <= wanted[1]:
        raise FormatError(f"header: {header.channels} channels do not go with {header.coding} coding", 9)
    for i, (first, most) in enumerate(header.limits[:2] if header.side else header.limits[:1]):
        if not (1 <= most <= MAX_N_Q and 0 <= first <= most):
            raise FormatError(
                f"header: {first} first codes of at most {most} are not 0 to {MAX_N_Q}, rising", LIMITS_AT + 2 * i
            )
    capacity = sum(most for _, most in header.limits)
    if header.total_n_q > capacity:
        raise FormatError(f"header: total_n_q {header.total_n_q} is over {capacity}, the most of all channels", 23)
    if header.n_samples is not None and not 0 <= header.n_samples <= MAX_SAMPLES:
        raise FormatError(f"header: n_samples {header.n_samples} is over {MAX_SAMPLES}", _N_SAMPLES_AT)
    if not 0 <= header.first_frame <= MAX_FIRST_FRAME:
        raise FormatError(f"header: first frame {header.first_frame} is over {MAX_FIRST_FRAME}")
    problem = None if header.speakers is None else speakers_problem(header.speakers, header.channels)
    if problem:
        raise FormatError(f"header: {problem}")
    if len(header.tables) != (TABLES_HASH if header.codec == CODED else 0):
        size = len(header.tables)
        raise FormatError(f"header: {size} bytes of the tables' hash do not go with codec {header.codec}", CODEC_AT)
    if not 0 <= header.budget <= (MAX_BUDGET if header.codec == CODED else 0):
        raise FormatError(f"header: a budget of {header.budget} bits per second does not go with codec {header.codec}")
    if len(header.weights_hash) != 8:
        raise FormatError(f"header: weights hash has {len(header.weights_hash)} bytes, not 8", 35)
    if not valid_model_id(header.model_id):
        raise FormatError(
            f"header: model id {header.model_id!a} is not 1 to 32 letters, digits, '.', '_' or '-'",
            MODEL_ID_AT,
        )
    for key, value in header.tags:
        problem = tag_problem(key, value)
        if problem:
            raise FormatError(f"header: {problem}")


def valid_model_id(text: str) -> bool:
    """Whether a header can carry a model id."""
    return _MODEL_ID.fullmatch(text) is not None


def unknown_codec(codec: int) -> str:
    """What is wrong with a codec that is none of `PAYLOADS`."""
    return f"header: codec {codec} is unknown; this program reads codec {', '.join(map(str, PAYLOADS))}"
