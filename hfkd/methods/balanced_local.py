"""Balanced-Local: Local with the balanced softmax (Ren et al. 2020, 2007.10740). What the loss alone gains."""

from hfkd.methods.local import NEEDS, OWN, teach  # noqa: F401  the same teaching, nobody's

LOSS = "balanced"
CHOSEN = {"balanced": {}}
SUMMARY = "own data only, balanced softmax: what the loss alone gains"
