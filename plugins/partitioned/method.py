"""Settings of torch's partitioner."""

from __future__ import annotations

import torch._functorch.config
import torch._inductor.config
from torch import fx, nn
from torch._functorch import partitioners

from actbench.codec import Method, Unsupported
from actbench_plugins.partitioned.partitioned import Partitioned

_MEBIBYTE = 1 << 20
_LEAST_BYTES = 1 << 12
"""Smaller tensors, as the statistics of normalisations, are kept as they are."""


class MemoryBudget(Method):
    """Keeps so large a share of what the compiler would keep, and computes the rest again in backward."""

    def training_form(self, module: nn.Module) -> nn.Module:
        assert isinstance(module, fx.GraphModule)
        budget = float(self.options["budget"])
        if not 0 <= budget <= 1:
            raise Unsupported(f"a budget of {budget:g}: it is a share, from 0 to 1")
        return Partitioned(module, lambda: torch._functorch.config.patch(activation_memory_budget=budget))


class Float8(Method):
    """Keeps floating-point tensors of 4 KiB and more in 8 bits, with a scale in fp32 for each of their rows."""

    def training_form(self, module: nn.Module) -> nn.Module:
        assert isinstance(module, fx.GraphModule)
        if not hasattr(partitioners, "enable_activation_quantization"):
            raise Unsupported("this version of torch has no activation quantisation in its compiler")
        settings = {
            "quant_type": f"torch.float8_{self.options['format']}",
            "allowed_dtypes": "torch.float32;torch.bfloat16;torch.float16",
            "size_in_mb": _LEAST_BYTES / _MEBIBYTE,
            "exclude_primals": True,  # weights are there anyway
            "use_scaling": True,
        }
        options = {"activation_quantization_aten_pass": settings}
        return Partitioned(module, lambda: torch._inductor.config.patch(post_grad_fusion_options=options))
