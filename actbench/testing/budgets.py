"""Checks of ceilings and of what is bought with bits."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch

from actbench.budget import Budget
from actbench.codec.modules import build_all
from actbench.codec.plain import PlainCodec
from actbench.errors import Unsupported
from actbench.live_shares import live_bits
from actbench.testing.check import Skipped, expect
from actbench.testing.form import cases
from actbench.testing.subject import Case, Subject, parse_budget

_RISING = ("16x w8a2-8", "8x w8a2-8", "4x w8a2-8", "2x w8a2-8")
_RISING_SAVED = ("traffic:16x w32a2-8", "traffic:8x w32a2-8", "traffic:4x w32a2-8", "traffic:2x w32a2-8")
_SLACK = 1.1
_IMPOSSIBLE = "1000000x w8a8"
_BELOW_THE_BOUND = 0.25


def ceilings(subject: Subject) -> None:
    """No image stores more than the ceiling allows, over a grid of ceilings and bits; and where the registration says
    that the footprint is static, every image stores the same."""
    _need_ceilings(subject)
    cases(subject)
    for budget, _ in subject.supported():
        bits = _bits_per_image(subject, budget)
        stored, limit = _counted(subject, budget, bits), budget.ceiling.limit(subject.network.maps)
        expect(stored <= limit, f"{budget}: {stored} bits are stored, {limit} are allowed")
        if subject.info.guarantee == "static" and not subject.saves:
            same = bool((bits == bits[:, :1]).all())
            expect(same, f"{budget}: images store different numbers of bits; register guarantee='data-dependent'")


def error_and_budget(subject: Subject) -> None:
    """With more bits the error over all maps does not grow (by more than a tenth); a map that is plain under one budget
    alone does not count."""
    _need_ceilings(subject)
    errors: list[tuple[Budget, Mapping[tuple[str, bool], float]]] = []
    for budget in map(parse_budget, _RISING_SAVED if subject.saves else _RISING):
        try:
            errors.append((budget, {_stored(case): _relative_error(case) for case in subject.cases(budget)}))
        except Unsupported:
            continue
    if len(errors) < 2:
        raise Skipped("fewer than two of these budgets are supported")
    for (less, fewer), (more, others) in itertools.pairwise(errors):
        before, after = (sum(each[stored] for stored in fewer.keys() & others.keys()) for each in (fewer, others))
        expect(after <= _SLACK * before + 1e-6, f"the error grows from {before:.4f} at {less} to {after:.4f} at {more}")


def impossible_budget(subject: Subject) -> None:
    """Where nothing can fit, the method raises Unsupported with the reason, and no other error."""
    _need_ceilings(subject)
    budget = parse_budget(_IMPOSSIBLE.replace("1000000x", "traffic:1000000x") if subject.saves else _IMPOSSIBLE)
    try:
        subject.planned(budget)
    except Unsupported as error:
        expect(bool(str(error)), "Unsupported is raised without a reason")
        return
    bits = _bits_per_image(subject, budget)
    limit = budget.ceiling.limit(subject.network.maps)
    expect(int(bits.max()) <= limit, f"{budget}: a plan is made, and {int(bits.max())} bits are stored of {limit}")


def too_good(subject: Subject) -> None:
    """White noise cannot be stored with less error than rate-distortion theory allows, `D ≥ σ²·2^(−2R)` at R bits a
    value: a codec that does better gets values past the payload, or claims too few bits."""
    for case in cases(subject):
        if case.codec.side == "around":
            continue  # the nonlinearity takes the noise's shape away
        noise = torch.randn(case.x.shape, generator=torch.Generator().manual_seed(3)) * case.x.std().clamp_min(1e-3)
        noise += case.x.mean()
        codec = case.codec
        payload = codec.encode(noise)
        rate = int(payload.bits_per_image().sum()) / noise.numel()
        decoded = codec.decode(payload).float()
        if rate > 16 or decoded.shape != noise.shape:
            continue
        error = float((decoded - noise).square().mean() / noise.var())
        bound = 2.0 ** (-2 * rate)
        expect(
            error >= _BELOW_THE_BOUND * bound,
            f"{case.name}: white noise comes back with an error of {error:.2g} of its variance at {rate:.2f} bits "
            f"a value; {bound:.2g} is the least that is possible",
        )


def _need_ceilings(subject: Subject) -> None:
    """Raises Skipped for a reference, which has no ceiling."""
    if subject.info.role == "reference":
        raise Skipped("a reference has no ceiling")


def _bits_per_image(subject: Subject, budget: Budget) -> torch.Tensor:
    """Counts the bits of each map and image → (maps, images); of what is encoded as a whole batch the mean."""
    rows = []
    images = len(subject.pixels)
    stored = {case.fmap.name: case for case in subject.cases(budget)}
    for fmap in subject.network.maps:
        if fmap.name not in stored:
            rows.append(torch.full((images,), fmap.bits))
            continue
        case = stored[fmap.name]
        bits = case.codec.encode(case.x).bits_per_image()
        rows.append(bits if len(bits) == images else torch.full((images,), -(-int(bits.sum()) // images)))
    return torch.stack(rows)


def _counted(subject: Subject, budget: Budget, bits: torch.Tensor) -> int:
    """Of the bits of each map and image what the ceiling counts, of the worst image."""
    if budget.ceiling.kind == "live":
        names = [fmap.name for fmap in subject.network.maps]
        return max(live_bits(subject.network.maps, dict(zip(names, image, strict=True))) for image in bits.T.tolist())
    return int((bits.amax(0) if budget.ceiling.kind == "peak" else bits.sum(0)).max())


def _stored(case: Case) -> tuple[str, bool]:
    """The map, and whether it is stored plainly."""
    return case.fmap.name, isinstance(case.planned, PlainCodec)


def _relative_error(case: Case) -> float:
    """Computes the squared error of the map as it is read, relative to the map's square."""
    decoded, exact = case.codec(case.x).float(), case.x
    if case.codec.side != "after":
        between = build_all(case.fmap.between)
        exact = between(case.x)
        decoded = between(decoded) if case.codec.side == "before" else decoded
    return float((decoded - exact).square().sum() / exact.square().sum().clamp_min(1e-12))
