"""Quantisers: real values to integer codes and back, with straight-through gradients.

One form serves plain quantisation, signed coefficients and PACT (Choi et al., arXiv 1805.06085):

    code = round((clip(x, low, high) − low) / step),   step = (high − low) / (2^width − 1),   x̂ = code·step + low

The gradient passes the rounding unchanged and reaches the clip only where it cuts: ∂x̂/∂high = 1 for x ≥ high,
∂x̂/∂low = 1 for x ≤ low (PACT equation 2, and its mirror image).
"""

from __future__ import annotations

from typing import Any

import numpy
import torch
from torch import Tensor, nn

_CANDIDATES = 40
_SAMPLE = 1 << 14
_CHANNEL_SAMPLE = 1 << 12
_NEARBY = torch.linspace(0.5, 1.5, 21)


def at_least_fp32(x: Tensor) -> Tensor:
    """Converts a floating-point tensor to the type in which codecs compute: half precision to fp32, all else stays."""
    return x if x.dtype == torch.float32 else x.to(torch.promote_types(x.dtype, torch.float32))


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0]


def round_straight_through(x: Tensor) -> Tensor:
    """Rounds to the nearest integer, with the gradient of the identity."""
    rounded: Tensor = _Round.apply(x)  # type: ignore[no-untyped-call]
    return rounded


_Numbers = tuple[Any, Any, Any]
"""Low, high and step: each a number, or a tensor that is one number or one for each channel."""


