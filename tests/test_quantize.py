"""Codebooks: nearest entries, moving averages, restarts, straight-through gradients, codes and back."""

import pytest
import torch
from torch import Tensor

from rvqcodec.models.rvq44.network.quantize import Codebook, LatentQuantizer
from rvqcodec.models.rvq44.network.search import cheapest


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def quantizer() -> LatentQuantizer:
    """Five codebooks of 16 entries in 4 of 12 dimensions, all weights random."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = LatentQuantizer(latent=12, size=16, dims=[4] * 5)
        with torch.no_grad():
            for codebook in made.stages:
                codebook.project_out.weight.copy_(torch.linalg.pinv(codebook.project_in.weight))
                codebook.entries.normal_(0, 0.5)
                codebook.total.copy_(codebook.entries)
    return made.requires_grad_(False)


def test_nearest_is_nearest() -> None:
    codebook = Codebook(latent=4, size=16, dim=4)
    x = vectors(100, 4)
    expected = torch.cdist(x.double(), codebook.entries.double()).argmin(1)
    assert torch.equal(codebook.nearest(x), expected)
    assert torch.equal(codebook.nearest(codebook.entries), torch.arange(16))


def test_entries_follow_the_encodings_that_chose_them() -> None:
    codebook = Codebook(latent=4, size=16, dim=4)
    codebook.total.copy_(codebook.entries)
    target = torch.full((32, 4), 3.0)
    index = torch.full((32,), 5)
    for _ in range(200):
        codebook.follow(target, index, 0.9)
    torch.testing.assert_close(codebook.entries[5], torch.full((4,), 3.0), atol=1e-3, rtol=0)
    others = [i for i in range(16) if i != 5]
    torch.testing.assert_close(codebook.usage[5], torch.tensor(32.0), atol=1e-2, rtol=0)
    assert float(codebook.usage[others].max()) < 1e-6
    codebook = Codebook(latent=4, size=16, dim=4)
    codebook.total.copy_(codebook.entries)
    before = codebook.entries.clone()
    codebook.follow(target, index, 0.99)  # after one step entries that nobody chose stand where they stood
    torch.testing.assert_close(codebook.entries[others], before[others], atol=1e-6, rtol=1e-5)
    assert (codebook.entries[5] - before[5]).abs().max() > 0.5


def test_unused_entries_are_restarted_on_encodings() -> None:
    codebook = Codebook(latent=4, size=16, dim=4)
    codebook.usage[3:6] = 1e-4
    before = codebook.entries.clone()
    x = vectors(50, 4)
    assert codebook.revive(x, 0.01) == 3
    for i in (3, 4, 5):
        assert (x == codebook.entries[i]).all(1).any()
        torch.testing.assert_close(codebook.total[i] / codebook.usage[i], codebook.entries[i])
    kept = [i for i in range(16) if i not in (3, 4, 5)]
    assert torch.equal(codebook.entries[kept], before[kept])
    assert codebook.revive(x, 0.01) == 0


def test_gradient_reaches_the_encoder_straight_through(quantizer: LatentQuantizer) -> None:
    """With all projections invertible the gradient of the sum of stages is that of a linear map."""
    latent = vectors(2, 6, 12).requires_grad_()
    out = quantizer.eval()(latent, torch.tensor([5, 5]), 0.99)
    out.latent.sum().backward()
    assert latent.grad is not None
    residual, through = torch.eye(12), torch.zeros(12, 12)
    for codebook in quantizer.stages:
        stage = codebook.project_out.weight.detach() @ codebook.project_in.weight.detach()
        through = through + stage @ residual
        residual = residual - stage @ residual
    torch.testing.assert_close(latent.grad, torch.ones(2, 6, 12) @ through, atol=1e-5, rtol=1e-4)


def test_commitment_pulls_encodings_to_their_entries(quantizer: LatentQuantizer) -> None:
    latent = vectors(2, 6, 12).requires_grad_()
    before = quantizer.eval()(latent, torch.tensor([5, 5]), 0.99).commitment
    (gradient,) = torch.autograd.grad(before, latent)
    after = quantizer(latent.detach() - 0.1 * gradient, torch.tensor([5, 5]), 0.99).commitment
    assert after.item() < before.item()


def test_commitment_counts_codebooks_in_use_only(quantizer: LatentQuantizer) -> None:
    latent = vectors(2, 6, 12)
    values = [float(quantizer.eval()(latent, torch.tensor([n, n]), 0.99).commitment) for n in range(6)]
    assert values[0] == 0
    assert values == sorted(values)
    mixed = float(quantizer(latent, torch.tensor([0, 5]), 0.99).commitment)
    one = float(quantizer(latent[1:], torch.tensor([5]), 0.99).commitment)
    assert mixed == pytest.approx(one / 2, rel=1e-5)


def test_codes_are_the_same_in_training_and_encoding(quantizer: LatentQuantizer) -> None:
    latent = vectors(2, 30, 12)
    trained = quantizer.eval()(latent, torch.tensor([5, 3]), 0.99)
    codes = quantizer.encode(latent, 5)
    assert torch.equal(codes, trained.codes)
    assert codes.dtype == torch.int64
    n_q = torch.tensor([5, 3])[:, None].expand(2, 30)
    torch.testing.assert_close(quantizer.decode(codes, n_q), trained.latent, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(quantizer.decode(codes, torch.full((2, 30), 5)), trained.full, atol=1e-5, rtol=1e-5)


def orthonormal(width: int, ahead: int) -> LatentQuantizer:
    """Five codebooks in 6 or 4 of 12 dimensions; a projection out is the transpose of the projection in."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = LatentQuantizer(latent=12, size=16, dims=[6, 6, 4, 4, 4], width=width, ahead=ahead)
        with torch.no_grad():
            for k, codebook in enumerate(made.stages):
                basis = torch.linalg.qr(torch.randn(12, 12))[0][:, : codebook.entries.shape[1]]
                codebook.project_in.weight.copy_(basis.t())
                codebook.project_out.weight.copy_(basis)
                codebook.entries.normal_(0, 0.7**k)
    return made.requires_grad_(False)


