"""The methods: a short file per paper, or for papers of one idea; each ends in records (`engine.method.Method`)."""

from dataclasses import replace

from hfkd.methods import (
    alternating, chosen, consensus, fd, fedavg, feddf, fedgh, fedkd, fedproto, fedrod, fedtgp, fml, heterofl, hfkd,
    inclusivefl, ktpfl, local, rhfl, suwa,
)  # fmt: skip

METHODS = {method.name: replace(method, tuned=chosen.CHOSEN[method.name]) for method in (
    local.LOCAL, local.BALANCED_LOCAL, local.LABELLED_PUBLIC,
    hfkd.HFKD, consensus.FEDMD, consensus.EXPERTISE_MEAN, consensus.DSFL, consensus.SCARLET, suwa.SUWA, ktpfl.KTPFL,
    rhfl.RHFL, consensus.DML,  # answers travel
    fd.FD, fedproto.FEDPROTO, fedtgp.FEDTGP, fedgh.FEDGH, fedavg.LG_FEDAVG,  # class means or heads travel
    fml.FML, fedkd.FEDKD, alternating.ALTERNATING,  # a network beside one's own travels
    fedavg.FEDAVG, fedavg.FEDAVG_FT, fedavg.FEDPROX, fedrod.FEDROD, feddf.FEDDF,  # weights, within a level
    feddf.HFKD_NESTED, heterofl.HETEROFL, feddf.FEDDF_NESTED, inclusivefl.INCLUSIVEFL,  # weights, nested levels
)}  # fmt: skip
