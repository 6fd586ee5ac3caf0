"""The network's parts: transform, bands, blocks, noise; whole and in windows; the classical start."""

import math

import numpy as np
import pytest
import tinycodec
import torch

from rvqcodec.models.rvq44.config import NEW, Config
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.network.envelope import by_frame, by_sub_frame
from rvqcodec.models.rvq44.network.layers import MDCT, Block, overlap_add
from rvqcodec.models.rvq44.tables import band_matrix, mel, mel_to_hz, position_noise

PAST, FUTURE = NEW.block_past, NEW.block_future


@pytest.mark.parametrize("size", [4, 64, 588])
def test_transform_reconstructs_perfectly(size: int) -> None:
    transform = MDCT(size)
    samples = torch.from_numpy(tinycodec.sound(size * 9))
    coefficients = transform(samples.unfold(-1, 2 * size, size))
    assert coefficients.shape == (1, 8, size)
    again, tail = overlap_add(transform.inverse(coefficients), torch.zeros(1, size))
    torch.testing.assert_close(again[:, size:], samples[:, size:-size], atol=1e-5, rtol=0)
    assert tail.shape == (1, size)


def test_transform_is_orthonormal() -> None:
    """Coefficients carry the samples' power, so amplitudes mean the same on both sides."""
    basis = MDCT(16).inverse(torch.eye(16))
    torch.testing.assert_close(basis @ basis.t(), torch.eye(16), atol=1e-5, rtol=0)


def test_transform_of_a_tone_peaks_at_its_bin() -> None:
    time = torch.arange(588 * 4) + 0.5
    tone = torch.sin(2 * math.pi * 40.5 / 2 / 588 * time)[None]
    assert int(MDCT(588)(tone.unfold(-1, 1176, 588))[0, 1].abs().argmax()) == 40


def test_overlap_add_in_parts_is_overlap_add() -> None:
    frames = torch.randn(2, 10, 16, generator=torch.Generator().manual_seed(0))
    whole, _ = overlap_add(frames, torch.zeros(2, 8))
    first, tail = overlap_add(frames[:, :3], torch.zeros(2, 8))
    second, _ = overlap_add(frames[:, 3:], tail)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=0, rtol=0)


@pytest.mark.parametrize(("size", "bands"), [(588, 24), (588, 8), (100, 5)])
def test_band_matrix_rows_sum_to_one(size: int, bands: int) -> None:
    matrix = band_matrix(size=size, bands=bands, sample_rate=44100, top=20000)
    assert matrix.shape == (size, bands)
    np.testing.assert_allclose(matrix.sum(1), np.ones(size), atol=1e-6)
    assert matrix.min() >= 0
    assert matrix.sum(0).min() > 0


def test_mel_and_back() -> None:
    for frequency in (0.0, 440.0, 20000.0):
        assert mel_to_hz(mel(frequency)) == pytest.approx(frequency, abs=1e-6)
    assert mel(1000) == pytest.approx(1000, rel=1e-4)  # by the scale's definition


def test_block_in_windows_equals_block_on_all() -> None:
    block = tinycodec.make().decoder_net[0]
    assert isinstance(block, Block)
    x = torch.randn(2, 37, 32, generator=torch.Generator().manual_seed(0))
    whole = block(x)
    past, parts, first = torch.zeros(2, PAST + FUTURE, 32), [], -FUTURE
    for part in [*x.split(5, 1), torch.zeros(2, FUTURE, 32)]:
        y, past = block.step(part, past, first)
        parts.append(y)
        first += part.shape[1]
    torch.testing.assert_close(torch.cat(parts, 1)[:, FUTURE:], whole, atol=1e-5, rtol=1e-5)
    assert not parts[0][:, :FUTURE].any()


def test_block_sees_its_context_and_no_more() -> None:
    block = tinycodec.make().decoder_net[0]
    x = torch.randn(1, 30, 32, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, 15] += 1
    changed = (block(x) != block(other)).any(-1)[0].nonzero().flatten()
    assert changed.tolist() == list(range(15 - FUTURE, 15 + PAST + 1))


def test_block_starts_as_the_identity() -> None:
    x = torch.randn(1, 9, 16)
    torch.testing.assert_close(Block(dim=16, expansion=3, past=PAST, future=FUTURE)(x), x, atol=0, rtol=0)


def hashed(index: int) -> int:
    """The noise's hash once more, in Python's integers: lowbias32, then the sum of the four bytes."""
    h = index & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    h ^= h >> 16
    return sum(h.to_bytes(4, "little"))


