"""How far the codec looks ahead and back, from its config alone."""

from rvqcodec.models.rvq44.config import Config

MEMORY = 48  # frames whose codes of a pair's parameters count; the oldest 1.3e-6
WAIT = 1  # frames that a pair's decoded sub-frames wait for the one after them


def context(config: Config, *, paired: bool = False) -> int:
    """Frames before a position that the sound at this position depends on; the first of them only for its level."""
    blocks = -(-(config.decoder_blocks * config.block_past + 1) // config.frame_sub_frames)
    return max(blocks, MEMORY if paired else 0) + 1


def lookahead(config: Config, *, paired: bool = False) -> int:
    """Algorithmic delay in samples: how far beyond a sample the input must be known before it can be put out.

    A decoder block sees some sub-frames ahead, a frame is coded when all of its sub-frames are there, and the
    transform's window overlaps the next sub-frame; a pair waits for one frame more.
    """
    ahead, size = config.decoder_blocks * config.block_future, config.frame_sub_frames
    worst = max(-(-(place + ahead + 1) // size) * size - 1 - place for place in range(size))
    return (worst + 2) * config.sub_frame + (WAIT * config.hop if paired else 0)
