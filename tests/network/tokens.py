"""Small networks on tokens that tests share."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Projections(nn.Module):
    """Self-attention with layers for queries, keys and values, step by step where it is `explicit`."""

    def __init__(self, width: int, explicit: bool) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.explicit = explicit

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (2, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if self.explicit:
            attended = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v
        else:
            attended = functional.scaled_dot_product_attention(q, k, v)
        return self.out(attended.transpose(1, 2).flatten(2))


class Packed(nn.Module):
    """Self-attention by torch's own module."""

    def __init__(self, width: int, batch_first: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=batch_first)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Block(nn.Module):
    def __init__(self, width: int, attention: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = attention
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TinyViT(nn.Module):
    """Blocks on 16 patches of an image 3×16×16 of 16 channels; `attention` is `packed`, `sequence_first`, `fused`
    or `explicit`."""

    def __init__(
        self, attention: str = "packed", *, class_token: bool = False, width: int = 16, blocks: int = 2
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width)) if class_token else None
        self.positions = nn.Parameter(torch.randn(1, 16 + class_token, width))
        self.blocks = nn.Sequential(*(Block(width, self._attention(attention, width)) for _ in range(blocks)))
        self.sequence_first = attention == "sequence_first"
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 5)

    def _attention(self, kind: str, width: int) -> nn.Module:
        if kind in ("packed", "sequence_first"):
            return Packed(width, kind == "packed")
        return Projections(width, kind == "explicit")

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        x = x + self.positions
        x = self.blocks(x.transpose(0, 1)).transpose(0, 1) if self.sequence_first else self.blocks(x)
        return self.head(self.norm(x).mean(1))


class Windows(nn.Module):
    """Attention within the four windows of a map, as in Swin, on images 3×32×32."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16)
        self.attention, self.head = Projections(16, True), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)
        windows = self.norm(x).reshape(-1, 2, 4, 2, 4, 16).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 16)
        back = self.attention(windows).reshape(-1, 2, 2, 4, 4, 16).permute(0, 1, 3, 2, 4, 5).reshape(-1, 8, 8, 16)
        return self.head((x + back).mean((1, 2)))
