"""What a model and a recording say of each other in a file's header; no torch."""

from rvqcodec.codes import FRAMES_PER_CHUNK
from rvqcodec.config import Config
from rvqcodec.container import CODINGS, Header


def header_for(
    config: Config,
    model_id: str,
    weights_hash: bytes,
    *,
    sample_rate: int,
    channels: int,
    total_n_q: int | None = None,
    frames_per_chunk: int = FRAMES_PER_CHUNK,
    n_samples: int | None = None,
    tags: tuple[tuple[str, str], ...] = (),
) -> Header:
    """The header of codes of a model: one channel alone, two as mid and side, more each by itself.

    total_n_q: None for one codebook a channel, where the codes themselves will tell how many there are.
    """
    return Header(
        sample_rate=sample_rate,
        channels=channels,
        coding=CODINGS[min(channels, len(CODINGS)) - 1],
        model_id=model_id,
        weights_hash=weights_hash,
        model_rate=config.sample_rate,
        hop=config.hop,
        code_bits=config.code_bits,
        total_n_q=channels if total_n_q is None else total_n_q,
        frames_per_chunk=frames_per_chunk,
        pre_skip=config.pre_skip,
        n_samples=n_samples,
        tags=tags,
    )
