"""What stands on a command line, as values: seeds and settings (ours)."""

from collections.abc import Sequence
from numbers import Integral

from hfkd.parameters import literal

LARGEST, MANY = 10**9, 1_000  # seeds are at most this large, and at most so many


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text: single numbers and ranges with both ends, "0-4" or "0,3,7-9".

    Raises:
        ValueError: another form, a seed twice, too large a seed or too many.

    >>> parse_seeds("0-2,7")
    (0, 1, 2, 7)
    """
    try:
        spans = [[int(end) for end in part.split("-")] for part in str(text).split(",")]
        many = sum(span[-1] - span[0] + 1 for span in spans)  # counted before a long range is written out
        if many > MANY or any(len(span) > 2 or not span[0] <= span[-1] <= LARGEST for span in spans):
            raise ValueError
        seeds = tuple(seed for span in spans for seed in range(span[0], span[-1] + 1))
        if len(set(seeds)) < len(seeds):
            raise ValueError
    except ValueError:
        expected = f"numbers and ranges such as 0-4 or 0,3,7-9, {MANY} at most, up to {LARGEST}, each once"
        raise ValueError(f"seeds is {text!r}; expected {expected}") from None
    return seeds


def repeats(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds as they are.

    Raises:
        ValueError: none at all, one twice, or one that is no integer from 0 to LARGEST.

    >>> repeats([3, 1])
    (3, 1)
    """
    fit = all(isinstance(seed, Integral) and 0 <= seed <= LARGEST for seed in seeds)
    if not fit or not 0 < len(seeds) == len(set(seeds)):
        raise ValueError(f"seeds are {list(seeds)}; expected integers >= 0, each once, up to {LARGEST}")
    return tuple(seeds)


def parse_set(assignments: list[str]) -> dict:
    """`name=value` texts (the command's --set) as overrides for `configure`; values are read as Python literals.

    Raises:
        ValueError: a text without `=`.

    >>> parse_set(["alpha=0.5", "rule=random", "fan_out=None"])
    {'alpha': 0.5, 'rule': 'random', 'fan_out': None}
    """
    overrides = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set {text!r} has no '='; expected name=value, such as alpha=0.5")
        try:
            overrides[name.strip()] = literal(value.strip())
        except ValueError:
            overrides[name.strip()] = value.strip()
    return overrides
