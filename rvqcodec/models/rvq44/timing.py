"""How far the codec looks ahead and back, from its config alone."""

from rvqcodec.models.rvq44.config import Config


def context(config: Config) -> int:
    """Frames before a position that the sound at this position depends on."""
    return -(-(config.decoder_blocks * config.block_past + 1) // config.frame_sub_frames)


def lookahead(config: Config) -> int:
    """Algorithmic delay in samples: how far beyond a sample the input must be known before it can be put out.

    A decoder block sees some sub-frames ahead, a frame is coded when all of its sub-frames are there, and the
    transform's window overlaps the next sub-frame.
    """
    ahead, size = config.decoder_blocks * config.block_future, config.frame_sub_frames
    worst = max(-(-(place + ahead + 1) // size) * size - 1 - place for place in range(size))
    return (worst + 2) * config.sub_frame
