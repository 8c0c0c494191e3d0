"""Rate control for codecs whose bits depend on the image: a ladder of settings, the planned one first.

Each image takes the first rung whose stream fits into the map's allowance. The last rung has to fit always, so that no
image ever goes over the ceiling. The rung is stored as side information; how often a lower one was needed is recorded.
"""

from actbench.codec.rate_control.ladder import Ladder, Rung, stream_allowance
from actbench.codec.rate_control.planning import MARGIN, MOST_RUNGS, QUANTILE, LadderMethod
from actbench.codec.rate_control.pooled import Pooled

__all__ = ["MARGIN", "MOST_RUNGS", "QUANTILE", "Ladder", "LadderMethod", "Pooled", "Rung", "stream_allowance"]