def error(quantizer: LatentQuantizer, latent: Tensor, n_q: int) -> float:
    codes = quantizer.encode(latent, n_q)
    decoded = quantizer.decode(codes, torch.full(latent.shape[:2], n_q))
    return float((decoded - latent).square().sum(2).mean())


@pytest.mark.parametrize(("width", "ahead"), [(1, 0), (2, 1), (4, 2), (4, 5), (3, 0)])
def test_fewer_codebooks_give_the_first_codes(width: int, ahead: int) -> None:
    quantizer, latent = orthonormal(width, ahead), vectors(2, 30, 12)
    all_of_them = quantizer.encode(latent, 5)
    assert all_of_them.dtype == torch.int64
    for n_q in range(6):
        few = quantizer.encode(latent, n_q)
        assert few.shape == (2, n_q, 30)
        assert torch.equal(few, all_of_them[:, :n_q])


def test_a_wider_search_comes_closer() -> None:
    latent = vectors(4, 200, 12)
    errors = [error(orthonormal(width, ahead), latent, 5) for width, ahead in ((1, 0), (4, 1), (4, 5), (32, 5))]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.9 * errors[0]


def test_a_search_that_drops_nothing_finds_the_best() -> None:
    """Two codebooks of 16: 16 chains follow every first entry; all 256 pairs tell the best."""
    latent = vectors(1, 50, 12)
    made = orthonormal(16, 5)
    both = [stage.lookup(torch.arange(16)) for stage in made.stages[:2]]
    pairs = (both[0][:, None] + both[1][None]).flatten(0, 1)
    best = torch.cdist(latent[0], pairs).min(1).values.square()
    made.codebooks = made.codebooks[:2]
    codes = made.encode(latent, 2)
    found = (made.decode(codes, torch.full((1, 50), 2)) - latent).square().sum(2)[0]
    torch.testing.assert_close(found, best, atol=1e-4, rtol=1e-4)


