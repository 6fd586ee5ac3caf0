"""How many frames carry a recording, and how far the codec looks ahead."""

from typing import TYPE_CHECKING

from rvqcodec.config import SUB_FRAMES
from rvqcodec.layers import FUTURE

if TYPE_CHECKING:
    from rvqcodec.model import Codec


def frames_for(samples: int, *, hop: int, pre_skip: int) -> int:
    """How many frames carry this many samples per channel."""
    return -(-(samples + pre_skip) // hop) if samples else 0


def lookahead(codec: "Codec") -> int:
    """Algorithmic delay in samples: how far beyond a sample the input must be known before it can be put out.

    A decoder block sees one sub-frame ahead, an encoder or envelope block too; both latents are coded in frames of
    two sub-frames, and the transform's window overlaps the next sub-frame.
    """
    c = codec.config
    lags = [c.decoder_blocks * FUTURE, c.encoder_blocks * FUTURE, c.envelope_blocks * FUTURE]
    worst = 0
    for parity in range(SUB_FRAMES):
        sub = parity
        for lag in lags[:2]:  # the two places where a whole frame must be complete
            sub += lag
            sub += (SUB_FRAMES - 1 - sub) % SUB_FRAMES
        worst = max(worst, sub + lags[2] - parity)
    return (worst + 2) * c.sub_frame
