"""Figures, one function each: arrays or result rows in, a matplotlib Figure out. Nothing here imports torch (ours).

phrases (variants in words) <- looks (name, colour and marker of each method, the legend of many) and canvas (style,
saving to the byte) <- annotate (labels at points), panels (a panel per scene) and margins (limits, lines, labels at
their ends) <- points (a point per run, few or many) <- sketches (data, levels, assessment, rules), arrows (the
matching), frontier, heat, comparison and ranking (results: endpoints, levels, rounds, ranks and bytes), weights (RQ2),
groups (RQ3 and ablations), transport (bytes of one method), cost and price (seconds), stories (one client), faults
(costs, liars' say), privacy (noise, leak).
"""

from hfkd.plots.arrows import fig_matching
from hfkd.plots.canvas import save
from hfkd.plots.comparison import fig_rounds
from hfkd.plots.cost import fig_floor, fig_scale
from hfkd.plots.faults import fig_faults, fig_trust
from hfkd.plots.frontier import fig_frontier
from hfkd.plots.groups import fig_effects, fig_ledger
from hfkd.plots.heat import fig_levels
from hfkd.plots.price import fig_price
from hfkd.plots.privacy import fig_epsilon, fig_leak
from hfkd.plots.ranking import fig_bytes, fig_ranks
from hfkd.plots.sketches import fig_assessment, fig_partition, fig_rules, fig_sizes
from hfkd.plots.stories import fig_story
from hfkd.plots.transport import fig_transport
from hfkd.plots.weights import fig_alpha, fig_curve

__all__ = ["fig_alpha", "fig_assessment", "fig_bytes", "fig_curve", "fig_effects", "fig_epsilon", "fig_faults",
           "fig_floor", "fig_frontier", "fig_leak", "fig_ledger", "fig_levels", "fig_matching", "fig_partition",
           "fig_price", "fig_ranks", "fig_rounds", "fig_rules", "fig_scale", "fig_sizes", "fig_story", "fig_transport",
           "fig_trust", "save"]
