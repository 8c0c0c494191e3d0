"""k-means for several groups of vectors at once: starts of k-means++ (Arthur, Vassilvitskii, SODA 2007), and steps of
Lloyd's (IEEE Trans. Inf. Theory 1982)."""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS = 20
_LEAST_GAIN = 0.01
"""A step that takes away less than this share of the error is the last."""

_SCORES = 1 << 15
"""Products that are in memory at once while nearest codewords are searched, 256 KiB: with more a small network's peak
would be in the search."""


@torch.no_grad()
def codebooks(vectors: Tensor, size: int) -> Tensor:
    """Learns a codebook (groups, size, g) for each group of vectors (groups, n, g). Starts are drawn with a seed of
    their own: the same vectors always have the same codebooks."""
    books = spread_start(vectors, size)
    least = float("inf")
    for _ in range(_STEPS):
        index = nearest(vectors, books)
        error = float((vectors - looked_up(books, index)).square().sum(dtype=torch.float64))
        books = centroids(vectors, index, books)
        if error > (1 - _LEAST_GAIN) * least:
            break
        least = error
    return books


def spread_start(vectors: Tensor, size: int) -> Tensor:
    """Draws starts (groups, size, g) from vectors (groups, n, g), each with a chance that is as the square of its
    distance to the nearest of those that are drawn already (k-means++)."""
    generator = torch.Generator(vectors.device).manual_seed(0)
    chances = vectors.new_ones(vectors.shape[:2])
    distance = vectors.new_full(vectors.shape[:2], torch.inf)
    drawn: list[Tensor] = []
    for _ in range(size):
        chosen = torch.multinomial(chances, 1, generator=generator)
        drawn.append(looked_up(vectors, chosen))
        distance = torch.minimum(distance, (vectors - drawn[-1]).square().sum(2))
        # Where fewer vectors differ than are drawn, all distances are zero, and any vector is as good.
        chances = distance + (distance.amax(1, keepdim=True) == 0)
    return torch.cat(drawn, 1)


def centroids(vectors: Tensor, index: Tensor, books: Tensor) -> Tensor:
    """Computes the means (groups, size, g) of the vectors (groups, n, g) that have the same index (groups, n). A
    codeword that no vector has stays as it is in `books`."""
    sums = torch.zeros_like(books).scatter_add_(1, index[..., None].expand_as(vectors), vectors)
    counts = books.new_zeros(books.shape[:2]).scatter_add_(1, index, vectors.new_ones(index.shape))[..., None]
    return torch.where(counts > 0, sums / counts.clamp_min(1), books)


def nearest(vectors: Tensor, books: Tensor) -> Tensor:
    """Finds the index (groups, n) of the codeword c with the least squared distance to each vector v (groups, n, g):
    the one with the largest `v·c − |c|²/2`. Of so many vectors at a time that no large tensor is in memory."""
    at_once = max(1, _SCORES // books.shape[:2].numel())
    # A program is recorded once, for any number of images: it has no number of parts.
    parts = (vectors,) if torch.compiler.is_exporting() else vectors.split(at_once, 1)
    halves, columns = books.square().sum(2)[:, None] / -2, books.mT
    return torch.cat([torch.baddbmm(halves, part, columns).argmax(2) for part in parts], 1)


def looked_up(books: Tensor, index: Tensor) -> Tensor:
    """Looks up the codewords (groups, n, g) of indices (groups, n)."""
    return books.gather(1, index[..., None].expand(-1, -1, books.shape[2]))
