"""What training really saves, the traps of saving something else, and a few layers of a network in memory."""

import copy
import gc

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from actbench.codec import PlainCodec
from actbench.training.activations import FrozenNorm, MaskedReLU, QuantisedNorm
from actbench.training.ledger import saved_bytes
from actbench.training.prepare import prepare
from actbench_plugins.hosvd.training import SavedDecomposition

MEBIBYTE = 1 << 20


def blocks(count: int = 3, channels: int = 64) -> fx.GraphModule:
    torch.manual_seed(0)
    layers = [
        layer
        for _ in range(count)
        for layer in (nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
    ]
    return fx.symbolic_trace(nn.Sequential(*layers))


def images(size: int = 28, channels: int = 64, count: int = 32) -> Tensor:
    coarse = torch.randn(count, channels, size // 7, size // 7, generator=torch.Generator().manual_seed(1))
    return functional.interpolate(coarse, size=size, mode="bilinear").relu()


def saved(model: nn.Module, x: Tensor) -> float:
    with saved_bytes(model) as ledger:
        y = model(x)
        counted = ledger.bytes
    del y
    return counted / MEBIBYTE


def decompositions(model: fx.GraphModule) -> dict[str, SavedDecomposition]:
    convolutions = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    return {name: SavedDecomposition(0.8) for name in convolutions}


def test_what_the_papers_metric_hides() -> None:
    """Three blocks at 32×64×28×28 save 42.9 MiB. With their convolutions' inputs decomposed, 6.1 MiB less: the other
    ones are the outputs of a ReLU, which keeps them, and each normalisation keeps its input."""
    model, x = blocks(), images()
    codecs = decompositions(model)
    alone = prepare(model, codecs, masks=False, normalisation="exact")
    whole = prepare(model, codecs)
    assert saved(model, x) == pytest.approx(42.9, abs=0.05)
    assert saved(alone, x) == pytest.approx(37.0, abs=0.3)
    assert saved(whole, x) < saved(model, x) / 2


def test_the_breakdown_names_who_saves_what() -> None:
    model, x = prepare(blocks(), decompositions(blocks())), images()
    with saved_bytes(model) as ledger:
        y = model(x)
        parts = ledger.bytes_by_module()
    assert y.requires_grad
    assert set(parts) == {f"{index}" for index in range(9)}
    assert parts["1"] == x.numel() + 2 * 64 * 4
    assert parts["2"] == x.numel() / 8
    assert sum(parts.values()) == ledger.bytes


def test_a_storage_counts_once_and_parameters_do_not() -> None:
    layer = nn.Linear(8, 8)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) + self.layer(x.view(4, 8)) * self.layer(x)

    model, x = Twice(), torch.randn(4, 8)
    with saved_bytes(model) as ledger:
        y = model(x)
        assert y.requires_grad
        assert ledger.bytes == 3 * 4 * 8 * 4, "x, and the two factors"


def test_a_freed_tensors_address_is_not_taken_for_the_tensor() -> None:
    """Each pass frees what it saved, and the next one gets the same addresses."""
    model = blocks(1, 4)
    with saved_bytes(model) as ledger:
        for _ in range(3):
            y = model(images(7, 4, 2))
            before = ledger.bytes
            del y
            gc.collect()
            assert ledger.bytes == 0
    assert before == 3 * 2 * 4 * 49 * 4 + 2 * 4 * 4


def test_a_buffer_that_is_replaced_hides_nothing() -> None:
    """The old buffer's address is free for what is saved next."""

    class Replacing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("state", torch.zeros(1000))

        def forward(self, x: Tensor) -> Tensor:
            self.state = torch.ones(1000)
            return x * x.detach().clone()

    for _ in range(20):
        model, x = Replacing(), torch.randn(1000, requires_grad=True)
        with saved_bytes(model) as ledger:
            y = model(x)
            assert y.requires_grad
            assert ledger.bytes == 4000, "the clone"


def test_a_mask_is_the_relus_gradient_where_its_output_would_not_be() -> None:
    x = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.randn(4, 8, 6, 6)
    exact = torch.autograd.grad((x.relu() * weights).sum(), x)[0]
    masked = torch.autograd.grad((MaskedReLU()(x) * weights).sum(), x)[0]
    assert torch.equal(masked, exact)
    lossy = SavedDecomposition(0.8)(x.detach().relu())
    assert ((lossy > 0) * weights - exact).norm() > 0.3 * exact.norm(), "the trap"


@pytest.mark.parametrize("most", [None, 6.0])
def test_masked_relus_are_torchs(most: float | None) -> None:
    x = (4 * torch.randn(3, 5, 7)).requires_grad_()
    reference = functional.relu(x) if most is None else functional.relu6(x)
    masked = MaskedReLU(most)(x)
    assert torch.equal(masked, reference)
    gradient = torch.randn(3, 5, 7)
    assert torch.equal(torch.autograd.grad(masked, x, gradient)[0], torch.autograd.grad(reference, x, gradient)[0])


def normalised(norm: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    x = x.detach().requires_grad_()
    y = norm(x)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(3)))
    return y.detach(), [x.grad, *(p.grad for p in norm.parameters())]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_quantised_normalisation_is_exact_forward_and_close_backward(affine: bool, momentum: float | None) -> None:
    plain = nn.BatchNorm2d(6, affine=affine, momentum=momentum)
    quantised = QuantisedNorm(copy.deepcopy(plain))
    for seed in range(2):
        x = 3 + 2 * torch.randn(8, 6, 9, 9, generator=torch.Generator().manual_seed(seed))
        expected, exact = normalised(plain, x)
        output, close = normalised(quantised, x)
        torch.testing.assert_close(output, expected)
        for a, b in zip(close, exact, strict=True):
            assert (a - b).norm() < 0.01 * b.norm()
            a.zero_(), b.zero_()
    for name, value in plain.named_buffers():
        torch.testing.assert_close(quantised.norm.get_buffer(name), value)


