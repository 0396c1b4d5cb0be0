"""HFKD with the ramp of the authors' code (myth646/FedKDMR): alpha grows linearly from 0; all else as HFKD."""

from hfkd.methods.hfkd import LOSS, teach  # noqa: F401

ALPHA = {"balanced": 1.0}
WEIGHTING = "ramp"
SUMMARY = "HFKD with the authors' ramp of alpha"
