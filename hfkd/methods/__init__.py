"""The methods: one short file per paper, each with

LOSS        its hard loss: plain cross-entropy or balanced softmax,
ALPHA       loss -> weight of soft knowledge, chosen on validation data of other seeds (data/results/tuning.csv),
WEIGHTING   its rule for the weight over the rounds: fixed or ramp,
SUMMARY     one line for `hfkd list methods`,
teach(signals, config, rng) -> Teaching    who is heard by whom, with which say about which class.
"""

from hfkd.methods import balanced_local, expertise_mean, fedmd, hfkd, hfkd_ramp, local

METHODS = {
    "local": local,
    "balanced_local": balanced_local,
    "fedmd": fedmd,
    "expertise_mean": expertise_mean,
    "hfkd": hfkd,
    "hfkd_ramp": hfkd_ramp,
}
