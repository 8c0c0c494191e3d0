"""Rate control for codecs whose bits depend on the image: a ladder of settings, the planned one first.

Each image takes the first rung whose strings fit into the map's allowance. The last rung has to fit always, so that no
image ever goes over the ceiling. The rung is stored as side information; how often a lower one was needed is recorded.
A map is coded in granules of 8 rows, each a string of its own, so that it can be written and read a few rows at a time.
"""

from actbench.codec.rate_control.granules import GRANULE, sum_over_granules
from actbench.codec.rate_control.ladder import Ladder, stream_allowance
from actbench.codec.rate_control.planning import MARGIN, MOST_RUNGS, QUANTILE, LadderMethod
from actbench.codec.rate_control.pooled import Pooled
from actbench.codec.rate_control.rung import Rung

__all__ = [
    "GRANULE",
    "MARGIN",
    "MOST_RUNGS",
    "QUANTILE",
    "Ladder",
    "LadderMethod",
    "Pooled",
    "Rung",
    "stream_allowance",
    "sum_over_granules",
]
