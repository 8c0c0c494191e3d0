"""The references: every map as it is, with the layers that nothing is done to, and with those of the training track."""

from collections.abc import Mapping

from typing_extensions import override

from actbench.codec import Budget, MapStatistics, Method, Network, PlainCodec, Plan


class Uncompressed(Method):
    """Stores every map as it is: `x̂ = x`, in C·H·W·32 bits. A network that trains keeps what torch keeps."""

    @override
    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        return Plan({fmap.name: PlainCodec(None) for fmap in network.maps})

    @override
    def plan_saving(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        return Plan({})


class Mechanism(Method):
    """Saves every trained layer's input as it is, in fp32, through the layers that all codecs stand in: what these save
    by themselves, by masks and by normalisations, no method earns."""

    @override
    def plan_saving(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        return Plan({fmap.name: PlainCodec(None) for fmap in network.maps})
