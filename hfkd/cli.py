"""The command `hfkd`: everything that the notebooks do, without Jupyter.

Only `reproduce` and `refresh` need Jupyter; experiments need torch and the scientific packages.
"""

import argparse
import sys
from pathlib import Path

from hfkd import __version__, commands, listing, paths

EXAMPLES = """examples:
  hfkd run --method hfkd --dataset fashion_mnist --profile lite --seeds 0-2 --out X.csv
  hfkd grid 40 --profile lite --seeds 0-4          every row of notebook 40, skipping what is there
  hfkd grid 40 --profile lite --set levels=cnn --out cnn.csv
  hfkd privacy --profile lite                      what noisy label counts and answers disclose
  hfkd explain X.csv --client 7                    one client: its teachers and why, what they earned it
  hfkd list methods                                also datasets, partitions, rules, profiles, grids, ...
  hfkd bench --only hfkd-round                     seconds of a round, its arithmetic floor, one client at a time
  hfkd data fetch fashion_mnist                    download once, through OpenML
  hfkd reproduce --profile smoke                   all notebooks, headless
  hfkd verify                                      one verdict per claim, from the committed results"""

TABLES = ("fml-round", "fedavg-round", "hfkd-round", "sweep", "match", "methods", "rules")  # of `hfkd bench`
WHERE = ("method", "dataset", "public", "partition", "skew", "variant")  # what tells runs in one file apart


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns 0: done, 1: a document is stale, 2: bad input, 130: stopped by hand."""
    options = _parser().parse_args(arguments)
    try:
        return options.act(options) or 0
    except BrokenPipeError:  # `hfkd list claims | head`: whoever reads has read enough
        sys.stdout = None
        return 0
    except (ValueError, OSError) as error:
        print(f"hfkd: {' '.join(str(error).splitlines())}", file=sys.stderr)  # a file name may hold a line end
        return 2
    except KeyboardInterrupt:
        print(f"\nhfkd: stopped; {_left(options)}", file=sys.stderr)
        return 130


def _left(options):
    """What a command leaves that was stopped by hand, and how to go on."""
    if options.act not in (commands.run, commands.grid, commands.reproduce):
        return "nothing more is written"
    if options.profile == "smoke" and options.act is not commands.run:
        return "grids of the smoke profile always start over"
    return f"what is done is kept, the same command {'without --fresh ' * options.fresh}goes on from there"


def _parser():
    """All subcommands; each names the function that acts."""
    layout = argparse.RawDescriptionHelpFormatter
    about = __doc__.split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="hfkd", description=about, epilog=EXAMPLES, formatter_class=layout)
    parser.add_argument("--version", action="version", version=f"hfkd {__version__}")
    chosen = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name, act, about):
        added = chosen.add_parser(name, help=about, description=about)
        added.set_defaults(act=act)
        return added.add_argument

    _experiment_commands(command)
    _machine_commands(command)
    _paper_commands(command)
    return parser


def _experiment_commands(command):
    """run, grid, privacy, explain, list."""
    run = command("run", commands.run, "run one method: a row per client and measured round")
    run("--method", help="see `hfkd list methods` (default: hfkd)")
    run("--dataset", help="see `hfkd list datasets`, or a path to an npz (default: the profile's)")
    run("--compat", metavar="PROTOCOL", help="report as another library does as well: `hfkd list protocols`")
    grid = command("grid", commands.grid, "run the whole grid of a notebook; rows that are there are skipped")
    grid("name", help="see `hfkd list grids`")
    for option in (run, grid):
        option("--profile", default="smoke", help="smoke, lite or paper (default: smoke)")
        option("--seeds", help="such as 0-4 or 0,3,7-9 (default: the profile's)")
        option("--out", type=Path, help="the CSV (default: under runs/<profile>/)")
        option("--set", action="append", default=[], metavar="NAME=VALUE", help="any field of `hfkd list settings`")
        option("--jobs", type=int, help="cells that run at once (default: as many as there are processors)")
        option("--checkpoint", type=float, default=30, metavar="SECONDS",
               help="seconds of work between two checkpoints of a cell, 0: after each round (default: 30)")  # fmt: skip
        option("--fresh", action="store_true", help="replace the file instead of adding to it")
    told = command("privacy", _privacy, "what noisy label counts and answers disclose: two tables beside grid 70")
    told("--profile", default="smoke", help="smoke, lite or paper (default: smoke)")
    told("--seeds", help="such as 0-4 or 0,3,7-9 (default: the profile's)")
    told("--out", type=Path, help="X.csv for X.matching.csv and X.leak.csv (default: runs/<profile>/70_privacy.csv)")
    told("--set", action="append", default=[], metavar="NAME=VALUE", help="any field of `hfkd list settings`")
    told("--jobs", type=int, default=1, help="runs side by side (default: 1)")
    explain = command("explain", _explain, "one client's story from a result file: its teachers, its alpha, its gains")
    explain("run", type=Path, help="X.csv with its journals beside it, as `hfkd run` writes them, or their folder")
    explain("--client", type=int, required=True, help="its number, from 0")
    explain("--seed", type=int, help="default: the smallest in the file")
    for name in WHERE:
        kind = float if name == "skew" else str
        explain(f"--{name}", type=kind, help="only needed where the file holds journals of several runs")
    command("list", listing.show, "what there is, a line each")("what", choices=sorted(listing.LISTS))


def _machine_commands(command):
    """bench, chaos, data."""
    bench = command("bench", commands.bench, "time rounds against their arithmetic and against one client at a time")
    bench("--only", choices=TABLES, help="one table (default: all but rules, 14 minutes on 2 cores)")
    bench("--json", type=Path, metavar="FILE", help="write the figures there as well, for programs")
    bench("--device", default="cpu", help="cpu or cuda (default: cpu)")
    bench("--threads", type=int, help="CPU threads (default: as many as there are processors)")
    bench("--repeats", type=int, default=3, help="timed rounds, of which the best counts (default: 3)")
    chaos = command("chaos", commands.chaos, "kill a small grid again and again: it ends with the same bytes")
    chaos("--kills", type=int, default=50, help="SIGKILLs in all (default: 50)")
    chaos("--seed", type=int, default=0, help="of moments and ways (default: 0)")
    data = command("data", commands.data, "fetch a data set through OpenML into the data folder")
    data("verb", choices=("fetch",))
    data("name", help="see `hfkd list datasets`")


def _privacy(options):
    """`hfkd privacy`."""
    from hfkd import config, disclosure

    seeds = config.parse_seeds(options.seeds) if options.seeds is not None else None
    out = options.out or paths.RUNS / options.profile / "70_privacy.csv"
    tables = disclosure.write(out, options.profile, seeds, options.jobs, commands._reporter(),
                              **config.parse_set(options.set))  # fmt: skip
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    for name, table in disclosure.summaries(tables).items():
        print(f"{name}, means over seeds; rows in {disclosure.path_of(out, name)}\n{table.to_string()}\n")


def _explain(options):
    """`hfkd explain`."""
    from hfkd import explaining

    where = {name: getattr(options, name) for name in WHERE}
    print(explaining.page(explaining.story(options.run, options.client, options.seed, **where)))


def _paper_commands(command):
    """reproduce, verify, render, refresh."""
    reproduce = command(
        "reproduce", commands.reproduce, "run the notebooks headless with papermill, then print the verdicts"
    )
    reproduce("--profile", default="smoke", help="smoke, lite or paper (default: smoke)")
    reproduce("--only", help="numbers of notebooks, such as 40 or 10,40")
    reproduce("-p", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the notebooks that have it")
    reproduce("--fresh", action="store_true", help="remove the rows in runs/<profile>/ first instead of adding to them")
    verify = command("verify", commands.verify, "one verdict per claim and where to look")
    verify("--results", type=Path, default=paths.RESULTS, help="folder of result files (default: data/results)")
    render = command(
        "render", commands.render, "write the claims table of REPRODUCE.md and figures/ from the committed results"
    )
    render("--check", action="store_true", help="write nothing, fail if the table is stale")
    refresh = command("refresh", commands.refresh, "re-execute the committed notebooks in place, byte-stable")
    refresh("--only", help="numbers of notebooks, such as 40 or 10,40")


if __name__ == "__main__":
    sys.exit(main())
