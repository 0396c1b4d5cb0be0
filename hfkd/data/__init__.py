"""Data sets and their split into a federation: who has which image; nothing here knows a method (ours)."""

from hfkd.data.datasets import NAMES, Dataset, load
from hfkd.data.files import fetch
from hfkd.data.partition import PARTITIONS, Split, check_sizes, draw_levels, split

__all__ = ["NAMES", "PARTITIONS", "Dataset", "Split", "check_sizes", "draw_levels", "fetch", "load", "split"]
