"""Multi-head attention step by step: torch's own is one module, into which neither tracing nor quantisation can see."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def open_attention(model: nn.Module) -> None:
    """Has every multi-head attention in a model computed by linear layers and scaled dot-product attention, in place.
    They share its parameters. Those inside of torch's own transformer layers, which look into them, stay."""
    for parent in list(model.modules()):
        if not type(parent).__module__.startswith("torch.nn.modules.transformer"):
            for name, part in list(parent.named_children()):
                if type(part) is nn.MultiheadAttention and _is_plain(part):
                    setattr(parent, name, _Attention(part))


def _is_plain(attention: nn.MultiheadAttention) -> bool:
    return attention._qkv_same_embed_dim and attention.bias_k is None and not attention.add_zero_attn


class _Attention(nn.Module):
    """Computes what a module does, and has it do so itself where it is given masks."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.out_proj = attention.out_proj  # before the whole, to be found by its own name
        self.whole = attention
        self.in_proj = nn.Linear(1, 1, bias=False, device="meta")
        self.in_proj.weight = attention.in_proj_weight
        self.in_proj.bias = attention.in_proj_bias
        self.in_proj.out_features, self.in_proj.in_features = self.in_proj.weight.shape

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attends as `nn.MultiheadAttention` does, to tokens (batch, N, C) or (N, batch, C)."""
        if key_padding_mask is not None or attn_mask is not None:
            return cast(
                "tuple[Tensor, Tensor | None]",
                self.whole(
                    *(query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal)
                ),
            )
        q, k, v = map(self._heads, self._projected(query, key, value))
        attended = functional.scaled_dot_product_attention(q, k, v)
        back = attended.transpose(1, 2) if self.whole.batch_first else attended.permute(2, 0, 1, 3)
        weights = torch.softmax(q @ k.transpose(-2, -1) * self.whole.head_dim**-0.5, -1) if need_weights else None
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        return self.out_proj(back.flatten(2)), weights

    def _projected(self, *tokens: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values: one product where they are of the same tokens."""
        if tokens[0] is tokens[1] is tokens[2]:
            # Symbolic tracing follows where it sees into how many names the parts go.
            query, key, value = self.in_proj(tokens[0]).chunk(3, -1)
            return query, key, value
        width, bias = self.whole.embed_dim, self.in_proj.bias
        rows = [slice(part * width, (part + 1) * width) for part in range(3)]
        return tuple(
            functional.linear(part, self.in_proj.weight[some], None if bias is None else bias[some])
            for part, some in zip(tokens, rows, strict=True)
        )

    def _heads(self, tokens: Tensor) -> Tensor:
        """Tokens as (batch, heads, N, d)."""
        split: Tensor = tokens.unflatten(-1, (self.whole.num_heads, self.whole.head_dim))
        return split.transpose(1, 2) if self.whole.batch_first else split.permute(1, 2, 0, 3)
