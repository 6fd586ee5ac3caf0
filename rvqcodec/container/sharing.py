"""How the channels of a chunk share its codebooks: a rule of the format, so that trimmed files equal encoded ones."""

from functools import lru_cache

from rvqcodec.container.header import MAX_N_Q

STEP = 5
"""Assumed drop of a channel's residual level per codebook, in tenths of a dB (`split`)."""

SIDE_SILENT = 127
MID_SILENT = -128


@lru_cache(maxsize=4096)
def split(total: int, balance: int) -> tuple[int, int]:
    """How many of `total` codebooks mid and side get in a chunk: (n_mid, n_side), each at most 32.

    `balance` is the level of mid minus the level of side in dB (-126..126); 127: side is silent and gets
    nothing, -128: mid is silent and gets nothing. Water-filling in integers: each next codebook goes to
    the channel of which more is left (mid when equal) and lowers it by STEP. Both results never fall when
    `total` grows, so a file that lost codebooks is the file that encoding at the lower bitrate gives.
    """
    if total < 0 or not MID_SILENT <= balance <= SIDE_SILENT:
        raise ValueError(f"split({total}, {balance})")
    if balance == SIDE_SILENT:
        return min(total, MAX_N_Q), 0
    if balance == MID_SILENT:
        return 0, min(total, MAX_N_Q)
    n_mid = n_side = 0
    for _ in range(min(total, 2 * MAX_N_Q)):
        mid_first = 10 * balance - STEP * n_mid >= -STEP * n_side
        if (mid_first and n_mid < MAX_N_Q) or n_side == MAX_N_Q:
            n_mid += 1
        else:
            n_side += 1
    return n_mid, n_side


def shares(coding: str, total: int, channels: int, balance: int) -> tuple[int, ...]:
    """Codebooks of each coded channel of a chunk; `coding` as in the container's header.

    Mid and side share by `split`, discrete channels equally, and a mono channel takes all, up to 32.
    """
    if coding == "mid-side":
        return split(total, balance)
    return (min(total // channels, MAX_N_Q),) * channels
