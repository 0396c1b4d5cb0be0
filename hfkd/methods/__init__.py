"""The methods: one short file per paper, each ends in a record (`engine.method.Method`) of what makes it what it is."""

from hfkd.methods.dml import DML
from hfkd.methods.dsfl import DSFL
from hfkd.methods.expertise_mean import EXPERTISE_MEAN
from hfkd.methods.fd import FD
from hfkd.methods.fedavg import FEDAVG
from hfkd.methods.feddf import FEDDF
from hfkd.methods.fedgh import FEDGH
from hfkd.methods.fedkd import FEDKD
from hfkd.methods.fedmd import FEDMD
from hfkd.methods.fedprox import FEDPROX
from hfkd.methods.fedproto import FEDPROTO
from hfkd.methods.fedtgp import FEDTGP
from hfkd.methods.fml import FML
from hfkd.methods.heterofl import HETEROFL
from hfkd.methods.hfkd import HFKD, HFKD_AVG, HFKD_RAMP
from hfkd.methods.inclusivefl import INCLUSIVEFL
from hfkd.methods.ktpfl import KTPFL
from hfkd.methods.lg_fedavg import LG_FEDAVG
from hfkd.methods.local import BALANCED_LOCAL, LOCAL
from hfkd.methods.rhfl import RHFL

METHODS = {method.name: method for method in (
    LOCAL, BALANCED_LOCAL,
    FEDAVG, FEDPROX, FEDDF, HETEROFL, INCLUSIVEFL,  # weights travel
    FEDMD, EXPERTISE_MEAN, DSFL, KTPFL, RHFL, DML,  # answers travel
    FML, FEDKD,  # a small network travels
    FD, FEDPROTO, FEDTGP, FEDGH, LG_FEDAVG,  # class means or heads travel
    HFKD, HFKD_RAMP, HFKD_AVG,
)}  # fmt: skip
