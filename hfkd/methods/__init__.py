"""The methods: one short file per paper, each with

BALANCED   whether its hard loss is the balanced softmax,
ALPHA      its weight of soft knowledge, chosen on validation data of other seeds (data/results/tuning.csv),
SUMMARY    one line for `hfkd list methods`,
teach(counts, levels, config, rng) -> Teaching    who is heard by whom, with which say about which class.
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