def test_weights_say_which_errors_count() -> None:
    """As above, with weights of each frame's own, for two codebooks that see the latent as it is."""
    latent = vectors(2, 25, 12)
    weight = torch.rand(latent.shape, generator=torch.Generator().manual_seed(3)) * 9
    made = LatentQuantizer(latent=12, size=16, dims=[12, 12], width=16, ahead=2, weigh=lambda x: weight)
    for stage in made.stages:
        torch.nn.init.eye_(stage.project_in.weight)
        torch.nn.init.eye_(stage.project_out.weight)
        stage.entries.normal_(0, 1, generator=torch.Generator().manual_seed(4))
    made.requires_grad_(False)
    pairs = (made.stages[0].entries[:, None] + made.stages[1].entries[None]).flatten(0, 1)
    best = ((latent[:, :, None] - pairs).square() * weight[:, :, None]).sum(3).min(2).values
    for parts in (1, 2):
        codes = made.search().encode(latent, 2, parts)
        found = ((made.decode(codes, torch.full((2, 25), 2)) - latent).square() * weight).sum(2)
        torch.testing.assert_close(found, best, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize(("width", "ahead"), [(1, 0), (2, 1), (4, 3), (4, 5), (3, 0)])
@pytest.mark.parametrize("wanted", [(5, 3, 3, 0), (5, 5, 5, 5), (4, 2, 1, 1), (1, 0, 0, 0), (0, 0, 0, 0)])
def test_numbers_of_parts_change_nothing_but_the_numbers(
    wanted: tuple[int, ...], width: int, ahead: int, weighed: bool
) -> None:
    """Each part has, bit for bit, the codes that a search of its own finds, and zeros beyond its number."""
    quantizer, latent = orthonormal(width, ahead), vectors(4, 30, 12)
    if weighed:  # weights belong to codebooks that see the latent as it is
        quantizer = LatentQuantizer(latent=12, size=16, dims=[12] * 5, width=width, ahead=ahead, weigh=torch.abs)
        quantizer.requires_grad_(False)
        for k, stage in enumerate(quantizer.stages):
            torch.nn.init.eye_(stage.project_in.weight)
            torch.nn.init.eye_(stage.project_out.weight)
            stage.entries.copy_(vectors(16, 12, seed=k) * 0.7**k)
    search = quantizer.search()
    found = search.encode(latent, wanted, 4)
    assert found.shape == (4, max(wanted), 30)
    for i, n_q in enumerate(wanted):
        assert torch.equal(found[i : i + 1, :n_q], search.encode(latent[i : i + 1], n_q))
        assert torch.equal(found[i, :n_q], search.encode(latent, 5, 4)[i, :n_q]), "the first codes of all of them"
        assert not found[i, n_q:].any()


@pytest.mark.parametrize("wanted", [(3, 4), (3,), (3, 3, 3)])
def test_numbers_of_parts_fall(wanted: tuple[int, ...]) -> None:
    with pytest.raises(AssertionError):
        orthonormal(2, 1).search().encode(vectors(2, 5, 12), wanted, 2)


@pytest.mark.parametrize("size", [2, 16, 63, 64, 96, 1024])
@pytest.mark.parametrize("chains", [1, 4])
def test_the_cheapest_of_all_chains(size: int, chains: int) -> None:
    distance, cost = vectors(200, chains, size), vectors(200, chains)
    found, chain, entry = cheapest(distance, cost, 5)
    total = (distance + cost[..., None]).flatten(1)
    torch.testing.assert_close(found, total.sort(1).values[:, :5])
    torch.testing.assert_close(total.gather(1, chain * size + entry), found)


def test_a_chain_of_infinite_cost_is_dropped() -> None:
    distance, cost = vectors(10, 3, 64), torch.tensor([0.0, torch.inf, 0.0]).repeat(10, 1)
    chain = cheapest(distance, cost, 20)[1]
    assert set(chain.flatten().tolist()) == {0, 2}


def test_what_a_file_keeps_is_decoded_codes(quantizer: LatentQuantizer) -> None:
    latent = vectors(2, 30, 12)
    kept = quantizer.quantize(latent, torch.tensor([5, 3]))
    assert torch.equal(kept.codes, quantizer.encode(latent, 5))
    n_q = torch.tensor([5, 3])[:, None].expand(2, 30)
    assert torch.equal(kept.latent, quantizer.decode(kept.codes, n_q))
    assert torch.equal(kept.latent[0], kept.full[0])
    assert not torch.equal(kept.latent[1], kept.full[1])


def test_decode_counts_codebooks_frame_by_frame(quantizer: LatentQuantizer) -> None:
    codes = quantizer.encode(vectors(1, 6, 12), 5)
    n_q = torch.tensor([[0, 1, 2, 3, 4, 5]])
    mixed = quantizer.decode(codes, n_q)
    for t in range(6):
        alone = quantizer.decode(codes[:, :t, t : t + 1], torch.full((1, 1), t))
        torch.testing.assert_close(mixed[:, t : t + 1], alone, atol=1e-6, rtol=1e-6)
    assert not mixed[:, 0].any()


def test_training_moves_entries_and_evaluation_does_not(quantizer: LatentQuantizer) -> None:
    latent, n_q = vectors(2, 30, 12), torch.tensor([5, 5])
    before = [c.entries.clone() for c in quantizer.stages]
    quantizer.eval()(latent, n_q, 0.9)
    assert all(torch.equal(c.entries, b) for c, b in zip(quantizer.stages, before, strict=True))
    quantizer.train()(latent, n_q, 0.9)
    assert all(not torch.equal(c.entries, b) for c, b in zip(quantizer.stages, before, strict=True))


def test_following_lowers_the_error(quantizer: LatentQuantizer) -> None:
    latent, n_q = vectors(4, 200, 12), torch.full((4,), 5)

    def error() -> float:
        return float((quantizer.eval()(latent, n_q, 0.9).full - latent).square().mean())

    first = error()
    quantizer.train()
    for _ in range(30):
        quantizer(latent, n_q, 0.8)
    assert error() < 0.9 * first


def test_revive_replaces_in_every_codebook(quantizer: LatentQuantizer) -> None:
    for codebook in quantizer.stages:
        codebook.usage[:2] = 0
    assert quantizer.revive(vectors(2, 30, 12), 0.01) == 10
