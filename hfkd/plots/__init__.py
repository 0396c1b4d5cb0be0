"""Figures with seaborn and matplotlib: rows or arrays in, a Figure out; nothing here imports torch (ours)."""

import json

import pandas as pd

from hfkd import paths
from hfkd.matching import Paths, match
from hfkd.plots.data import fig_assessment, fig_matching, fig_partition, fig_rules
from hfkd.plots.effects import fig_effects, fig_epsilon, fig_floor, fig_ledger, fig_levels, fig_rounds
from hfkd.plots.frontier import fig_alpha, fig_bytes, fig_curve, fig_frontier
from hfkd.plots.style import save
from hfkd.study.results import HONEST, load

SHARP = "revenue=labelled,revenue_temperature=0.2,revenue_personality="
LIES = {"20 % lie: classes shifted": "liars=0.2,lie=flip", "20 % lie: other images": "liars=0.2,lie=random",
        "20 % lie: constant": "liars=0.2,lie=constant", "20 % lie: all for one class": "liars=0.2,lie=collude"}
CRITERIA = ("coverage", "similarity", "uniformity", "complementarity", "random")
GROUPS = {  # figure -> heading -> words of a row -> variant, as differences to the method without one
    "sides": {"teachers listen": {"not at all (beta 0)": "beta=0.0", "beta 0.1": "beta=0.1", "beta 0.5": "beta=0.5"}},
    "members": {
        "members": {"without peers": "peers=False", "without feedback": "feedback=False,peers=True",
                    "teachers only": "feedback=False,peers=False", "without own answers": "include_self=False"},
        "say by revenue": {"own labels": "revenue=labelled", "own labels, sharp": SHARP + "1.0",
                           "all classes alike, sharp": SHARP + "0.0"}},
    "knowledge": {
        "prior-free loss off": {"log pooling": "hard_loss=plain,pooling=log",
                                "arithmetic pooling": "hard_loss=plain,pooling=arithmetic"},
        "prior-free loss on": {"arithmetic pooling": "pooling=arithmetic", "100 images a round": "spoken=100",
                               "student-first divergence": "kl_direction=student_first"}},
    "teaching": {
        "two teachers by": {rule: f"fan_in=2,rule={rule}" for rule in CRITERIA},
        "dial of coverage": {f"dial {eta}": f"fan_in=2,rule=coverage,personality={eta}" for eta in (0.0, 0.5, 1.0)},
        "paths": {"one teacher": "fan_in=1", "up to eight teachers": "fan_in=8", "up to two levels apart": "max_gap=2"},
        "order": {"top down": "schedule=top_down", "bottom up": "schedule=bottom_up"}},
    "faults": {
        "equal say": {"30 % absent": "dropout=0.3", "30 % late": "straggling=0.3", "20 % not finite": "exploding=0.2",
                      **LIES},
        "sharp revenue": {"no fault": SHARP + "0.0"} | {name: f"{lie},{SHARP}0.0" for name, lie in LIES.items()}},
}  # fmt: skip


def committed() -> dict:
    """Name -> figure from data/results, figures/figNAME.png. Raises: FileNotFoundError, if a result file is missing."""
    weighting, groups, comparison, depth, ablations, noisy, struck = (load(paths.RESULTS / f"{name}.csv") for name in (
        "20_weighting", "30_group_distillation", "40_comparison", "40_comparison_depth", "50_ablations", "70_privacy",
        "70_faults"))  # fmt: skip
    book = pd.read_csv(paths.RESULTS / "counts.csv").query("skew == 0.1 and seed == 0")
    counts, levels = book.filter(regex=r"^c\d+$").to_numpy(), book["level"].to_numpy()
    return {
        "00_partition": fig_partition(counts, levels),
        "10_assessment": fig_assessment(counts, levels),
        "10_matching": fig_matching(counts, levels, match(counts, Paths(levels)).edges),
        "20_curve": fig_curve(weighting),
        "20_alpha": fig_alpha(weighting),
        "20_sides": fig_effects(weighting, "hfkd", GROUPS["sides"]),
        "30_members": fig_effects(groups, "hfkd", GROUPS["members"]),
        "30_ledger": fig_ledger(pd.read_csv(paths.RESULTS / "30_group_distillation.ledger.csv")),
        "40_frontier": fig_frontier(comparison),
        "40_bytes": fig_bytes(comparison),
        "40_levels": fig_levels(comparison),
        "40_rounds": fig_rounds(comparison),
        "40_depth": fig_frontier(depth),
        "50_knowledge": fig_effects(ablations, "hfkd", GROUPS["knowledge"]),
        "50_teaching": fig_effects(ablations, "hfkd", GROUPS["teaching"]),
        "60_floor": fig_floor(json.loads((paths.RESULTS / "60_cost_and_scale.json").read_text("utf-8"))["rounds"]),
        "70_epsilon": fig_epsilon(noisy),
        "70_faults": fig_effects(struck, "hfkd", GROUPS["faults"], HONEST),
    }
