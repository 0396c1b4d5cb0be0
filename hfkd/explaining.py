"""`hfkd explain`: one client's story on a page for the terminal. The numbers are those of `stories`. Source: ours.

About 45 lines of at most 100 columns: of a large group the teachers and whoever has most say, of many periods some.
"""

import textwrap

import numpy as np

from hfkd.assess import distributions, uniformity
from hfkd.stories import Story, some, story

__all__ = ["Story", "bars", "page", "story", "summary"]

BARS, NONE, CLOSED = "▁▂▃▄▅▆▇█", "·", "×"
LEVELS = ("small", "medium", "large")
WIDTH, MOST, PERIODS, POINTS, CLASSES = 100, 6, 6, 50, 15  # columns; partners, periods, ... that are shown one by one
SIGNALS = {"hard": "validation loss", "soft": "KL of its target to itself", "own": "own loss on public labels",
           "other": "loss of its target there", "cosine": "cosine of hard and soft gradient"}  # fmt: skip
EARNED = {"realised": "drop of its validation loss, split by say", "shapley": "Shapley value, in shares of its loss"}


def bars(values, top: float | None = None) -> str:
    """A bar per value, on a scale from 0 to `top` (None: the largest); a dot for 0 and below.

    >>> bars([0, 1, 4, 8])
    '·▁▄█'
    """
    values = np.asarray(values, float)
    top = np.max(values, initial=0) if top is None else top
    heights = np.ceil(np.clip(values / (top if top > 0 else 1), 0, 1) * len(BARS)).astype(int)
    return "".join(BARS[height - 1] if height > 0 else NONE for height in heights)


