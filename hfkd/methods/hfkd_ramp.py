"""HFKD with the ramp of the authors' code (myth646/FedKDMR): alpha grows linearly from 0; all else as HFKD."""

from hfkd.methods.hfkd import LOSS, NEEDS, teach  # noqa: F401

CHOSEN = {"balanced": {"alpha": 1.0}}
OWN = {"weighting": "ramp"}
SUMMARY = "HFKD with the authors' ramp of alpha"
