"""hfkd: knowledge distillation between clients of several capacity levels, the reference artifact.

    >>> import hfkd
    >>> frame = hfkd.rows("40")                                     # committed; profile="smoke" runs it

The public names, by hand, loaded when they are first asked for: what judges or draws results never loads torch.
"""

from importlib import import_module

__version__ = "0.2.0"
_HOME = {
    "data": "load fetch split", "matching": "Paths match group", "config": "configure", "methods": "METHODS",
    "assess": "distributions uniformity similarity union_gain coverage",
    "knowledge": "log_prior teaching_weights pool sharpen align mix predictions", "privacy": "release release_opendp",
    "engine.federation": "rounds", "engine.record": "run", "study.compare": "gains interval over_curve paired select",
    "study.grids": "GRIDS", "study.experiments": "rows run_grid run_one", "study.claims": "verdicts",
    "plots": "fig_partition fig_assessment fig_matching fig_criteria fig_coverage fig_frontier fig_curve fig_alpha "
             "fig_effects fig_epsilon fig_levels fig_budget fig_ledger fig_floor"}  # fmt: skip
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = sorted(_MODULE)


def __getattr__(name):
    if name not in _MODULE:
        raise AttributeError(f"hfkd has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"hfkd.{_MODULE[name]}"), name)
