"""The methods: one short file per paper. Each says

LOSS        its hard loss: plain cross-entropy or balanced softmax,
OWN         settings that make it what it is, such as a rule for its weight,
CHOSEN      loss -> its one tuned setting, chosen on validation data of other seeds (data/results/tuning*.csv),
NEEDS       what it cannot do without, names of hfkd.needs.NEEDS; without "public" it is data-free,
SUMMARY     one line for `hfkd list methods`,
teach(signals, config, rng) -> Teaching    who is heard by whom, with which say about which class;

and, where answers pooled by a W known beforehand are not all of it,

hear(state, config, lessons, said) -> (z * N, n, c)    the soft targets made of the answers,
loss(module, weights, x, y, prior, *given) -> (b,)     its loss on the private batch, of every member,
given(state, config, cohort) -> tuple                  what that reads beside the batch, members first,
begin(state, config, seeds)                            before the first round,
exchange(state, config, round)                         after a round: what travels that is no answer, and its bytes,
answers(state, cohort, images, at) -> (b, n, c)        scores of the classes where it predicts by prototypes.
"""

from hfkd.methods import (
    balanced_local, dml, dsfl, expertise_mean, fd, fedavg, feddf, fedgh, fedkd, fedmd, fedprox, fedproto, fedtgp, fml,
    heterofl, hfkd, hfkd_avg, hfkd_ramp, inclusivefl, ktpfl, lg_fedavg, local, rhfl,
)  # fmt: skip

METHODS = {
    "local": local,
    "balanced_local": balanced_local,
    "fedavg": fedavg,
    "fedprox": fedprox,
    "heterofl": heterofl,
    "inclusivefl": inclusivefl,
    "feddf": feddf,
    "fedmd": fedmd,
    "expertise_mean": expertise_mean,
    "dsfl": dsfl,
    "ktpfl": ktpfl,
    "rhfl": rhfl,
    "dml": dml,
    "fml": fml,
    "fedkd": fedkd,
    "fd": fd,
    "fedproto": fedproto,
    "fedtgp": fedtgp,
    "fedgh": fedgh,
    "lg_fedavg": lg_fedavg,
    "hfkd": hfkd,
    "hfkd_ramp": hfkd_ramp,
    "hfkd_avg": hfkd_avg,
}
