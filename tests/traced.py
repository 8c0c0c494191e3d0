"""Traced networks for tests."""

from actbench.network.trace import TracedNetwork


def in_fp64(network: TracedNetwork) -> TracedNetwork:
    """The same network in fp64, so that rounding hides nothing: a trace is in fp32."""
    network.module.double()
    return network
