"""Experiments: what is run, what is kept of it, what it says; `results`, `compare` and `claims` never import torch."""