def page(told: Story) -> str:
    """The story as plain text: who, its group and why, alpha, what each partner earned it, before and after."""
    parts = (_who(told), _group(told), _weights(told), _earned(told), _outcome(told))
    return "\n\n".join("\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in part) for part in parts)


def summary(told: Story) -> str:
    """What hearing others has done for the client, in one sentence; against local where the file has it."""
    now = [name for name in told.shares.index if name.startswith("round")][-1]
    base = "local" if "local" in told.shares.index else told.shares.index[0]
    against = "than when it trains alone" if base == "local" else f"than at {base}"
    apart = (told.shares.loc[now] - told.shares.loc[base]) * 100
    words = [f"{abs(d):.1f} points {'more' if d > 0 else 'less'}" if abs(d) >= .05 else "no more" for d in apart]
    first, second = (f", {words[0]} {against},", f", {words[1]}") if base != now else ("", "")
    own, every = (f"{told.shares.loc[now, name]:.1%}" for name in ("personality", "consistency"))
    start = f"client {told.client} is right on {own} of images like its own{first}"
    return f"{start} and on {every} of all classes alike{second}."


def _who(told):
    """Level, samples, labels."""
    run, own = told.run, told.counts[told.client]
    public = "" if run["public"] == "same" else f", public images of {run['public']}"
    variant = f" [{run['variant']}]" if run["variant"] else ""
    lines = [
        f"CLIENT {told.client} of {len(told.counts)}: {run['method']}{variant} on {run['dataset']}{public}, "
        f"{run['partition']} {run['skew']:g}, seed {run['seed']}",
        f"{_level(told, told.client)} (level {told.levels[told.client]} of {max(told.levels)}), {told.samples} samples"
        f", uniformity {uniformity(distributions(told.counts))[told.client]:.2f} (0: one class, 1: all alike)",
    ]
    if len(own) > CLASSES:
        return [*lines, f"  labels  {bars(_binned(own, 90))}"]
    cells = ("".join(f"{cell:>6}" for cell in row) for row in (range(len(own)), own.tolist(), bars(own)))
    return [*lines, *(f"  {name:8}{row}" for name, row in zip(("class", "samples", ""), cells))]


def _group(told):
    """Who is heard, and why them."""
    now = told.partners[told.partners["now"]]
    lines = [f"ITS GROUP in the period that ends with round {told.revenue.columns[-1]}" if len(now) else "ITS GROUP"]
    lines += [f"  {reason}" for reason in _reasons(told, now)]
    if now.empty:
        return lines
    wide = max(8, min(CLASSES, told.counts.shape[1]) + 1)
    lines += [
        "  S: how similar its labels are; G: how far both together come closer to uniform; K: share of what",
        "  this client lacks (classes below a fair share) that the partner holds; has: those classes",
        f"  {'':18}{'level':8}{'labels':{wide}}{'S':>5}{'G':>7}{'K':>6}   has",
    ]
    shown, rest = _shown(now)
    for partner, row in shown.iterrows():
        mini = bars(_binned(told.counts[partner], CLASSES))
        lines.append(
            f"  {row['kind']:10}{partner:>4}    {_level(told, partner):8}{mini:{wide}}"
            f"{row['similarity']:5.2f}{row['gain']:+7.2f}{row['coverage']:6.2f}   {some(row['brings'], 5) or '-'}"
        )
    return [*lines, *rest]


def _reasons(told, now) -> list[str]:
    """Why it has these teachers, or none."""
    given, level, kinds = told.settings, told.levels[told.client], now["kind"].value_counts()
    above = np.flatnonzero((told.levels > level) & (told.levels - level <= given["max_gap"]))
    reach = f"at most {given['max_gap']} level{'s' if given['max_gap'] > 1 else ''} above"
    if now.empty and not told.own_say:
        return [f"hears nobody: under {told.run['method']} it trains alone"]
    if kinds.get("teacher", 0) == len(told.counts) - 1:
        return [f"hears everybody: {told.run['method']} does not choose"]
    if count := kinds.get("teacher", 0):
        rule = f"rule {given['rule']}, fan_in {given['fan_in']}, personality {given['personality']:g}"
        left = sorted({*above.tolist()} - {*now.index})
        others = [f"not chosen: {some(left)}"] if left else []
        return [f"{count} of {len(above)} clients {reach} teach it; {rule}", *others]
    alone = "" if len(now) else "; and nobody else is in its group"
    if level == max(told.levels):
        return [f"no teachers: it is of the most capable level, and teachers come from above{alone}"]
    if not len(above):
        return [f"no teachers: there is nobody {reach}{alone}"]
    return [f"no teachers: rule {given['rule']} gave it none of the {len(above)} clients {reach}{alone}"]


def _weights(told):
    """Alpha or beta over the rounds, the gate, the signals."""
    weight, closed = told.rounds["weight"], told.rounds["closed"] > 0
    if told.partners.empty:
        return ["ALPHA: none, it learns from its own data alone"]
    kind = "ALPHA" if (told.partners["kind"] == "teacher").any() else "BETA"
    at = _spread(len(weight), POINTS)
    curve = "".join(CLOSED if shut else bar for shut, bar in zip(closed.iloc[at], bars(weight.iloc[at], weight.max())))
    ends = f"first {weight.iloc[0]:.3f}, last {weight.iloc[-1]:.3f}, highest {weight.max():.3f}"
    title = f"{kind}, its weight of soft knowledge, rounds {weight.index[0]} to {weight.index[-1]}"
    lines = [title, f"  {curve}   {ends}"]
    if told.settings["gate"]:
        shut = _spans(closed.index[closed])
        lines.append(f"  gate closed ({CLOSED}) in rounds {shut}" if shut else "  the gate never closed")
    found = {words: told.rounds[name].dropna() for name, words in SIGNALS.items()}
    read = [f"{words} {cells.iloc[0]:.3f} → {cells.iloc[-1]:.3f}" for words, cells in found.items() if len(cells)]
    return lines + [f"  {'; '.join(read[i:i + 2])}" for i in range(0, len(read), 2)]


def _earned(told):
    """Revenue per period, weight, bytes."""
    if told.partners.empty:
        return ["WHAT ITS PARTNERS EARNED IT: it has none"]
    what = EARNED.get(told.settings["revenue"], "share of its loss that it saves by believing it")
    lines = [f"WHAT EACH PARTNER EARNED IT: {what} (running mean)"]
    if not told.measured:
        lines = ["WHAT EACH PARTNER EARNED IT: this run measured no revenue; to measure it, add",
                 "  --set revenue=labelled --set public_labels=True --set refresh=5"]  # fmt: skip
    columns = told.revenue.columns[_spread(told.revenue.shape[1], PERIODS) if told.measured else []]
    heads = "".join(f"{name:>9}" for name in (f"round {at}" for at in columns))
    lines.append(f"  {'':14}{heads}{'say in target':>15}{'sent':>11}")
    shown, rest = _shown(told.partners)
    digits = 2 if told.revenue.abs().max(axis=None) >= .1 else 4
    for partner, row in shown.iterrows():
        cells = "".join(f"{'' if np.isnan(x) else f'{x:+.{digits}f}':>9}" for x in told.revenue.loc[partner, columns])
        say = "left the group" if np.isnan(row["weight"]) else f"{row['weight']:.1%}"
        lines.append(f"  {row['kind']:10}{partner:>4}{cells}{say:>15}{row['bytes'] / 1000:>8,.0f} kB")
    return [*lines, *rest, f"  {'itself':14}{'':{len(heads)}}{f'{told.own_say:.1%}':>15}"]


def _outcome(told):
    """Before and after, and a sentence."""
    lines = ["BEFORE AND AFTER, percent right     images like its own      all classes alike"]
    for name, row in told.shares.iterrows():
        lines.append(f"  {name:24}{100 * row['personality']:26.1f}{100 * row['consistency']:23.1f}")
    return [*lines, f"  {summary(told)}", "  One client and one seed: an illustration, no evidence."]


def _shown(table):
    """(rows that a page shows, a line about the others): teachers first, then whoever has most say, by kind."""
    keep = np.sort(np.lexsort([-table["weight"].fillna(0), table["kind"] != "teacher"])[:MOST])
    others = table.drop(table.index[keep])
    if others.empty:
        return table, []
    named = [f"{kind} {some(sorted(part.index), 8)}" for kind, part in others.groupby("kind")]
    return table.iloc[keep], [f"  and {len(others)} with {others['weight'].sum():.1%} of the say: {'; '.join(named)}"]


def _level(told, client) -> str:
    """A client's level in words."""
    return LEVELS[told.levels[client] - 1] if max(told.levels) <= len(LEVELS) else f"level {told.levels[client]}"


def _binned(values, most):
    """The values, or the sums of neighbours where there are more than `most`."""
    return [part.sum() for part in np.array_split(values, min(most, len(values)))]


def _spread(n, most):
    """At most so many of n positions, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def _spans(rounds) -> str:
    """Rounds in words.

    >>> _spans([3, 4, 5, 9])
    '3-5, 9'
    """
    spans = []
    for at in rounds:
        joins = spans and at == spans[-1][1] + 1
        spans[-1:] = [[spans[-1][0], at]] if joins else [*spans[-1:], [at, at]]
    return some([f"{a}-{b}" if b > a else f"{a}" for a, b in spans])
