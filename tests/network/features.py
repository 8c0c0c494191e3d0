"""Plain networks, each with one thing that real code does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils import spectral_norm as old_spectral_norm

IMAGE = (3, 16, 16)


class Body(nn.Module):
    """Three convolutions, and something in between."""

    def __init__(self, middle: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.middle = middle or nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Any:
        return self.last(F.relu(self.middle(F.relu(self.first(x)))))


class SharedModule(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for _ in range(3):
            x = F.relu(self.middle(x)) + x
        return self.last(x)


class Functional(Body):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 6, 3, 3) / 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(F.conv2d(F.relu(self.first(x)), self.kernel, padding=1)))


class InPlace(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu_()
        y = self.middle(x)
        y += x
        y.clamp_(max=3).mul_(2)
        return self.last(y)


class ItemAssignment(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x[:, 0] = 0.5
        y = self.middle(x)
        y[:, 1:3, ::2] = x[:, 1:3, ::2]
        return self.last(y)


class WriteThroughView(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x[:, :3].relu_()
        return self.last(self.middle(x) + x)


class DictionaryOut(Body):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.relu(self.first(x))
        return {"out": self.last(F.relu(self.middle(x))), "aux": x.mean((2, 3))}


class TupleOut(Body):
    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = F.relu(self.first(x))
        y = F.relu(self.middle(x))
        return self.last(y), [x, y]


class TwoInputs(Body):
    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        x = F.relu(self.first(x)) * vector[:, :, None, None]
        return self.last(F.relu(self.middle(x)))


class Default(Body):
    """Something that nobody gives, handed on."""

    def forward(self, x: Tensor, offset: Tensor | None = None, scale: float = 2.0) -> Tensor:
        x = F.relu(F.conv2d(x, self.first.weight, offset, padding=1)) * scale
        return self.last(F.relu(self.middle(x)))


class Attention(Body):
    """Attention as one module, over the positions of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        tokens = x.flatten(2).transpose(1, 2)
        mixed = self.attention(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2)
        return self.last(F.relu(self.middle(mixed.reshape(mixed.shape[0], 6, 16, 16))))


class ByShape(Body):
    """Control flow on a shape, as in segmentation-models-pytorch."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 4 != 0:
            raise RuntimeError("the width has to be a multiple of 4")
        x = F.relu(self.first(x))
        if x.shape[2] > 8:
            x = F.max_pool2d(x, 2)
        return self.last(F.relu(self.middle(x)))


class ByValue(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if x.mean() > 0:
            x = F.relu(x)
        return self.last(self.middle(x))


class Random(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.dropout(self.middle(self.first(x)), 0.5, True))


class Autocast(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        with torch.autocast("cpu", enabled=False):
            x = self.middle(x.float())
        return self.last(F.relu(x))


class OneDimension(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv1d(2, 8, 5, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2)),
            *(nn.Conv1d(8, 8, 3), nn.ReLU(), nn.ConvTranspose1d(8, 4, 2, 2)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class ThreeDimensions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv3d(2, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d(2)),
            *(nn.Conv3d(8, 8, 3, padding=1), nn.ReLU(), nn.ConvTranspose3d(8, 4, 2, 2)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Own(nn.Conv2d):
    """A convolution that standardises its weights."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class NormAct(nn.BatchNorm2d):
    """A batch normalisation with its nonlinearity."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.1, self.eps)
        return self.act(x)


def _body(build: Callable[[], nn.Module]) -> Callable[[], Any]:
    return lambda: (build(), IMAGE, ())


def _middle(build: Callable[[], nn.Module]) -> Callable[[], Any]:
    return lambda: (Body(build()), IMAGE, ())


def _conv(**given: Any) -> nn.Conv2d:
    return nn.Conv2d(6, 6, 3, padding=1, **given)


BY_NAME: dict[str, Callable[[], Any]] = {
    "plain": _body(Body),
    "shared module": _body(SharedModule),
    "functional convolution": _body(Functional),
    "in place": _body(InPlace),
    "item assignment": _body(ItemAssignment),
    "write through a view": _body(WriteThroughView),
    "dictionary out": _body(DictionaryOut),
    "tuple out": _body(TupleOut),
    "two inputs": lambda: (TwoInputs(), IMAGE, ((6,),)),
    "attention as a module": _body(Attention),
    "default": _body(Default),
    "flow by shape": _body(ByShape),
    "flow by value": _body(ByValue),
    "random": _body(Random),
    "autocast": _body(Autocast),
    "1-D": lambda: (OneDimension(), (2, 64), ()),
    "3-D": lambda: (ThreeDimensions(), (2, 8, 8, 8), ()),
    "transposed": _middle(lambda: nn.Sequential(nn.ConvTranspose2d(6, 6, 2, 2), nn.BatchNorm2d(6))),
    "own convolution": _middle(lambda: Own(6, 6, 3, padding=1)),
    "normalisation with nonlinearity": _middle(lambda: nn.Sequential(_conv(bias=False), NormAct(6))),
    "weight_norm": _middle(lambda: parametrizations.weight_norm(_conv())),
    "spectral_norm": _middle(lambda: parametrizations.spectral_norm(_conv())),
    "old weight_norm": _middle(lambda: nn.utils.weight_norm(_conv())),
    "old spectral_norm": _middle(lambda: old_spectral_norm(_conv())),
    "circular padding": _middle(lambda: _conv(padding_mode="circular")),
    "grouped": _middle(lambda: _conv(groups=3)),
    "fp64": lambda: (Body().double(), IMAGE, ()),
    "bf16": lambda: (Body().bfloat16(), IMAGE, ()),
    "fp16": lambda: (Body().half(), IMAGE, ()),
    "multi-head attention": lambda: (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (9, 16), ()),
}