def test_the_noise_that_tables_begin_with_is_pinned() -> None:
    noise = position_noise(2, 588)
    sums = (noise * np.float32(math.sqrt(4 * (256**2 - 1) / 12)) + 510).astype(np.float64)
    assert np.abs(sums - sums.round()).max() < 1e-3
    assert sums.round().astype(int).ravel().tolist() == [hashed(i) for i in range(2 * 588)]


def test_noise_has_unit_variance_and_no_mean() -> None:
    noise = position_noise(500, 588).astype(np.float64)
    assert abs(float(noise.mean())) < 0.01
    assert float(noise.var()) == pytest.approx(1, abs=0.01)
    neighbours = (noise[:, 1:] * noise[:, :-1]).mean()
    assert abs(float(neighbours)) < 0.01


def test_noise_depends_on_position_and_channel_and_repeats() -> None:
    network = tinycodec.shared()
    period = network.config.carrier_length
    whole = network.noise(0, 3 * period)
    assert torch.equal(whole[:period], network.decoder_carrier)
    assert torch.equal(network.noise(13, 5), whole[13:18])
    assert torch.equal(network.noise(2 * period + 13, 5), whole[13:18])
    assert torch.equal(network.noise(-2, 4), whole[period - 2 : period + 2])
    assert torch.equal(network.noise(0, period, channel=1), whole[period // 2 : period // 2 + period])
    eight = [network.noise(0, 4, channel=i) for i in range(8)]
    assert not any(torch.equal(a, b) for i, a in enumerate(eight) for b in eight[:i])


def test_frames_and_sub_frames() -> None:
    x = torch.arange(24.0).view(1, 4, 6)
    assert by_frame(x, 2).shape == (1, 2, 12)
    torch.testing.assert_close(by_sub_frame(by_frame(x, 2), 2), x, atol=0, rtol=0)
    assert by_frame(x, 2)[0, 0].tolist() == list(range(12))


def test_config_says_what_the_format_needs() -> None:
    config = NEW
    assert (config.hop, config.pre_skip, config.code_bits, config.max_n_q) == (1176, 588, 10, 48)
    assert config.latent_dim == 280
    assert Config(**config.to_dict()) == config


def test_envelope_follows_the_level() -> None:
    """Ten times louder is ln(10) more, times the scale; silence is finite."""
    network = tinycodec.shared()
    frames = network.spans(torch.from_numpy(tinycodec.sound(588 * 5)))
    louder = network.envelope(frames * 10) - network.envelope(frames)
    expected = torch.full_like(louder, math.log(10) * network.config.envelope_scale)
    torch.testing.assert_close(louder, expected, atol=1e-2, rtol=0)
    assert torch.isfinite(network.envelope(torch.zeros_like(frames))).all()


def test_envelope_is_the_coefficients_amplitude() -> None:
    """For noise, the amplitude that the envelope stands for is the coefficients' root mean square."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(tinycodec.CONFIG)
        frames = network.spans(0.1 * torch.randn(1, 588 * 201))
    amplitude = network.amplitude(network.envelope(frames)).square().mean((0, 1)).sqrt()
    rms = network.transform(frames).square().mean((0, 1)).sqrt()
    assert float((amplitude / rms)[20:-60].log().abs().mean()) < 0.06


def test_untrained_network_is_a_classical_codec() -> None:
    """With the true latents instead of codes it gives back the coefficients that it carries."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(tinycodec.CONFIG).eval()
    x = torch.from_numpy(tinycodec.sound(588 * 42, seed=5))
    with torch.no_grad():
        envelope, coefficients = network.analyse(x)
        coefficients = coefficients[:, 1:]
        latent = network.unpack(network.waveform_latent(envelope, envelope, coefficients), envelope)
        out = network.synthesize(latent, envelope, torch.full((1, 20), 8), torch.zeros(1, 20, dtype=torch.int64))
        places = network.places(envelope)
    carried, made = coefficients.gather(-1, places), out.coefficients.gather(-1, places)
    assert float((made - carried).square().mean() / carried.square().mean()) < 0.01
    rest = torch.ones_like(out.coefficients).scatter(-1, places, 0) * out.coefficients
    assert float(rest.square().mean() / carried.square().mean()) < 0.01
    assert (out.noise_amplitude >= 0).all()


def test_packing_and_unpacking_keeps_what_is_coded() -> None:
    network = tinycodec.shared()
    config = network.config
    envelope = network.envelope(network.spans(torch.from_numpy(tinycodec.sound(588 * 9, channels=2))))
    latent = torch.randn(2, 8, config.bands + config.coefficients, generator=torch.Generator().manual_seed(0))
    packed = network.pack(latent, envelope)
    assert packed.shape == (2, 8, config.latent_dim)
    again = network.unpack(packed, envelope)
    kept = torch.zeros_like(latent[..., config.bands :]).scatter(-1, network.places(envelope), 1.0)
    assert (kept.sum(-1) == config.coded_coefficients).all()
    torch.testing.assert_close(again[..., config.bands :], latent[..., config.bands :] * kept)
    torch.testing.assert_close(again[..., : config.bands], latent[..., : config.bands], atol=0, rtol=0)


def test_decoder_knows_how_many_codebooks_there_were() -> None:
    network = tinycodec.shared()
    config = network.config
    latent, envelope = torch.zeros(1, 4, config.bands + config.coefficients), torch.zeros(1, 4, config.bands)
    latent[..., config.bands :] = 1.0  # what is not coded stays empty, whatever the network says
    onset = torch.zeros(1, 2, dtype=torch.int64)
    few, many = (network.synthesize(latent, envelope, torch.full((1, 2), n), onset) for n in (2, 8))
    assert (few.coefficients != many.coefficients).any()


@pytest.fixture(scope="module")
def plain() -> Network:
    """The network of the real size, whose tables `missing` works with; its weights do not matter."""
    return Network(NEW).requires_grad_(False)


@pytest.mark.parametrize("seed", range(4))
def test_missing_power_is_never_more_than_a_band_lacks(plain: Network, seed: int) -> None:
    """Neither in all nor in any band, whatever is coded; and nothing is negative."""
    random = torch.Generator().manual_seed(seed)
    smooth = torch.randn(2, 6, NEW.bands, generator=random) @ plain.band_weights.t()
    wanted = 10 ** (2 * smooth)
    power = wanted * 10 ** torch.randn(wanted.shape, generator=random)
    power[:, ::2] *= torch.rand(2, 3, NEW.sub_frame, generator=random) < 0.2  # few are coded
    missing = plain.missing(wanted, power)
    assert (missing >= 0).all()
    bands = plain.band_weights
    lacks = ((wanted - power) @ bands).clamp_min(0)
    assert (missing.sum(-1) <= lacks.sum(-1) * (1 + 1e-4)).all()
    least = (bands > 0).float()  # what lies in a band at all, and so in this one and its neighbours
    around = torch.nn.functional.pad(lacks, (1, 1)).unfold(-1, 3, 1).sum(-1)
    assert (missing @ least <= around * (1 + 1e-4) + 1e-9).all()


@pytest.mark.parametrize("frequency", [220, 440, 1000, 3000, 6000, 10_000, 13_000])
def test_hardly_anything_is_missing_around_a_coded_tone(plain: Network, frequency: int) -> None:
    """Its bands want its power spread out, but the tone has it all: so noise gets 5 % of it at most, not 60 %."""
    tone = 0.3 * torch.sin(2 * math.pi * frequency / 44100 * torch.arange(588 * 22))[None]
    envelope, coefficients = plain.analyse(tone)
    wanted = plain.amplitude(envelope).square()[:, 4:-4]
    power = torch.nn.functional.pad(coefficients[:, 5:-4], (0, NEW.sub_frame - NEW.coefficients)).square()
    assert plain.missing(wanted, torch.zeros_like(power)).sum() > 0.4 * power.sum()
    assert plain.missing(wanted, power).sum() < 0.05 * power.sum()


def test_noise_gets_all_its_power(plain: Network) -> None:
    """Where nothing is coded everything is missing; where half of the coefficients are, the other half is."""
    wanted = torch.full((1, 3, NEW.sub_frame), 0.01)
    torch.testing.assert_close(plain.missing(wanted, torch.zeros_like(wanted)), wanted, atol=0, rtol=1e-4)
    power = wanted.clone()
    power[..., 200:] = 0
    missing = plain.missing(wanted, power)
    assert missing[..., :190].max() < 1e-6
    torch.testing.assert_close(missing[..., 230:], wanted[..., 230:], atol=0, rtol=1e-2)
    assert missing.sum() == pytest.approx(float((wanted - power).sum()), rel=0.03)


def test_smoothed_power_keeps_the_sum(plain: Network) -> None:
    power = torch.zeros(1, 1, NEW.sub_frame)
    power[..., 300] = 5.0
    found = plain.missing.smoothed(power)
    assert float(found.sum()) == pytest.approx(5.0, rel=1e-5)
    places = found[0, 0].nonzero().flatten().tolist()
    assert places == list(range(295, 305)), "ten, of which the coefficient itself is the sixth"


def test_names_of_a_network_without_weights() -> None:
    facts = tinycodec.model().facts
    assert (facts.model_id, facts.weights_hash) == ("untrained", bytes(8))
