"""How fast parameters may move, and in which precision a machine is fastest."""

import functools
import time

import torch

from rvqcodec.models.rvq44.network import Network


def parts_by_rate(network: Network) -> dict[float, list[torch.nn.Parameter]]:
    """Share of the learning rate -> the parameters that get it: less where the start is nearly right already.

    Steps that suit the blocks, which start from nothing, drown projections and identities in noise.
    """
    shares = {id(p): 0.1 for p in network.waveform_quantizer.parameters()}
    for parameter in (*network.decoder_in.parameters(), *network.decoder_out.parameters(), network.decoder_direct):
        shares[id(parameter)] = 0.25
    parts: dict[float, list[torch.nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            parts.setdefault(shares.get(id(parameter), 1.0), []).append(parameter)
    return parts


@functools.cache
def bf16_pays(device: torch.device) -> bool:
    """Whether bf16 products are faster than float32 here; on CPUs without AMX or AVX512-BF16 they are slower."""
    if device.type == "cuda":
        return True

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.randn(448, 384).to(dtype), torch.randn(384, 1152).to(dtype)
        best = 1e9
        for _ in range(3):
            begin = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - begin)
        return best

    return seconds(torch.bfloat16) < seconds(torch.float32) / 1.5
