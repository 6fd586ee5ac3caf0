"""Layers of transformers' networks as streams: what comes out in pieces equals what one pass over the whole gives.

A layer takes pieces [B, C, n] of a signal, n may be 0, the last one with `last`; it gives what is certain so far.
A piece may change the rounding of floats, so the callers feed pieces on a fixed grid.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor


FOREVER = math.inf


class Reach(NamedTuple):
    """How far the sound at a moment depends on what comes before and behind it, and the step of the signal there.

    All in samples at the model's rate.
    """

    before: float
    ahead: float
    step: float


class Layer(Protocol):
    """A stream of its own; its weights are shared."""

    def push(self, x: "Tensor", *, last: bool = False) -> "Tensor":
        """The next piece [B, C, n] -> [B, C', m]."""

    def reach(self, step: float) -> Reach:
        """What it depends on, where its input has this step."""


class Pointwise:
    """A function of each point in time."""

    def __init__(self, function: "Callable[[Tensor], Tensor]") -> None:
        self._function = function

    def push(self, x: "Tensor", *, last: bool = False) -> "Tensor":
        return self._function(x) if x.shape[-1] else x

    def reach(self, step: float) -> Reach:
        return Reach(0, 0, step)


class Chain:
    """One layer after the other."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers

    def push(self, x: "Tensor", *, last: bool = False) -> "Tensor":
        for layer in self._layers:
            x = layer.push(x, last=last)
        return x

    def reach(self, step: float) -> Reach:
        before = ahead = 0.0
        for layer in self._layers:
            more = layer.reach(step)
            before, ahead, step = before + more.before, ahead + more.ahead, more.step
        return Reach(before, ahead, step)


class Residual:
    """The sum of two layers, which may be late by different amounts."""

    def __init__(self, one: Layer, other: Layer) -> None:
        self._layers = (one, other)
        self._waiting: list[Tensor | None] = [None, None]

    def push(self, x: "Tensor", *, last: bool = False) -> "Tensor":
        one, other = (
            _joined(before, layer.push(x, last=last)) for before, layer in zip(self._waiting, self._layers, strict=True)
        )
        n = min(one.shape[-1], other.shape[-1])
        self._waiting = [one[..., n:], other[..., n:]]
        return one[..., :n] + other[..., :n]

    def reach(self, step: float) -> Reach:
        one, other = (layer.reach(step) for layer in self._layers)
        return Reach(max(one.before, other.before), max(one.ahead, other.ahead), one.step)


class Convolution:
    """A Conv1d with `left` and `right` samples of padding, and at the end as much more as fills the last stride.

    whole: what one pass does with a whole signal; it is asked where that is no longer than the padding, which has
    rules of its own there. fill: without it, what does not fill the last stride is dropped.
    """

    def __init__(
        self, conv: Any, whole: "Callable[[Tensor], Tensor]", left: int, right: int, mode: str, *, fill: bool
    ) -> None:
        self._conv, self._whole, self._left, self._right, self._mode, self._fill = conv, whole, left, right, mode, fill
        self._stride = int(conv.stride[0])
        self._size = int(conv.kernel_size[0] - 1) * int(conv.dilation[0]) + 1
        self._reserve = right + self._stride  # samples at the end that may be mirrored
        self._held: Tensor | None = None
        self._begin = 0  # of the next window, in what is held
        self._count = 0  # samples that came
        self._started = False

    def push(self, x: "Tensor", *, last: bool = False) -> "Tensor":
        self._count += x.shape[-1]
        held = _joined(self._held, x)
        if not self._started:
            if last:
                return self._whole(held) if self._count else self._none(held)
            if self._count <= max(self._left, self._reserve):
                self._held = held
                return self._none(held)
            held, self._started = self._padded(held, self._left, 0), True
        if last:
            held = self._padded(held, 0, self._right + (-self._count % self._stride if self._fill else 0))
        frames = max(0, (held.shape[-1] - self._begin - self._size) // self._stride + 1)
        end = self._begin + frames * self._stride
        window = held[..., self._begin : end - self._stride + self._size]
        drop = max(0, min(end, held.shape[-1] - self._reserve))
        self._held, self._begin = held[..., drop:].clone(), end - drop
        return self._conv(window) if frames else self._none(held)

    def reach(self, step: float) -> Reach:
        return Reach(self._left * step, self._right * step, step * self._stride)

    def _padded(self, x: "Tensor", left: int, right: int) -> "Tensor":
        from torch.nn.functional import pad

        return pad(x, (left, right), self._mode) if left or right else x

    def _none(self, like: "Tensor") -> "Tensor":
        return like.new_zeros((like.shape[0], self._conv.out_channels, 0))


class Transposed:
    """A ConvTranspose1d of which `left` and `right` samples are cut off at the ends of the signal."""

    def __init__(self, conv: Any, left: int, right: int) -> None:
        self._conv, self._left, self._cut = conv, left, left
        self._stride = int(conv.stride[0])
        self._overlap = int(conv.kernel_size[0]) - self._stride
        self._kept = self._overlap - right  # of the overlap behind the last sample
        self._tail: Tensor | None = None

    def push(self, x: "Tensor", *, last: bool = False) -> "Tensor":
        import torch

        conv, tail = self._conv, self._tail
        if tail is None:
            tail = x.new_zeros((x.shape[0], conv.out_channels, self._overlap))
        if x.shape[-1]:
            # Without the bias, which would be added twice where pieces overlap.
            y = torch.nn.functional.conv_transpose1d(x, conv.weight, None, self._stride, groups=conv.groups)
            y[..., : self._overlap] += tail
            n = x.shape[-1] * self._stride
            out, self._tail = y[..., :n], y[..., n:].clone()
        else:
            out, self._tail = tail[..., :0], tail
        if last:
            out = torch.cat([out, self._tail[..., : self._kept]], -1)
        cut = min(self._cut, out.shape[-1])
        self._cut -= cut
        out = out[..., cut:]
        return out if conv.bias is None else out + conv.bias[:, None]

    def reach(self, step: float) -> Reach:
        step /= self._stride
        return Reach((self._overlap + self._stride - 1 - self._left) * step, self._left * step, step)


class Recurrent:
    """An LSTM whose input is added to its output; its state is carried on."""

    def __init__(self, lstm: Any) -> None:
        self._lstm = lstm
        self._state: Any = None

    def push(self, x: "Tensor", *, last: bool = False) -> "Tensor":
        if not x.shape[-1]:
            return x
        steps = x.permute(2, 0, 1)
        y, self._state = self._lstm(steps, self._state)
        return (y + steps).permute(1, 2, 0)  # type: ignore[no-any-return]

    def reach(self, step: float) -> Reach:
        return Reach(FOREVER, 0, step)


class Attention:
    """A transformer that looks back over a window; keys and values of the window are carried on."""

    def __init__(self, transformer: Any) -> None:
        self._transformer = transformer
        self._cache: Any = None

    def push(self, x: "Tensor", *, last: bool = False) -> "Tensor":
        if not x.shape[-1]:
            return x
        y = self._transformer(x.transpose(1, 2), cache=self._cache, use_cache=True)
        self._cache = y.cache
        return y.last_hidden_state.transpose(1, 2)  # type: ignore[no-any-return]

    def reach(self, step: float) -> Reach:
        config = self._transformer.config
        return Reach(config.num_hidden_layers * (config.sliding_window - 1) * step, 0, step)


def stream_of(module: Any) -> Layer:
    """A fresh stream through a module of transformers' EnCodec, DAC or Mimi. TypeError for one that is unknown."""
    return _STREAMS[type(module).__name__](module)


def _seanet_conv(module: Any) -> Layer:
    total = int(module.padding_total)
    right = 0 if module.causal else total // 2
    return Convolution(module.conv, module, total - right, right, module.pad_mode, fill=True)


def _seanet_transposed(module: Any) -> Layer:
    total = int(module.conv.kernel_size[0]) - int(module.conv.stride[0])
    right = math.ceil(total * module.trim_right_ratio) if module.causal else total // 2
    return Transposed(module.conv, total - right, right)


def _seanet_block(module: Any) -> Layer:
    return Residual(stream_of(module.shortcut), stream_of(module.block))


def _chain(module: Any) -> Layer:
    return Chain([stream_of(layer) for layer in module])


def _layers(module: Any) -> Layer:
    return _chain(module.layers)


def _plain_conv(module: Any) -> Layer:
    padding = int(module.padding[0])
    return Convolution(_Unpadded(module), module, padding, padding, "constant", fill=False)


def _plain_transposed(module: Any) -> Layer:
    return Transposed(module, int(module.padding[0]), int(module.padding[0]))


def _snake(module: Any) -> Layer:
    return Pointwise(module)


def _dac_unit(module: Any) -> Layer:
    return Residual(Pointwise(lambda x: x), _chain([module.snake1, module.conv1, module.snake2, module.conv2]))


def _dac_encoder_block(module: Any) -> Layer:
    return _chain([module.res_unit1, module.res_unit2, module.res_unit3, module.snake1, module.conv1])


def _dac_decoder_block(module: Any) -> Layer:
    return _chain([module.snake1, module.conv_t1, module.res_unit1, module.res_unit2, module.res_unit3])


def _dac_encoder(module: Any) -> Layer:
    return _chain([module.conv1, *module.block, module.snake1, module.conv2])


def _dac_decoder(module: Any) -> Layer:
    return _chain([module.conv1, *module.block, module.snake1, module.conv2, module.tanh])


_STREAMS: dict[str, Callable[[Any], Layer]] = {
    "EncodecEncoder": _layers,
    "EncodecDecoder": _layers,
    "EncodecConv1d": _seanet_conv,
    "EncodecConvTranspose1d": _seanet_transposed,
    "EncodecResnetBlock": _seanet_block,
    "EncodecLSTM": lambda module: Recurrent(module.lstm),
    "MimiEncoder": _layers,
    "MimiDecoder": _layers,
    "MimiConv1d": _seanet_conv,
    "MimiConvTranspose1d": _seanet_transposed,
    "MimiResnetBlock": _seanet_block,
    "MimiTransformerModel": Attention,
    "MimiEncoderModel": lambda module: _chain([module.encoder_seanet, module.encoder_transformer, module.downsample]),
    "MimiDecoderModel": lambda module: _chain([module.upsample, module.decoder_transformer, module.decoder_seanet]),
    "DacEncoder": _dac_encoder,
    "DacDecoder": _dac_decoder,
    "DacEncoderBlock": _dac_encoder_block,
    "DacDecoderBlock": _dac_decoder_block,
    "DacResidualUnit": _dac_unit,
    "Snake1d": _snake,
    "ModuleList": _chain,
    "Conv1d": _plain_conv,
    "ConvTranspose1d": _plain_transposed,
    "ELU": Pointwise,
    "Tanh": Pointwise,
    "Identity": Pointwise,
}


class _Unpadded:
    """A Conv1d as it is, but for its padding."""

    def __init__(self, conv: Any) -> None:
        self._conv = conv
        self.stride, self.kernel_size, self.dilation = conv.stride, conv.kernel_size, conv.dilation
        self.out_channels = conv.out_channels

    def __call__(self, x: "Tensor") -> "Tensor":
        from torch.nn.functional import conv1d

        conv = self._conv
        return conv1d(x, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)


def _joined(before: "Tensor | None", x: "Tensor") -> "Tensor":
    import torch

    return x if before is None or not before.shape[-1] else torch.cat([before, x], -1)
