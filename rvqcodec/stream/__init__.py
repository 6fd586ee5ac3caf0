"""StreamEncoder and StreamDecoder: push blocks of any length, flush; numpy in and out.

The network always works on windows of one fixed size at fixed positions, whatever the length of the blocks pushed:
so any cutting of the input gives the same bits (on CUDA, where windows are merged: but for rounding). Memory does not
grow with the length.
"""

from rvqcodec.stream.decoder import StreamDecoder
from rvqcodec.stream.encoder import WINDOW, StreamEncoder
from rvqcodec.stream.timing import frames_for, lookahead
from rvqcodec.stream.workers import GROUP

__all__ = ["GROUP", "WINDOW", "StreamDecoder", "StreamEncoder", "frames_for", "lookahead"]
