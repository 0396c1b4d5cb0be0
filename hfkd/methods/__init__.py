"""The methods: one short file per paper, each ends in a record (`engine.method.Method`) of what makes it what it is."""

from dataclasses import replace

from hfkd.methods import (
    alternating, chosen, dml, dsfl, expertise_mean, fd, fedavg, fedavg_ft, feddf, fedgh, fedkd, fedmd, fedprox,
    fedproto, fedrod, fedtgp, fml, heterofl, hfkd, hfkd_nested, inclusivefl, ktpfl, labelled_public, lg_fedavg, local,
    rhfl, scarlet, suwa,
)  # fmt: skip

METHODS = {method.name: replace(method, tuned=chosen.CHOSEN[method.name]) for method in (
    local.LOCAL, local.BALANCED_LOCAL, labelled_public.LABELLED_PUBLIC,
    hfkd.HFKD, fedmd.FEDMD, expertise_mean.EXPERTISE_MEAN, dsfl.DSFL, scarlet.SCARLET, suwa.SUWA, ktpfl.KTPFL,
    rhfl.RHFL, dml.DML,  # answers travel
    fd.FD, fedproto.FEDPROTO, fedtgp.FEDTGP, fedgh.FEDGH, lg_fedavg.LG_FEDAVG,  # class means or heads travel
    fml.FML, fedkd.FEDKD, alternating.ALTERNATING,  # a network beside one's own travels
    fedavg.FEDAVG, fedavg_ft.FEDAVG_FT, fedprox.FEDPROX, fedrod.FEDROD, feddf.FEDDF,  # weights, within a level
    hfkd_nested.HFKD_NESTED, heterofl.HETEROFL, feddf.FEDDF_NESTED, inclusivefl.INCLUSIVEFL,  # weights, nested levels
)}  # fmt: skip
