"""Figures, one function each: arrays or result rows in, a matplotlib Figure out. Nothing here imports torch (ours).

canvas (style, one colour per method, saving to the byte) <- annotate (labels at points) and panels (a panel per scene)
<- sketches (data, levels, assessment, rules), arrows (the matching), comparison (results).
"""

from hfkd.plots.arrows import fig_matching
from hfkd.plots.canvas import save
from hfkd.plots.comparison import fig_frontier, fig_levels, fig_rounds
from hfkd.plots.sketches import fig_assessment, fig_partition, fig_rules, fig_sizes

__all__ = ["fig_assessment", "fig_frontier", "fig_levels", "fig_matching", "fig_partition", "fig_rounds", "fig_rules",
           "fig_sizes", "save"]
