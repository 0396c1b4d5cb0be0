"""What validation chose for every method: one table (ours; grids tuning_loss, _epochs, _rates, _numbers and _edges).

Chosen is the highest sum of validation personality and consistency at the last round, mean of Dirichlet .1 and .5 on
seeds 100 to 102, which no table uses. What was tried, and in which order, is in `study/grids.py` and REPRODUCE.md.
"""

_EVEN = {"hard_loss": "balanced"}  # better than the published loss for all but FedProto
CHOSEN = {  # name -> fields of Config
    "local": {"epochs": 6, "lr": 0.005},
    "balanced_local": {**_EVEN, "epochs": 2, "lr": 0.005},
    "labelled_public": {**_EVEN, "epochs": 2, "lr": 0.002},
    "hfkd": {**_EVEN, "epochs": 2, "lr": 0.01, "alpha": 0.35},
    "fedmd": {**_EVEN, "epochs": 5, "lr": 0.005, "alpha": 0.0},
    "expertise_mean": {**_EVEN, "epochs": 2, "lr": 0.01, "alpha": 0.2},
    "dsfl": {**_EVEN, "epochs": 5, "lr": 0.005, "alpha": 0.0},
    "scarlet": {**_EVEN, "epochs": 4, "lr": 0.01, "gamma": 2.0},
    "suwa": {**_EVEN, "epochs": 5, "lr": 0.005, "alpha": 0.0},
    "ktpfl": {**_EVEN, "epochs": 2, "lr": 0.01, "alpha": 0.1},
    "rhfl": {**_EVEN, "epochs": 5, "lr": 0.005, "alpha": 0.0},
    "dml": {**_EVEN, "epochs": 5, "lr": 0.005, "alpha": 0.0},
    "fd": {**_EVEN, "epochs": 2, "lr": 0.005, "strength": 0.03},
    "fedproto": {"epochs": 6, "lr": 0.01, "strength": 0.003, "readout": "corrected"},
    "fedtgp": {**_EVEN, "epochs": 6, "lr": 0.01, "strength": 0.003, "readout": "prior"},
    "fedgh": {**_EVEN, "epochs": 3, "lr": 0.005, "strength": 0.1},
    "lg_fedavg": {**_EVEN, "epochs": 6, "lr": 0.005},
    "fml": {**_EVEN, "epochs": 2, "lr": 0.01, "strength": 0.1},
    "fedkd": {**_EVEN, "epochs": 2, "lr": 0.005, "strength": 0.03},
    "alternating": {**_EVEN, "epochs": 3, "lr": 0.01, "alpha": 0.2},
    "fedavg": {**_EVEN, "epochs": 6, "lr": 0.01},
    "fedavg_ft": {**_EVEN, "epochs": 6, "lr": 0.01, "strength": 2.0},
    "fedprox": {**_EVEN, "epochs": 6, "lr": 0.02, "strength": 0.03},
    "fedrod": {**_EVEN, "epochs": 6, "lr": 0.01},
    "feddf": {**_EVEN, "epochs": 6, "lr": 0.01, "strength": 0.003},
    "hfkd_nested": {**_EVEN, "epochs": 6, "lr": 0.01, "strength": 0.01},
    "heterofl": {**_EVEN, "epochs": 6, "lr": 0.01},
    "feddf_nested": {**_EVEN, "epochs": 6, "lr": 0.02, "strength": 0.01},
    "inclusivefl": {**_EVEN, "epochs": 6, "lr": 0.02, "strength": 0.1},
}
