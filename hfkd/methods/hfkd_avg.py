"""HFKD whose levels also average their weights: FedAvg within a level, HFKD's groups over the levels (ours).

What a referee asks of any distillation between networks of which some could simply be averaged: does one add to the
other? All else is as in HFKD, with a fixed alpha; both messages are counted.
"""

from hfkd.methods.fedavg import begin, exchange  # noqa: F401
from hfkd.methods.hfkd import LOSS, NEEDS, OWN, teach  # noqa: F401

CHOSEN = {"balanced": {"alpha": 0.1}}
SUMMARY = "HFKD, and the weights averaged within each level"
