"""A network whose saved tensors wait in main memory."""

from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu


class Offloaded(nn.Module):
    """The module, run under torch's `save_on_cpu` with pinned memory."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """The module's output."""
        with save_on_cpu(pin_memory=True):
            return self.module(x)  # type: ignore[no-any-return]
