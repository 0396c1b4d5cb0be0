"""The methods: a short file per paper, or for papers of one idea; each ends in records (`engine.method.Method`).

One more: a file with a record here, the record among METHODS below, its family in METHODS of `plots/style.py`, and what
validation chose for it in `chosen.py`: without, it has one own epoch at rate 0.01, while all others are tuned."""

from dataclasses import replace

from hfkd.methods import (
    alternating, chosen, consensus, fedavg, feddf, fedrod, heterofl, hfkd, inclusivefl, ktpfl, local, messengers,
    prototypes, rhfl, suwa,
)  # fmt: skip

METHODS = {method.name: replace(method, tuned=chosen.CHOSEN.get(method.name, {})) for method in (
    local.LOCAL, local.BALANCED_LOCAL, local.LABELLED_PUBLIC,
    hfkd.HFKD, consensus.FEDMD, consensus.EXPERTISE_MEAN, consensus.DSFL, consensus.SCARLET, suwa.SUWA, ktpfl.KTPFL,
    rhfl.RHFL, consensus.DML,  # answers travel
    prototypes.FD, prototypes.FEDPROTO, prototypes.FEDTGP, prototypes.FEDGH,  # class means travel
    fedavg.LG_FEDAVG, messengers.FML, messengers.FEDKD, alternating.ALTERNATING,  # a head or network travels
    fedavg.FEDAVG, fedavg.FEDAVG_FT, fedavg.FEDPROX, fedrod.FEDROD, feddf.FEDDF,  # weights, within a level
    feddf.HFKD_NESTED, heterofl.HETEROFL, feddf.FEDDF_NESTED, inclusivefl.INCLUSIVEFL,  # weights, nested levels
)}  # fmt: skip
