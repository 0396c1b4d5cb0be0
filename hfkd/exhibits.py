"""The figures of the artifact by name: which rows of which result file each one shows.

Notebooks and `hfkd render` draw from the same tables, so a figure in figures/ shows what the notebook shows.
"""

from hfkd import costs, disclosure, explaining, faults, journals, overview, paths, plots
from hfkd.eavesdropping import FEW
from hfkd.grids import BASE
from hfkd.results import load

SMALL = "peers=False,fan_in=3,fan_out=3,revenue="
_SHARP, _TWO, _DIAL = "revenue=labelled,revenue_temperature=0.2,revenue_personality=", "fan_in=2,rule=", "personality="
GROUPS = {  # figure -> heading -> variants, as differences to BASE
    "fig20_sides": {
        "teachers' beta": ["beta=0.0", "beta=0.1", "beta=0.5"],
        "images like one's own": ["prior_power=0.5", "prior_power=1.0"],
    },
    "fig30_members": {
        "members": ["peers=False", "feedback=False,peers=True", "feedback=False,peers=False", "include_self=False"],
        "say by revenue": ["revenue=labelled", _SHARP + "1.0", _SHARP + "0.0", "revenue=realised"],
        "matching by revenue": ["revenue=labelled,revenue_matching=0.5"],
        "do no harm": ["revenue=labelled,gate=True", "revenue=realised,gate=True"],
    },
    "fig50_knowledge": {
        "prior-free off": ["hard_loss=plain,pooling=log", "hard_loss=plain,pooling=arithmetic"],
        "pooling": ["pooling=arithmetic"],
        "divergence": ["kl_direction=student_first"],
    },
    "fig50_teaching": {
        "criteria, two teachers": [
            _TWO + rule for rule in ("coverage", "nearest", "uniformity", "complementarity", "random")
        ],
        "dial, two teachers": [f"{_TWO}coverage,{_DIAL}{value}" for value in ("0.0", "0.5", "1.0")],
        "number of teachers": ["fan_in=1", "fan_in=8"],
        "paths": ["max_gap=2"],
        "schedule": ["schedule=top_down", "schedule=bottom_up"],
    },
}


def effects(name, frame):
    """One of GROUPS as a figure of differences to BASE; frame: rows of its grid."""
    return plots.fig_effects(frame, BASE, groups=GROUPS[name])


def shapley(frame):
    """Say by revenue in groups of at most six partners, as differences to the same groups without revenue."""
    return plots.fig_effects(frame, f"{BASE}[{SMALL}none]", variants=[SMALL + "labelled", SMALL + "shapley"])


def price(comparison, rounds):
    """What a point costs at Dirichlet 0.1, each method by the better of its losses and readouts.

    comparison: rows of grid 40; rounds: as `costs.read` returns them.
    """
    main, best = _best(comparison)
    sharp = main[main["partition"].eq("dirichlet") & main["skew"].eq(0.1)]
    return plots.fig_price(sharp, rounds, best)


def _best(comparison):
    """Rows without the matching controls, and the better run of each method on validation data."""
    main = comparison[~comparison["variant"].str.contains("rule=|pooling=")]
    found = overview.chosen_runs(main, over=("hard_loss", "readout"))
    return main, [run for run in found if "weighting" not in run]


def kept_at_one() -> str:
    """What was asked of the matching made from counts at epsilon 1, and what the committed table says (METHOD 8).

    It was asked of clients with 300 records or more. There are smaller ones, which are matched as well: their share is
    told beside it.
    """
    table = disclosure.load(paths.RESULTS / "70_privacy.matching.csv")
    lost = 100 - 100 * table[table["epsilon"] == 1].groupby(["skew", "fan_in"])["kept"].mean()
    told = ", ".join(f"{loss:.2f} % (Dirichlet {skew:g}, up to {many})" for (skew, many), loss in lost.items())
    small = table.groupby("skew")["small"].mean()
    fewer = ", ".join(f"{100 * share:.0f} % (Dirichlet {skew:g})" for skew, share in small.items())
    verdict = "yes" if lost.max() <= 0.2 else "no"
    return (f"at epsilon 1 the matching loses 0.2 % at most: {verdict}\n  by the number of teachers allowed: {told}\n"
            f"  clients with fewer than {FEW} records, of whom that was not asked: {fewer}")  # fmt: skip


def say_of_liars() -> str:
    """What became of the say of label-flippers, by variant and skew, in the committed ledger."""
    ledger, lines = journals.load(paths.RESULTS / "70_faults.csv", "ledger"), []
    for (variant, skew), rows in ledger.groupby(["variant", "skew"]):
        lying, honest = (faults.trust(rows, 0.2, who)[1].mean(axis=1) for who in (True, False))
        own, others = (f"{means.iloc[0]:.4f} to {means.iloc[-1]:.4f}" for means in (lying, honest))
        when = f"{variant}, Dirichlet {skew:g}, first to last period"
        lines.append(f"{when}: say of a liar {own}, of an honest client {others}")
    return "\n".join(lines)


def committed() -> dict:
    """Name -> figure, all drawn from the committed results.

    Raises:
        FileNotFoundError: a result file is missing; the sentence names the command that makes it.
    """
    names = ("20_weighting", "30_group_distillation", "40_comparison", "40_comparison_depth", "50_ablations",
             "70_privacy", "70_faults")  # fmt: skip
    weighting, groups, comparison, depth, ablations, noisy, struck = (
        load(paths.RESULTS / f"{name}.csv") for name in names
    )
    ledger, private = paths.RESULTS / "30_group_distillation.csv", paths.RESULTS / "70_privacy.csv"
    matching, leak = (disclosure.load(disclosure.path_of(private, name)) for name in ("matching", "leak"))
    controls = comparison["variant"].str.contains("rule=|pooling=")
    main, best = _best(comparison)
    own = (comparison["method"] == "hfkd") & (comparison["variant"] == "") & (comparison["partition"] == "dirichlet")
    cost = costs.read()
    return {
        "fig20_curve": plots.fig_curve(weighting),
        "fig20_alpha": plots.fig_alpha(weighting),
        "fig20_sides": effects("fig20_sides", weighting),
        "fig30_members": effects("fig30_members", groups),
        "fig30_shapley": shapley(groups),
        "fig30_ledger": plots.fig_ledger(journals.load(ledger, "ledger")),
        "fig30_story": plots.fig_story(explaining.story(ledger, 5, skew=0.1)),
        "fig40_frontier": plots.fig_frontier(main),
        "fig40_controls": plots.fig_frontier(comparison[controls | own], baseline="hfkd"),
        "fig40_ranks": plots.fig_ranks(main, best),
        "fig40_bytes": plots.fig_bytes(main, best),
        "fig40_depth": plots.fig_frontier(depth),
        "fig40_levels": plots.fig_levels(main),
        "fig40_rounds": plots.fig_rounds(main),
        "fig50_knowledge": effects("fig50_knowledge", ablations),
        "fig50_teaching": effects("fig50_teaching", ablations),
        "fig50_transport": plots.fig_transport(ablations, BASE),
        "fig60_floor": plots.fig_floor(cost.rounds),
        "fig60_scale": plots.fig_scale(cost.rounds, cost.matched),
        "fig60_price": price(comparison, cost.rounds),
        "fig70_epsilon": plots.fig_epsilon(noisy, matching),
        "fig70_leak": plots.fig_leak(leak, matching),
        "fig70_faults": plots.fig_faults(struck),
        "fig70_trust": plots.fig_trust(journals.load(paths.RESULTS / "70_faults.csv", "ledger")),
    }
