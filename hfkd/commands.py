"""What each subcommand of `hfkd` does, given its parsed options. What it needs is imported when it runs: `hfkd --help`
should not wait for torch, and only `reproduce` and `refresh` need Jupyter.
"""

import sys
import time
from contextlib import ExitStack

from hfkd import outputs, paths


def run(options):
    """`hfkd run`; with --compat its rows are read a second time, as another library would report them."""
    from hfkd import compat, config, experiments

    named = {name: value for name in ("method", "dataset") if (value := getattr(options, name)) is not None}
    if options.compat is None:
        _experiment(options, experiments.run_one, **named)
        return
    given = config.parse_set(options.set)
    named |= compat.settings(options.compat, given)
    options.out = options.out or paths.RUNS / options.profile / f"run_{options.compat}.csv"
    frame = _experiment(options, experiments.run_one, **named)
    tested = experiments.tested(options.profile, frame["seed"].unique().tolist(), **(given | named))
    print(compat.page(options.compat, frame, tested))


def grid(options):
    """`hfkd grid`."""
    from functools import partial

    from hfkd import experiments

    _experiment(options, partial(experiments.run_grid, options.name))


def _experiment(options, act, **named):
    """Run with progress on the terminal, then show the means of the last round; the rows."""
    from hfkd import config, endpoints

    given = config.parse_set(options.set)
    if twice := given.keys() & named.keys():
        raise ValueError(f"{sorted(twice)[0]} is given by --set and by its own option; expected one of the two")
    seeds = config.parse_seeds(options.seeds) if options.seeds is not None else None
    how = dict(profile=options.profile, seeds=seeds, out=options.out, fresh=options.fresh, jobs=options.jobs)
    frame = act(**how, checkpoint=options.checkpoint, report=_reporter(), **given, **named)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    print(endpoints.summary(frame).to_string())
    if (frame["experiment"] == "tuning").all():
        print("\nchosen on validation data:\n" + endpoints.chosen(frame).to_string())
    print(f"means over seeds at the last round, in points; rows in {frame.attrs['path']}")
    return frame


def _reporter():
    """One line that overwrites itself on a terminal, a line every 15 seconds elsewhere."""
    last = -15.0

    def report(line):
        nonlocal last
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - last >= 15:
            last = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    return report


def bench(options):
    """`hfkd bench`."""
    from hfkd import benchmarks

    benchmarks.show(options.only, options.device, options.threads, options.repeats, options.json)


def chaos(options):
    """`hfkd chaos`."""
    from hfkd import chaos as harness

    harness.show(options.kills, options.seed)


def data(options):
    """`hfkd data fetch`."""
    from hfkd import data as sources

    print(sources.fetch(options.name))


def reproduce(options):
    """`hfkd reproduce`: everything is checked before the first notebook runs or a file is removed."""
    from hfkd import notebooks, plans

    plan, folder = plans.plan(options.profile, options.only, options.p), paths.RUNS / options.profile
    if options.fresh:
        _clear(folder)
    for at, (book, values) in enumerate(plan.items(), 1):
        limit = notebooks.LIMITS[options.profile]
        seconds = notebooks.execute(book, folder / book.name, values, progress=f"[{at}/{len(plan)}]", limit=limit)
        print(f"[{at}/{len(plan)}] {book.stem}: {seconds:.0f} s, see {(folder / book.name).relative_to(paths.ROOT)}")
    print(f"rows and figures: {folder.relative_to(paths.ROOT)}/")
    _judge(options.profile, folder, {book.stem for book in plan})


def _clear(folder):
    """Remove rows, records and checkpoints of earlier runs; none of them while somebody works on one."""
    with ExitStack() as held:
        for out in sorted({*folder.glob("*.csv"), *(old.with_suffix("") for old in folder.glob("*.csv.checkpoints"))}):
            held.enter_context(outputs.alone(out))
        for kind in ("*.csv", "*.json", "*.csv.checkpoints/*.safetensors"):
            for old in folder.glob(kind):
                old.unlink()


def _judge(profile, folder, executed):
    """A verdict per claim: on rows of this run if it had the size of the claims, `lite`, else on those committed."""
    from hfkd import claims

    print("claims are judged on rows of the lite profile: of this run where it made them, else those committed")
    found = []
    for claim in claims.read():
        own = profile == "lite" and claim.notebook in executed and (folder / claim.result_file).is_file()
        found.append(claims.check(claim, folder if own else paths.RESULTS))
        print(f"{found[-1].line} ({'this run' if own else 'committed'})")
    _tally(found)


def _tally(found):
    """How many claims hold, and what it means if one does not."""
    from hfkd import claims

    counts = ", ".join(f"{sum(v.holds is kind for v in found)} {word}" for kind, word in claims.WORDS.items())
    print(f"{counts} ('fails': the rows do not show what was hoped for; the run itself is fine)")


def verify(options):
    """`hfkd verify`."""
    from hfkd import claims

    if not options.results.is_dir():
        raise ValueError(f"results is {options.results}; expected a folder with result files, such as data/results")
    found = claims.verdicts(options.results)
    for verdict in found:
        print(verdict.line)
    _tally(found)


def render(options):
    """`hfkd render`: what is derived from the committed results."""
    from hfkd import rendering

    if options.check:
        if not rendering.is_current():
            print("hfkd: the claims table of REPRODUCE.md is stale; `hfkd render` writes it anew", file=sys.stderr)
            return 1
        return 0
    for path in rendering.write():
        print(path.relative_to(paths.ROOT))


def refresh(options):
    """`hfkd refresh`."""
    from hfkd import notebooks, plans

    books = plans.chosen(options.only)
    for at, book in enumerate(books, 1):
        print(f"{book.stem}: {notebooks.refresh(book, progress=f'[{at}/{len(books)}]'):.0f} s")