def test_a_low_rank_input_ruins_a_normalisations_gradient() -> None:
    """The trap: with its input decomposed like a convolution's, a normalisation's gradient is far off."""
    x = images(14, 8, 8) + 0.3 * torch.randn(8, 8, 14, 14)
    _, exact = normalised(nn.BatchNorm2d(8), x)
    _, lossy = normalised(nn.BatchNorm2d(8), SavedDecomposition(0.8)(x))
    assert (lossy[0] - exact[0]).norm() > 0.1 * exact[0].norm()
    _, quantised = normalised(QuantisedNorm(nn.BatchNorm2d(8)), x)
    assert (quantised[0] - exact[0]).norm() < 0.01 * exact[0].norm()


def test_a_frozen_normalisation_saves_nothing() -> None:
    norm = nn.BatchNorm2d(6).eval().requires_grad_(False)
    norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2)
    x = torch.randn(4, 6, 5, 5, requires_grad=True)
    torch.testing.assert_close(FrozenNorm(norm)(x), norm(x))
    gradient = torch.randn(4, 6, 5, 5)
    torch.testing.assert_close(
        torch.autograd.grad(FrozenNorm(norm)(x), x, gradient)[0], torch.autograd.grad(norm(x), x, gradient)[0]
    )
    assert saved(FrozenNorm(norm), x) < 100 / MEBIBYTE


def test_lossless_codecs_and_masks_train_bit_for_bit() -> None:
    plain = blocks(2, 8)
    prepared = prepare(plain, {"0": PlainCodec(None), "3": PlainCodec(None)}, normalisation="exact")
    for step in range(3):
        x = images(14, 8, 4) + 0.01 * step
        for model in (plain, prepared):
            model.zero_grad()
            model(x).square().mean().backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.1 * parameter.grad
    for a, b in zip(plain.parameters(), prepared.parameters(), strict=True):
        assert torch.equal(a, b)


def test_functions_become_masks_too() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return functional.relu6(torch.relu(self.layer(x))).relu()

    model = fx.symbolic_trace(Net())
    prepared = prepare(model, {})
    assert sum(isinstance(part, MaskedReLU) for part in prepared.modules()) == 3
    x = torch.randn(2, 2, 4, 4)
    assert torch.equal(prepared(x), model(x))
