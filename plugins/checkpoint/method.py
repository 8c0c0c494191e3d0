"""Forms of a network that train exactly as it does."""

from torch import fx, nn

from actbench.codec import Method, Unsupported
from actbench_plugins.checkpoint.offloaded import Offloaded
from actbench_plugins.checkpoint.segments import Segmented, root_of_layers


class Checkpointing(Method):
    """Runs the network in n segments, one after the other: forward keeps what they read, backward runs each again."""

    def training_form(self, module: nn.Module) -> nn.Module:
        assert isinstance(module, fx.GraphModule)
        return Segmented(module, int(self.options["segments"]) or root_of_layers(module))


class Offloading(Method):
    """Copies what autograd saves from the GPU to main memory, and back when it is needed."""

    def training_form(self, module: nn.Module) -> nn.Module:
        if next(module.parameters()).device.type == "cpu":
            raise Unsupported("on the CPU saved tensors are in main memory already: offloading is for --device cuda")
        return Offloaded(module)
