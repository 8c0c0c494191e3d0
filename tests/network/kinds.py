"""Networks of each kind that there is, small enough to count by hand what is in memory, on images of 3×16×16."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = (3, 16, 16)


def conv(channels: int, out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, stride, 1)


class Net(nn.Module):
    """Layers by name, with what a test needs of them."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)


class Chain(Net):
    def __init__(self) -> None:
        super().__init__(a=conv(3, 4), norm=nn.BatchNorm2d(4), pool=nn.MaxPool2d(2), b=conv(4, 5), head=nn.Linear(5, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.pool(F.relu(self.norm(self.a(x)))))
        return self.head(x.relu().mean((2, 3)))


class Strided(Net):
    """A residual block whose skip is a convolution, computed after the branch."""

    def __init__(self) -> None:
        super().__init__(
            stem=conv(3, 4), a=conv(4, 8, 2), b=conv(8, 8), norm=nn.BatchNorm2d(8), skip=conv(4, 8, 2), c=conv(8, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = self.norm(self.b(F.relu(self.a(x))))
        return self.c(F.relu(y + self.skip(x)))


class PreActivation(Net):
    """Two blocks that normalise before they convolve, and add what they read to what they compute."""

    def __init__(self) -> None:
        super().__init__(
            stem=conv(3, 4), n1=nn.BatchNorm2d(4), a=conv(4, 4), n2=nn.BatchNorm2d(4), b=conv(4, 4), c=conv(4, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.a(F.relu(self.n1(x)))
        x = x + self.b(F.relu(self.n2(x)))
        return self.c(x)


class UNet(Net):
    def __init__(self) -> None:
        super().__init__(down=conv(3, 4), bottom=conv(4, 8), up=conv(12, 4), end=conv(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        skip = F.relu(self.down(x))
        y = F.interpolate(F.relu(self.bottom(F.max_pool2d(skip, 2))), scale_factor=2)
        return self.end(F.relu(self.up(torch.cat([y, skip], 1))))


class Dense(Net):
    """Each layer reads all that was written before it, normalised."""

    def __init__(self) -> None:
        super().__init__(
            stem=conv(3, 4),
            n1=nn.BatchNorm2d(4),
            a=conv(4, 2),
            n2=nn.BatchNorm2d(6),
            b=conv(6, 2),
            n3=nn.BatchNorm2d(8),
            c=conv(8, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.stem(x)]
        for norm, layer in ((self.n1, self.a), (self.n2, self.b)):
            parts.append(layer(F.relu(norm(torch.cat(parts, 1)))))
        return self.c(F.relu(self.n3(torch.cat(parts, 1))))


class SqueezeExcite(Net):
    def __init__(self) -> None:
        super().__init__(stem=conv(3, 8), squeeze=nn.Conv2d(8, 2, 1), excite=nn.Conv2d(2, 8, 1), end=conv(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return self.end(x * gate)


class VectorGate(Net):
    """The same with linear layers on a vector, which is no map."""

    def __init__(self) -> None:
        super().__init__(stem=conv(3, 8), squeeze=nn.Linear(8, 2), excite=nn.Linear(2, 8), end=conv(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return self.end(x * gate.view(gate.shape[0], 8, 1, 1))


class Exchange(Net):
    """Two branches of different resolution that are added to each other, as in HRNet."""

    def __init__(self) -> None:
        super().__init__(
            stem=conv(3, 4),
            fork=conv(4, 8, 2),
            a=conv(4, 4),
            b=conv(8, 8),
            to_a=nn.Conv2d(8, 4, 1),
            to_b=conv(4, 8, 2),
            end_a=conv(4, 2),
            end_b=conv(8, 2),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        high = F.relu(self.stem(x))
        low = F.relu(self.fork(high))
        high, low = F.relu(self.a(high)), F.relu(self.b(low))
        fused_high = F.relu(high + F.interpolate(self.to_a(low), scale_factor=2))
        fused_low = F.relu(self.to_b(high) + low)
        return self.end_a(fused_high), self.end_b(fused_low)


class TwoPools(Net):
    """Two poolings of one tensor, concatenated."""

    def __init__(self) -> None:
        super().__init__(stem=conv(3, 4), end=conv(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.end(torch.cat([F.max_pool2d(x, 2), F.avg_pool2d(x, 2)], 1))


class Shared(Net):
    """One ReLU: read by a convolution, pooled by the next, and added at the end."""

    def __init__(self) -> None:
        super().__init__(stem=conv(3, 4), plain=conv(4, 4), pooled=conv(4, 4), end=conv(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = self.plain(x) + F.interpolate(self.pooled(F.max_pool2d(x, 2)), scale_factor=2)
        return self.end(F.relu(x + y))


class Split(Net):
    """Half of the channels wait while the other half is convolved, as in ShuffleNet."""

    def __init__(self) -> None:
        super().__init__(stem=conv(3, 8), branch=conv(4, 4), end=conv(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        kept, read = self.stem(x).relu().chunk(2, 1)
        y = torch.stack([kept, self.branch(read).relu()], 2)
        return self.end(y.reshape(y.shape[0], 8, *SIZE[1:]))


class ChannelsLast(Net):
    """A block as in ConvNeXt: linear layers over channels, with a skip around them."""

    def __init__(self) -> None:
        super().__init__(
            stem=conv(3, 6), norm=nn.LayerNorm(6), up=nn.Linear(6, 9), down=nn.Linear(9, 6), end=conv(6, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        x = x + self.down(F.gelu(self.up(self.norm(x))))
        x = x + self.up(self.norm(x))[..., :6]
        return self.end(x.permute(0, 3, 1, 2))


BY_HAND: dict[type[Net], list[tuple[str, int, int, str, list[str]]]] = {
    Chain: [("b", 4, 8, "a", ["conv"])],
    Strided: [
        ("a", 4, 16, "stem", ["conv", "conv"]),
        ("b", 8, 8, "a", ["conv"]),
        ("add", 8, 8, "b", ["add"]),
        ("c", 8, 8, "add", ["conv"]),
    ],
    PreActivation: [
        ("n1", 4, 16, "stem", ["batchnorm2d", "add"]),
        ("n2", 4, 16, "add", ["batchnorm2d", "add"]),
        ("c", 4, 16, "add", ["conv"]),
    ],
    UNet: [
        ("max_pool2d", 4, 16, "down", ["max_pool2d", "cat"]),
        ("interpolate", 8, 8, "bottom", ["interpolate"]),
        ("end", 4, 16, "up", ["conv"]),
    ],
    Dense: [
        ("cat", 4, 16, "stem", ["cat", "cat", "cat"]),
        ("cat_1", 2, 16, "a", ["cat", "cat"]),
        ("cat_2", 2, 16, "b", ["cat"]),
    ],
    SqueezeExcite: [
        ("adaptive_avg_pool2d", 8, 16, "stem", ["adaptive_avg_pool2d", "mul"]),
        ("excite", 2, 1, "squeeze", ["conv"]),
        ("mul", 8, 1, "excite", ["mul"]),
    ],
    VectorGate: [("mean", 8, 16, "stem", ["mean", "mul"]), ("mul", 8, 1, "view", ["mul"])],
    Exchange: [
        ("fork", 4, 16, "stem", ["conv", "conv"]),
        ("b", 8, 8, "fork", ["conv"]),
        ("to_b", 4, 16, "a", ["add", "conv"]),
        ("to_a", 8, 8, "b", ["conv", "add"]),
        ("interpolate", 4, 8, "to_a", ["interpolate"]),
        ("end_b", 8, 8, "add", ["conv"]),
    ],
    TwoPools: [("end", 8, 8, "cat", ["conv"])],
    Shared: [
        ("plain", 4, 16, "stem", ["conv", "max_pool2d", "add"]),
        ("add", 4, 16, "plain", ["add"]),
        ("interpolate", 4, 8, "pooled", ["interpolate"]),
    ],
    Split: [
        ("stack", 4, 16, "getitem", ["stack"]),
        ("branch", 4, 16, "getitem", ["conv"]),
        ("stack@2", 4, 16, "branch", ["stack"]),
    ],
    ChannelsLast: [
        ("norm", 6, 16, "permute", ["layernorm", "add"]),
        ("down", 9, 16, "up", ["linear"]),
        ("norm@2", 6, 16, "add", ["layernorm", "add"]),
        ("end", 6, 16, "permute", ["conv"]),
    ],
}
KINDS = list(BY_HAND)
