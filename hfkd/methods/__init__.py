"""The methods: one short file per paper, each ends in a record (`engine.method.Method`) of what makes it what it is."""

from hfkd.methods import (
    dml, dsfl, expertise_mean, fd, fedavg, feddf, fedgh, fedkd, fedmd, fedprox, fedproto, fedtgp, fml, heterofl, hfkd,
    inclusivefl, ktpfl, lg_fedavg, local, rhfl,
)  # fmt: skip

METHODS = {method.name: method for method in (
    local.LOCAL, local.BALANCED_LOCAL,
    fedavg.FEDAVG, fedprox.FEDPROX, feddf.FEDDF, heterofl.HETEROFL, inclusivefl.INCLUSIVEFL,  # weights travel
    fedmd.FEDMD, expertise_mean.EXPERTISE_MEAN, dsfl.DSFL, ktpfl.KTPFL, rhfl.RHFL, dml.DML,  # answers travel
    fml.FML, fedkd.FEDKD,  # a small network travels
    fd.FD, fedproto.FEDPROTO, fedtgp.FEDTGP, fedgh.FEDGH, lg_fedavg.LG_FEDAVG,  # class means or heads travel
    hfkd.HFKD, hfkd.HFKD_RAMP, hfkd.HFKD_AVG,
)}  # fmt: skip
