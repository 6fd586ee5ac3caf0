"""What the envelope decides: which bands count more in the search, which coefficients are coded, in which order."""

import tinycodec
import torch

from rvqcodec.models.rvq44.config import NEW
from rvqcodec.models.rvq44.envelope import MOST, Prominence, on_steps
from rvqcodec.models.rvq44.network import Network


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


def test_bands_that_stand_out_count_more() -> None:
    config = NEW
    weigh, decibel = Prominence(config), config.envelope_scale / 8.686
    slope = torch.linspace(0, 60, config.bands).repeat(2) * decibel
    assert (weigh(slope.view(1, 1, -1)) == 1).all(), "a steep spectrum has no prominent band"
    tone = slope.clone()
    tone[config.bands + 10] += 50 * decibel
    weights = weigh(tone.view(1, 1, -1))[0, 0]
    assert weights[config.bands + 10] == MOST
    assert (weights == 1).sum() == 2 * config.bands - 1
    between = slope.clone()
    between[5] += 27 * decibel  # 24 above its neighbours' mean, to which it belongs itself
    assert 1.5 < float(weigh(between.view(1, 1, -1))[0, 0, 5]) < MOST - 0.5
