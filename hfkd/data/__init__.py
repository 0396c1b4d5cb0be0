"""Data sets and their split into a federation: who has which image; nothing here knows a method (ours)."""

from hfkd.data.datasets import NAMES, Dataset, load
from hfkd.data.files import fetch
from hfkd.data.partition import PARTITIONS, Split, split

__all__ = ["NAMES", "PARTITIONS", "Dataset", "Split", "fetch", "load", "split"]
