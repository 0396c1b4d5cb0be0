"""What stands on a command line, as values: seeds and settings (ours)."""

import ast


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text: single numbers and ranges with both ends, "0-4" or "0,3,7-9".

    >>> parse_seeds("0-2,7")
    (0, 1, 2, 7)
    """
    try:
        spans = [part.split("-") for part in str(text).split(",")]
        seeds = [seed for span in spans for seed in range(int(span[0]), int(span[-1]) + 1)]
        if any(len(span) > 2 or int(span[-1]) < int(span[0]) for span in spans) or len(set(seeds)) < len(seeds):
            raise ValueError
    except ValueError:
        raise ValueError(f"seeds is {text!r}; expected numbers and ranges such as 0-4 or 0,3,7-9, each once") from None
    return tuple(seeds)


def parse_set(assignments: list[str]) -> dict:
    """`name=value` texts (the command's --set) as overrides for `configure`; values are read as Python literals.

    >>> parse_set(["alpha=0.5", "rule=random", "fan_out=None"])
    {'alpha': 0.5, 'rule': 'random', 'fan_out': None}
    """
    overrides = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set {text!r} has no '='; expected name=value, such as alpha=0.5")
        try:
            overrides[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            overrides[name.strip()] = value.strip()
    return overrides
