"""The reference: every map as it is."""

from collections.abc import Mapping

from actbench.codec import Budget, MapStatistics, Method, Network, PlainCodec, Plan


class Uncompressed(Method):
    """Stores every map as it is: `x̂ = x`, in C·H·W·32 bits."""

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        return Plan({fmap.name: PlainCodec(None) for fmap in network.maps})
