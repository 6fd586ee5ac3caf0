"""All channels of the audio to the one of `--mono`; where they are kept, stereo alone is changed (`turning`)."""

import numpy as np
from numpy.typing import NDArray

from rvqcodec import speakers
from rvqcodec.types import Samples

# ITU-R BS.775, table 2, to one channel: left and right 0.7071, the centre 1, a pair of surround channels 0.5 each, a
# single one 0.7071. Places that the table lacks are taken like those beside them, channels without one like left.
_MONO = {
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "BC", "TC", "TFC", "TBC"), 0.5**0.5),
    **dict.fromkeys(("BL", "BR", "SL", "SR", "TFL", "TFR", "TBL", "TBR"), 0.5),
    "FC": 1.0,
    "LFE": 0.0,
}
CANCELLED = 0.1  # of the power that unlike channels would leave: a mix with less is told
HEARD = 1e-7  # mean square of a mix that is worth telling


def mono_gains(layout: int, channels: int) -> NDArray[np.float32]:
    """What each channel of a layout adds to the mix, float32 [channels]; they sum to 1, so that nothing can clip."""
    bits = speakers.places(layout, channels)
    gains = np.array([0.5**0.5 if bit is None else _MONO[speakers.PLACES[bit]] for bit in bits])
    if not gains.any():
        gains[:] = 1
    shares: NDArray[np.float32] = (gains / gains.sum()).astype(np.float32)
    return shares


def mixed(samples: Samples, gains: NDArray[np.float32]) -> Samples:
    """float32 [C, n] to their sum [1, n]."""
    mix: Samples = (samples * gains[:, None]).sum(axis=0, keepdims=True, dtype=np.float32)
    return mix


class Mix:
    """Mixes a recording down to one channel, and notes for how many samples its channels cancel one another."""

    def __init__(self, layout: int, channels: int) -> None:
        self.cancelled = 0
        self._gains = mono_gains(layout, channels)

    def push(self, samples: Samples) -> Samples:
        """float32 [C, n] -> [1, n]; whether they cancel is seen block by block."""
        mix = mixed(samples, self._gains)
        if samples.size:
            unlike = float((self._gains**2 * np.square(samples, dtype=np.float64).mean(1)).sum())
            if unlike > HEARD and np.square(mix, dtype=np.float64).mean() < CANCELLED * unlike:
                self.cancelled += samples.shape[1]
        return mix
