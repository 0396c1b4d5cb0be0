"""Experiments: what is run, what is kept of it, what it says.

`grids` and `experiments` run cells, `results` makes one summary of them, `compare` reads differences off it, `claims`
holds the paper's sentences against it, `bench` times a round. `results`, `compare` and `claims` never import torch.
"""
