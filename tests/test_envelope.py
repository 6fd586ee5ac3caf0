"""What the envelope decides: which bands count more in the search, which coefficients are coded, in which order."""

import tinycodec
import torch

from rvqcodec.models.rvq44.config import NEW
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.network.envelope import (
    LESS_QUIET,
    LESS_SILENT,
    MOST_LOUD,
    MOST_PROMINENT,
    Emphasis,
    by_sub_frame,
    on_steps,
)


def test_what_is_loudest_is_coded_first() -> None:
    """Without a peak the lowest coefficients come first; the block of a loud tone comes before them."""
    codec = Network(NEW)
    step = codec.config.block_size
    flat = codec.places(torch.zeros(1, 2, codec.config.bands))
    assert flat.tolist() == [[list(range(codec.config.coded_coefficients))] * 2]
    for bin_ in (60, 240, 470):
        loud = torch.zeros(1, 2, codec.config.bands)
        loud[:, 1] += 15.0 * codec.band_weights[bin_]
        order = codec.places(loud)
        assert (order[0, 0] == order[0, 1]).all(), "the same for both sub-frames"
        peak = int((codec.band_weights[: codec.config.coefficients] @ codec.band_weights[bin_]).argmax())
        assert abs(int(order[0, 0, 0]) - peak) <= 2 * step


def test_order_is_the_same_for_envelopes_that_rounding_blurred() -> None:
    """Quantized envelopes are whole steps: what another machine's last bit does must not change the order."""
    codec = tinycodec.shared()
    random = torch.Generator().manual_seed(0)
    envelope = on_steps(torch.randn(4, 50, codec.config.bands, generator=random), codec.config.envelope_step)
    blurred = envelope * (1 + 3e-7 * torch.randn(envelope.shape, generator=random))
    assert (blurred != envelope).any()
    assert (codec.places(blurred) == codec.places(envelope)).all()


def test_envelope_entries_on_steps_add_up_exactly() -> None:
    sizes = torch.tensor([[4.0], [1.0], [0.3], [0.1]])
    entries = sizes * torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
    exact = on_steps(entries, NEW.envelope_step)
    assert (exact - entries).abs().max() < 0.004
    assert (exact.half().float() == exact).all()
    assert (exact.sum(0).double() == exact.double().sum(0)).all()


def weights(levels: torch.Tensor, mean: torch.Tensor | None = None) -> torch.Tensor:
    """Weights [bands] of a frame whose sub-frames have these levels [bands], dB. mean None: all powers are equal."""
    mean = (-levels if mean is None else mean) / 8.686
    latent = levels.repeat(2).view(1, 1, -1) * NEW.envelope_scale / 8.686
    found = by_sub_frame(Emphasis(NEW)(latent, mean), 2)
    assert torch.equal(found[:, 0], found[:, 1])
    return found[0, 0]


EQUAL = 1 + MOST_LOUD  # what bands of equal power are multiplied with


def test_bands_that_stand_out_count_more() -> None:
    slope = weights(torch.linspace(0, -10, NEW.bands))
    torch.testing.assert_close(slope, torch.full_like(slope, EQUAL))
    assert (weights(torch.linspace(0, -90, NEW.bands)) <= EQUAL).all(), "a steep spectrum has no prominent band"
    tone = torch.zeros(NEW.bands)
    tone[10] = 50.0
    assert float(weights(tone)[10]) == (1 + MOST_PROMINENT) * EQUAL
    tone[10] = 27.0  # 24 above its neighbours' mean, to which it belongs itself: halfway
    assert abs(float(weights(tone)[10]) - (1 + MOST_PROMINENT / 2) * EQUAL) < 1e-4


def test_quiet_bands_count_less() -> None:
    """10 dB below the loudest nothing changes, 50 dB below less, and 70 dB below even less."""
    levels = torch.zeros(NEW.bands)
    levels[6:14], levels[14:18], levels[18:] = -9.0, -50.0, -70.0
    expected = torch.full_like(levels, EQUAL)
    expected[14:] *= 1 - LESS_QUIET
    expected[18:] *= 1 - LESS_SILENT
    found = weights(levels)
    torch.testing.assert_close(found[[0, 8, 15, 16, 20, 23]], expected[[0, 8, 15, 16, 20, 23]])


def test_bands_of_most_power_count_more() -> None:
    """By powers: where the mean spectrum is loudest, of levels that are equal."""
    mean = torch.full((NEW.bands,), -10.0)
    mean[3], mean[4] = 0.0, -5.0
    found = weights(torch.zeros(NEW.bands), mean)
    expected = torch.ones(NEW.bands)
    expected[3], expected[4] = 1 + MOST_LOUD, 1 + MOST_LOUD / 2
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