class UniformQuantizer(nn.Module):
    """Clipped uniform quantiser with `width`-bit unsigned codes, from `low` to `high`; both ends of the clip can be
    learned.

    With `nonnegative` the low end is fixed at 0, as after a ReLU: then this is PACT. There is one clip for all values,
    or, after `clip_channels`, one for each channel: then `low` and `high` are (C,), and x has its channels in dimension
    1.

    Example:
        >>> quantizer = UniformQuantizer(2, -1.0, 2.0)
        >>> codes = quantizer.encode(torch.tensor([-3.0, 0.4, 2.0]))
        >>> codes.tolist(), quantizer.decode(codes).tolist()
        ([0.0, 1.0, 3.0], [-1.0, 0.0, 2.0])
    """

    low: Tensor
    high: Tensor

    def __init__(self, width: int, low: float, high: float, *, nonnegative: bool = False) -> None:
        super().__init__()
        self.width = width
        self.nonnegative = nonnegative
        self._kept: dict[object, _Numbers] | None = None
        self.high = nn.Parameter(torch.tensor(float(high)))
        if nonnegative:
            self.register_buffer("low", torch.tensor(0.0))
        else:
            self.low = nn.Parameter(torch.tensor(float(low)))

    @classmethod
    def calibrated(cls, width: int, sample: Tensor, *, nonnegative: bool = False) -> UniformQuantizer:
        """Makes the quantiser whose clip has the least squared error on a sample (any shape) of the values to come."""
        low, high = least_squares_clip(sample, width, nonnegative=nonnegative)
        return cls(width, low, high, nonnegative=nonnegative)

    def clip_channels(self, sample: Tensor) -> None:
        """Gives each channel of a sample (n, C, …) of the values to come the clip of least squared error for it."""
        clips = [
            least_squares_clip(thin(channel.flatten(), _CHANNEL_SAMPLE), self.width, nonnegative=self.nonnegative)
            for channel in sample.detach().transpose(0, 1)
        ]
        low, high = self.high.new_tensor(clips).T.contiguous()
        self.high = nn.Parameter(high, self.high.requires_grad)
        self.low = low if self.nonnegative else nn.Parameter(low, self.high.requires_grad)

    def keep_numbers(self) -> None:
        """Makes the numbers to compute with once, for clips that change no more: a stripe has few values, and making
        them anew takes as long as dividing by one of them."""
        self._kept = {}

    @property
    def levels(self) -> int:
        """Largest code, 2^width − 1."""
        return (1 << self.width) - 1

    @property
    def step(self) -> Tensor:
        """Distance () between what neighbouring codes stand for, without gradient."""
        return (self.high - self.low).detach().clamp_min(1e-12) / self.levels

    def encode(self, x: Tensor) -> Tensor:
        """Quantises values to integer codes 0 … 2^width − 1, in a floating-point tensor of x's shape, and of its type
        where that holds every code exactly (half precision does up to 8 bits; wider codes come in fp32)."""
        exact = at_least_fp32(x)
        if torch.is_grad_enabled():
            low, high, step = (self._beside(exact, each) for each in (self.low, self.high, self.step))
            # An end that learning moved past the other clips nothing, and still gets its gradient, so that it can
            # return.
            high = torch.where(low > high, low.detach() + (high - high.detach()), high)
            codes = round_straight_through((_clip(exact, low, high) - low.detach()) / step)
        else:
            low, high, step = self._numbers(exact)
            if self.high.dim():  # numbers for each channel are slow to clip with: codes are clipped
                codes = exact.div(step) if _is_zero(low) else exact.sub(low).div_(step)
                codes.round_().clamp_(0, self.levels)
            else:
                codes = torch.clamp(exact, low, high)
                codes = (codes if _is_zero(low) else codes.sub_(low)).div_(step).round_()
        return codes.to(x.dtype if self.width <= 8 else exact.dtype)

    def decode(self, codes: Tensor) -> Tensor:
        """Gives the values that codes stand for, in the codes' type."""
        exact = at_least_fp32(codes)
        low, _, step = self._numbers(exact)
        values: Tensor = exact * step
        return (values if _is_zero(low) else values.add_(low)).to(codes.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Computes `decode(encode(x))`."""
        return self.decode(self.encode(x))

    def _numbers(self, x: Tensor) -> _Numbers:
        """The ends of the clip and the step, to compute with values like x without gradients."""
        if self._kept is None or type(x) is not Tensor:  # a tracer's
            return self._made(x)
        form = (self.width, x.dtype, x.device, x.dim())
        if form not in self._kept:
            with torch.inference_mode(False):
                self._kept[form] = self._made(x)
        return self._kept[form]

    @torch.no_grad()
    def _made(self, x: Tensor) -> _Numbers:
        """The ends, the upper one not below the lower, and the step. On a CPU in fp32 these are numbers, the same as
        the tensors hold: six times as fast to clip with. A lower end that is zero for all channels is a number too."""
        if x.is_cpu and x.dtype == self.low.dtype == torch.float32 and not self.high.dim():
            lower, upper = numpy.float32(self.low.item()), numpy.float32(self.high.item())
            step = max(upper - lower, numpy.float32(1e-12)) / numpy.float32(self.levels)
            return float(lower), float(max(lower, upper)), float(step)
        low, high = self.low.detach(), self.high.detach()
        low, high, step = (self._beside(x, each) for each in (low, torch.maximum(low, high), self.step))
        return 0.0 if self.high.dim() and self.nonnegative else low, high, step

    def _beside(self, x: Tensor, ends: Tensor) -> Tensor:
        """One number, or one for each channel, in the type and beside the dimensions of values like x."""
        return ends.to(x.dtype).view(-1, *[1] * (x.dim() - 2)) if ends.dim() else ends.to(x.dtype)


def _is_zero(low: float | Tensor) -> bool:
    """Whether a lower end is a number, and zero: then neither taking it away nor adding it changes a value."""
    return isinstance(low, float) and low == 0


def _clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Clips x to low … high, with gradients for the ends as PACT has them: where x is equal to an end, the end gets
    it."""
    return torch.where(x >= high, high, torch.where(x <= low, low, x))


def least_squares_clip(sample: Tensor, width: int, *, nonnegative: bool = False) -> tuple[float, float]:
    """Searches the ends (low, high) of the uniform quantiser with the least squared error on `sample` (any shape): its
    range drawn in about the mean by a searched fraction, then each end by its own; with `nonnegative` low is 0.
    Constant input gives a clip of width zero about it, which decodes exactly."""
    values = thin(sample.detach().float().flatten(), _SAMPLE)
    fractions = torch.linspace(1.0, 1.0 / _CANDIDATES, _CANDIDATES)
    if nonnegative:
        low, high = torch.zeros(1), values.max().clamp_min(0)
        return 0.0, float(_best(values, low, high * fractions, width)[1])
    middle = values.double().mean().float()  # in fp32 the sum of large values overflows
    below, above = values.min() - middle, values.max() - middle
    low, high = _best(values, middle + below * fractions, middle + above * fractions, width)
    low, high = _best(values, middle + (low - middle) * _NEARBY, high, width)
    low, high = _best(values, low, middle + (high - middle) * _NEARBY, width)
    return float(low), float(high)


def _best(values: Tensor, low: Tensor, high: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Chooses the pair of ends with the least squared error; `low`, `high` (candidates,) or one for all."""
    low, high = torch.broadcast_tensors(low, high)
    least = int(_squared_errors(values, low[:, None], high[:, None], width).argmin())
    return low[least], high[least]


def thin(values: Tensor, most: int) -> Tensor:
    """Thins a one-dimensional tensor to at most `most` of its values: of as many parts of equal size one value each,
    drawn at random, the same whenever it is asked. Evenly spaced ones would all be of one column of a map."""
    if len(values) <= most:
        return values
    drawn = torch.rand(most, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    starts = torch.arange(most + 1) * len(values) // most
    index = starts[:-1] + (drawn * starts.diff()).long()
    return values[index.to(values.device)]


def _squared_errors(values: Tensor, low: Tensor, high: Tensor, width: int) -> Tensor:
    """Sums the squared errors of `values` (n,) for each clip, `low` and `high` (candidates, 1) → (candidates,)."""
    step = ((high - low) / ((1 << width) - 1)).clamp_min(1e-12)
    decoded = ((values.clamp(low, high) - low) / step).round() * step + low
    return (decoded - values).square().sum(1)
