"""SCARLET's aggregation: the mean of everybody's predictions, sharpened by a power (Azuma et al. 2025, 2504.19602).

Enhanced ERA, q ~ (mean_j p_j)^beta, in place of DS-FL's temperature; beta is our gamma. Its cache of soft labels, which
saves bytes, is left out.
"""

from hfkd.engine.method import Method
from hfkd.methods.fedmd import decide

SCARLET = Method("scarlet", "SCARLET (2504.19602): the mean of everybody's predictions, sharpened by a power",
                 decide=decide, needs=("public",), settings={"pooling": "arithmetic", "digest": 1})
