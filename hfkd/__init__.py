"""hfkd: knowledge distillation in heterogeneous federated learning, the reference artifact.

    >>> import hfkd
    >>> frame = hfkd.run_grid("40", profile="smoke", seeds=(0,))      # doctest: +SKIP
    >>> hfkd.fig_frontier(frame)                                      # doctest: +SKIP

The public names, by hand. Names are loaded when they are first asked for, so that reading results never loads torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "data": ("load", "fetch"),
    "partition": ("split",),
    "levels": ("build", "sizes"),
    "assess": ("uniformity", "similarity", "union_gain", "affinity"),  # not coverage: a module has that name
    "matching": ("Paths", "match", "describe", "group"),
    "knowledge": ("log_prior", "teaching_weights", "pool", "predictions"),
    "privacy": ("release", "release_opendp"),
    "config": ("configure",),
    "experiments": ("run_grid", "run_one"),
    "results": ("save",),
    "endpoints": ("at_round", "per_seed", "summary"),
    "pairing": ("paired",),
    "curves": ("over_curve",),
    "revenue": ("shapley",),
    "explaining": ("story", "page"),
    "statistics": ("compare",),
    "overview": ("table", "chosen_runs"),
    "ranking": ("improvement", "ranks"),
    "claims": ("verdicts",),
    "plots.sketches": ("fig_partition", "fig_sizes", "fig_assessment", "fig_rules"),
    "plots.arrows": ("fig_matching",),
    "plots.frontier": ("fig_frontier",),
    "plots.heat": ("fig_levels",),
    "plots.comparison": ("fig_rounds",),
    "plots.ranking": ("fig_ranks", "fig_bytes"),
    "plots.weights": ("fig_curve", "fig_alpha"),
    "plots.groups": ("fig_effects", "fig_ledger"),
    "plots.transport": ("fig_transport",),
    "plots.stories": ("fig_story",),
    "plots.privacy": ("fig_epsilon", "fig_leak"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name):
    """The public name, from the module that defines it."""
    if name not in _MODULE:
        raise AttributeError(f"hfkd has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"hfkd.{_MODULE[name]}"), name)
