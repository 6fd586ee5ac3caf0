"""Emphasis: what counts more in the search of an envelope's codes. `network.envelope` is the same in torch."""

import numpy as np

from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.scales import by_frame, by_sub_frame
from rvqcodec.models.rvq44.tables import Floats

NEIGHBOURS = 4  # bands on either side that a band is compared with
# Between which dB a band's weight in the search changes, and by how much at most.
PROMINENT, MOST_PROMINENT = (18.0, 30.0), 4.0  # above its neighbours
QUIET, LESS_QUIET = (10.0, 50.0), 0.75  # below the loudest band, levels against the corpus' mean spectrum
# The same, besides: nobody hears a band there, but many of them outvote loud ones.
SILENT, LESS_SILENT = (55.0, 70.0), 0.6
LOUD, MOST_LOUD = (0.0, 10.0), 2.0  # below the band of most power


class Emphasis:
    """Weights of the squared errors in an envelope's search: what is loud or stands out must have the right level.

    With equal weights a pure tone's band came out up to 16 dB wrong and loud noise with steep edges 3 to 11 dB too
    quiet, because the search favoured the many silent bands beside them.
    """

    def __init__(self, config: Config, mean: Floats) -> None:
        """mean [bands]: the envelope's."""
        self.bands, self.scale, self.sub_frames = config.bands, config.envelope_scale, config.frame_sub_frames
        self._mean = mean * np.float32(config.envelope_scale)

    def __call__(self, latent: Floats) -> Floats:
        """latent [T, sub_frames * bands] -> weights, of the latent's shape."""
        levels = by_sub_frame(latent, self.sub_frames)
        wide = np.pad(levels, ((0, 0), (NEIGHBOURS, NEIGHBOURS)), mode="edge")
        around = sum(wide[:, i : i + self.bands] for i in range(2 * NEIGHBOURS + 1)) / np.float32(2 * NEIGHBOURS + 1)
        decibels = np.float32(8.686 / self.scale)
        prominent = _ramp((levels - around) * decibels, PROMINENT)
        below = (levels.max(1, keepdims=True) - levels) * decibels
        heard = (1 - LESS_QUIET * _ramp(below, QUIET)) * (1 - LESS_SILENT * _ramp(below, SILENT))
        power = levels + self._mean
        loud = 1 - _ramp((power.max(1, keepdims=True) - power) * decibels, LOUD)
        weight = (1 + MOST_PROMINENT * prominent) * heard * (1 + MOST_LOUD * loud)
        return by_frame(weight, self.sub_frames)


def _ramp(x: Floats, bounds: tuple[float, float]) -> Floats:
    """0 up to the lower bound, 1 from the upper bound on."""
    low, high = bounds
    share: Floats = (x - np.float32(low)) / np.float32(high - low)
    return np.clip(share, 0, 1)
