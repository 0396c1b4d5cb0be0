"""Local: every client trains on its own data with cross-entropy and hears nobody. The row that every table needs.

Balanced-Local is the same with the balanced softmax (Ren et al. 2020, 2007.10740): what the loss alone gains.
"""

from hfkd.engine.method import Method

LOCAL = Method("local", "own data only, plain cross-entropy")
BALANCED_LOCAL = Method("balanced_local", "own data only, balanced softmax: what the loss alone gains", loss="balanced")
