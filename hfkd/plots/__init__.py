"""Figures with seaborn and matplotlib: rows or arrays in, a Figure out; nothing here imports torch (ours)."""

import json

import pandas as pd

from hfkd import paths
from hfkd.matching import match
from hfkd.plots.data import fig_assessment, fig_coverage, fig_matching, fig_partition
from hfkd.plots.effects import fig_budget, fig_effects, fig_floor, fig_ledger, fig_levels
from hfkd.plots.frontier import fig_alpha, fig_curve, fig_frontier
from hfkd.plots.style import save
from hfkd.study.results import HONEST, PRIMARY, SCENE, STUDENTS, load

SHARP = "revenue=labelled,revenue_temperature=0.2,revenue_personality="
STRUCK = {"a fifth absent": "dropout=0.2", "a fifth late": "straggling=0.2",
          "a fifth lies: classes shifted": "liars=0.2,lie=flip", "a fifth lies: other images": "liars=0.2,lie=random",
          "a fifth lies: constant": "liars=0.2,lie=constant", "a fifth lies: all one class": "liars=0.2,lie=collude"}
CRITERIA = ("coverage", "complementarity", "uniformity", "similarity")
ALONE, TEACHERS = "feedback=False,peers=False,", {1: "one teacher", 2: "two teachers", 4: "four teachers"}


def _rules(group: str, rules: tuple) -> dict:
    """Number of teachers -> rule -> its variant, and that of teachers at random, which is 0."""
    return {words: {rule: (f"fan_in={k},{group}rule={rule}", f"fan_in={k},{group}rule=random") for rule in rules}
            for k, words in TEACHERS.items()}  # fmt: skip


IMAGES = 1_000 * 28 * 28  # bytes of the public images of `lite`
GROUPS = {  # figure -> heading -> words of a row -> variant, as differences to the method without one, or to a second
    "alone": _rules(ALONE, CRITERIA), "group": _rules("", (*CRITERIA, "mutual")),
    "doses": {
        "teachers listen": {"not at all (beta 0)": "beta=0.0", "beta 0.1": "beta=0.1", "beta 0.5": "beta=0.5"},
        "sharpness": {"gamma 1 (none)": "gamma=1.0", "gamma 1.5": "gamma=1.5", "gamma 3": "gamma=3.0"},
        "digest": {"none": "digest=0", "two passes": "digest=2"}},
    "members": {
        "members": {"without peers": "peers=False", "without feedback": "feedback=False,peers=True",
                    "teachers only": "feedback=False,peers=False", "without own answers": "include_self=False"},
        "say by revenue": {"own labels": "revenue=labelled", "own labels, sharp": SHARP + "1.0",
                           "all classes alike, sharp": SHARP + "0.0"},
        "order": {"top down": "schedule=top_down", "bottom up": "schedule=bottom_up"}},
    "parts": {
        "without": {"prior-free loss": "hard_loss=plain", "log pooling": "pooling=arithmetic",
                    "say by samples": "power=0.0", "sharpening": "gamma=1.0", "alignment": "kappa=0.0",
                    "digest": "digest=0", "mixup": "mixup=0.0",
                    "all of these four": "gamma=1.0,kappa=0.0,digest=0,mixup=0.0", "the second own epoch": "epochs=1"},
        "otherwise": {"full alignment (kappa 1)": "kappa=1.0",  # student first: 40 points away, in the table alone
                      "temperature 2": "temperature=2.0", "100 images a round": "spoken=100",
                      "300 public images": "public_size=300", "3,000 public images": "public_size=3000"},
        "teachers": {"at random": "rule=random", "all admissible": "rule=all", "one": "fan_in=1",
                     "up to eight": "fan_in=8", "up to two levels apart": "max_gap=2",
                     "similarity alone": "personality=1.0", "cover alone": "personality=0.0"},
        "public images of skewed labels, against kappa 0": {
            f"kappa {kappa}": (f"public_skew=1.0,kappa={kappa}", "public_skew=1.0,kappa=0.0") for kappa in (0.5, 1.0)}},
    "epsilon": {"released label counts": {f"epsilon {each}": f"epsilon={each}" for each in (0.1, 0.3, 1.0, 3.0, 10.0)}},
    "faults": {
        "equal say": {**STRUCK, "a fifth not finite": "exploding=0.2"},
        "sharp revenue": {"no fault": SHARP + "0.0"} | {name: f"{lie},{SHARP}0.0" for name, lie in STRUCK.items()}},
}  # fmt: skip


def fig_criteria(frame: pd.DataFrame, group: str):
    """RQ1: what each criterion gains over teachers at random. group: "alone", students that hear teachers alone, or
    "group", everybody in whole groups; of the scenes in which all were run.
    """
    wanted = {variant for part in GROUPS[group].values() for pair in part.values() for variant in pair}
    there = frame[frame["variant"].isin(wanted)].groupby(SCENE)["variant"].transform("nunique") == len(wanted)
    metrics = STUDENTS if group == "alone" else PRIMARY
    return fig_effects(frame.loc[there[there].index], "hfkd", GROUPS[group], metrics, "teachers at random")


def committed() -> dict:
    """Name -> figure from data/results, figures/figNAME.png."""
    matching, weighting, groups, comparison, rounds, depth, ablations, noisy, struck = (
        load(paths.RESULTS / f"{name}.csv") for name in (
            "10_matching", "20_weighting", "30_group_distillation", "40_comparison", "40_comparison_rounds",
            "40_comparison_depth", "50_ablations", "70_privacy", "70_faults"))  # fmt: skip
    book = pd.read_csv(paths.RESULTS / "counts.csv").query("skew == 0.1 and seed == 0")
    counts, levels = book.filter(regex=r"^c\d+$").to_numpy(), book["level"].to_numpy()
    return {
        "00_partition": fig_partition(counts, levels),
        "10_assessment": fig_assessment(counts, levels),
        "10_matching": fig_matching(counts, levels, match(counts, levels, fan_in=2)),
        "10_alone": fig_criteria(matching, "alone"),
        "10_group": fig_criteria(matching, "group"),
        "10_coverage": fig_coverage(pd.read_csv(paths.RESULTS / "10_matching.clients.csv", keep_default_na=False)),
        "20_curve": fig_curve(weighting),
        "20_alpha": fig_alpha(weighting),
        "20_doses": fig_effects(weighting, "hfkd", GROUPS["doses"]),
        "30_members": fig_effects(groups, "hfkd", GROUPS["members"]),
        "30_ledger": fig_ledger(pd.read_csv(paths.RESULTS / "30_group_distillation.ledger.csv")),
        "40_frontier": fig_frontier(comparison),
        "40_budget": fig_budget(rounds, IMAGES),
        "40_levels": fig_levels(comparison),
        "40_depth": fig_frontier(depth),
        "50_parts": fig_effects(ablations, "hfkd", GROUPS["parts"]),
        "60_floor": fig_floor(json.loads((paths.RESULTS / "60_cost_and_scale.json").read_text("utf-8"))["rounds"]),
        "70_epsilon": fig_effects(noisy, "hfkd", GROUPS["epsilon"]),
        "70_faults": fig_effects(struck, "hfkd", GROUPS["faults"], HONEST),
    }
