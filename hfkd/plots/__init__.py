"""Figures, one function each: arrays or result rows in, a matplotlib Figure out. Nothing here imports torch (ours).

phrases (variants in words) <- canvas (style, one colour per method, saving to the byte) <- annotate (labels at points),
panels (a panel per scene) and margins (limits, lines, labels at their ends) <- sketches (data, levels, assessment,
rules), arrows (the matching), comparison (results), weights (RQ2), groups (RQ3 and ablations), transport (bytes),
stories (one client).
"""

from hfkd.plots.arrows import fig_matching
from hfkd.plots.canvas import save
from hfkd.plots.comparison import fig_frontier, fig_levels, fig_rounds
from hfkd.plots.groups import fig_effects, fig_ledger
from hfkd.plots.sketches import fig_assessment, fig_partition, fig_rules, fig_sizes
from hfkd.plots.stories import fig_story
from hfkd.plots.transport import fig_transport
from hfkd.plots.weights import fig_alpha, fig_curve

__all__ = ["fig_alpha", "fig_assessment", "fig_curve", "fig_effects", "fig_frontier", "fig_ledger", "fig_levels",
           "fig_matching", "fig_partition", "fig_rounds", "fig_rules", "fig_sizes", "fig_story", "fig_transport",
           "save"]
