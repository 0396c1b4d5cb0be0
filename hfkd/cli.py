"""The command `hfkd`: what the notebooks do, without Jupyter. What a command needs is imported when it runs."""

import argparse
import os
import re
import signal
import sys
from contextlib import chdir, suppress
from importlib import import_module
from pathlib import Path

from hfkd import __version__, config, paths

EXAMPLES = """examples, with what they cost on 2 cores:
  hfkd verify                                      one verdict per claim, from the committed results: seconds
  hfkd reproduce                                   all notebooks on the committed results: 3 minutes
  hfkd reproduce --profile smoke                   all notebooks, every cell run anew on the digits: 6 minutes
  hfkd run --method fedmd --seeds 0-2 --out x.csv  one method on the digits: seconds
  hfkd grid 40 --profile lite --seeds 0-4          a whole grid at the size of the claims; what is done is kept
  hfkd federate --check                            6 clients over Flower, in .venv-flower (make flower)
  hfkd fetch fashion_mnist                         download once, through OpenML
  hfkd list methods                                also datasets, partitions, rules, weightings, grids, settings, ..."""

LISTS = {
    "methods": lambda: {name: method.summary for name, method in _of("methods").METHODS.items()},
    "datasets": lambda: _of("data").NAMES, "partitions": lambda: _of("data").PARTITIONS,
    "rules": lambda: _of("matching").RULES, "weightings": lambda: _of("weighting").RULES,
    "profiles": lambda: {name: about for name, (_, _, about) in config.PROFILES.items()},
    "grids": lambda: {key: f"{grid.name}: {grid.about}" for key, grid in _of("study.grids").GRIDS.items()},
    "claims": lambda: {claim.id: claim.statement for claim in _of("study.claims").read()}, "settings": config.settings}
UNWRITTEN = []  # why text that was asked for did not reach stdout


def main(arguments: list[str] | None = None) -> int:
    """Returns 0: done and saved; 1: a claim fails, or a document is stale; 2: bad input; 130: stopped by hand."""
    _alone()
    try:
        options = _parser().parse_args(arguments)
        status = options.act(options) or 0
        if UNWRITTEN:
            raise OSError(f"stdout cannot be written ({UNWRITTEN.pop()}); files that were asked for are saved")
        return status
    except (ValueError, OSError, MemoryError, RuntimeError, ImportError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        short = re.search("allocate memory|out of memory|new thread|map segment", said)  # torch, CUDA, Linux
        if isinstance(error, MemoryError) or short and not isinstance(error, ValueError):
            said = f"out of memory ({said}); fewer --jobs, seeds or images take less, and what is done is kept"
        elif isinstance(error, RuntimeError):  # a fault of ours
            raise
        say(f"hfkd: {said}" + "; `make venv` installs what is needed" * isinstance(error, ImportError), "stderr")
        return 2
    except KeyboardInterrupt:
        say("\nhfkd: stopped; what is done is kept, and the same command goes on from there", "stderr")
        return 130


def say(text: str, stream: str = "stdout") -> None:
    """Print a line. That nobody listens any more (a closed pipe, a full disk) must end no work."""
    if (out := getattr(sys, stream)) is not None:
        try:
            print(text, file=out, flush=True)
        except (OSError, ValueError) as error:
            setattr(sys, stream, None)  # so that Python does not flush it at the end
            if stream == "stdout" and not isinstance(error, BrokenPipeError):  # who closes a pipe has read enough
                UNWRITTEN.append(error)


def _alone():
    """What a user, a hook of git or a login script has set for other programs decides nothing here."""
    for name in [name for name in os.environ if name.startswith(("PYTHON", "GIT_", "TQDM_", "MPLBACKEND"))]:
        del os.environ[name]  # of what is started from here: processes, kernels, git
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed, or not a file
            stream.reconfigure(errors="backslashreplace")
    with suppress(ValueError):  # not in a thread
        for number in (signal.SIGTERM, signal.SIGHUP):  # of schedulers, of lost terminals: answered like Ctrl-C
            if not signal.getsignal(number):  # nohup ignores one
                signal.signal(number, signal.default_int_handler)


def _experiment(options):
    """`hfkd run` and `hfkd grid`: rows, and the means of the last round."""
    from hfkd.study import compare, experiments, results
    named = [f"{name}={value}" for name in ("method", "dataset") if (value := getattr(options, name, None)) is not None]
    given = config.parse_set(named + options.set)
    how = {name: getattr(options, name) for name in ("profile", "out", "jobs", "fresh")}
    how["seeds"] = None if options.seeds is None else config.parse_seeds(options.seeds)
    if twice := given.keys() & vars(options).keys() - {"method", "dataset"}:
        raise ValueError(f"--set {min(twice)} has an option of its own, --{min(twice)}; expected one of the two")
    frame = experiments.run_grid(getattr(options, "name", None), **how, **given)
    groups = compare.last(frame).groupby(results.KEY[:6], sort=False)
    say((100 * groups[[*results.PRIMARY, "worst20", "below_local"]].mean()).round(2).to_string())
    if "name" in options and options.name.startswith("tuning"):
        say("\n".join(["chosen on validation data:", *compare.chosen(frame)]))
    say(f"means over seeds at the last round, in points; rows in {frame.attrs['path']}")


def _list(options):
    lines = LISTS[options.what]()
    say("\n".join(f"{name:{max(map(len, lines))}}  {about}" for name, about in lines.items()))


def _reproduce(options):
    """Everything is checked before the first notebook runs."""
    from hfkd import data, notebooks
    from hfkd.engine.state import check_device
    from hfkd.study import claims
    if wrong := [text for text in options.p if "=" not in text or text.startswith("profile=")]:
        raise ValueError(f"-p is {wrong[0]!r}; expected name=value, and --profile for the profile")
    given = {"profile": options.profile} | dict(text.split("=", 1) for text in options.p)
    plan = notebooks.plan(notebooks.chosen(options.only), given)
    for values in plan.values():
        settings = config.configure(options.profile, **config.parse_set(values.get("overrides", [])))
        if options.profile != "committed":
            check_device(settings)
            with chdir(paths.ROOT):  # where notebooks run
                data.load(settings.dataset)
    folder = paths.RUNS / options.profile
    paths.expect_writable(folder / "notebook", "set HFKD_RUNS to a folder that can")
    for at, (book, values) in enumerate(plan.items(), 1):
        seconds = notebooks.execute(book, folder / book.name, values)
        say(f"[{at}/{len(plan)}] {book.stem}: {seconds:.0f} s, see {folder / book.name}")
    judged = folder if options.profile == "lite" else paths.RESULTS  # the size of the claims; others are no evidence
    aside = f" (those of {options.profile} judge none)" * (options.profile not in ("committed", "lite"))
    say("\n".join([f"claims, judged on the rows in {judged}{aside}:", *claims.closing_lines(claims.verdicts(judged))]))


def _refresh(options):
    from hfkd import notebooks
    for book in notebooks.chosen(options.only):
        say(f"{book.stem}: {notebooks.refresh(book):.0f} s")


def _render(options):
    document = paths.ROOT / "REPRODUCE.md"
    text = _of("study.claims").rendered(now := document.read_text("utf-8"))
    if options.check:
        if text != now:
            say(f"hfkd: the tables of {document.name} are stale; `hfkd render` writes them anew", "stderr")
        return int(text != now)
    from hfkd import plots
    say(str(paths.write(document, text)))
    for name, figure in plots.committed().items():
        say("\n".join(map(str, plots.save(figure, paths.FIGURES / f"fig{name}"))))


def _verify(options):
    if not options.results.is_dir():
        raise ValueError(f"results is {options.results}; expected a folder with result files, such as data/results")
    found = _of("study.claims").verdicts(options.results)
    say("\n".join(verdict.line for verdict in found))
    return int(not all(verdict.holds for verdict in found))


def _member(options):
    """The clients of one process, until it is ended."""
    from hfkd.data import datasets, files
    from hfkd.deploy import member
    import torch
    torch.set_num_threads(config.configure(threads=options.threads, epsilon=options.epsilon).threads)
    options.folder.mkdir(0o700, parents=True, exist_ok=True)
    names, levels = [path.stem for path in options.data], options.level
    if len({*names}) < len(names) or len(levels) not in (1, len(names)):
        raise ValueError(f"data is {names} and level {levels}; expected names that differ, one level for all or each")
    own = [datasets.arrays(str(path), files.read(path, files.npz)) for path in options.data]
    public = files.read(options.public, lambda file: files.npz(file, ("images",), ()))
    clients = dict(zip(names, zip(own, levels * (len(names) if len(levels) == 1 else 1))))
    made = options.module and member.module(options.module)
    member.serve(member.Member(clients, datasets.arrays(str(options.public), public)["images"],
                               options.folder.resolve(), made, options.epsilon or float("inf")), say)


def _federate(options):
    """All of a federation on this machine."""
    given = {"clients": 6} | config.parse_set([f"clients={n}" for n in options.clients or ()] + options.set)
    _of("deploy.local").federate(given, *(getattr(options, name) for name in (
        "folder", "seed", "machines", "check", "fresh")), say)  # fmt: skip


def _of(module: str):
    return import_module(f"hfkd.{module}")  # when it is needed: `--help` should not wait for torch


class _Parser(argparse.ArgumentParser):
    """argparse, but what it refuses is one sentence, like everything else that is refused."""
    def error(self, message):
        raise ValueError(f"{message}; see `{self.prog} --help`")


def _parser():
    about = "Knowledge distillation between clients of several capacity levels: what the notebooks do, without Jupyter."
    parser = _Parser("hfkd", description=about, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"hfkd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (act, about, options) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(act=act)
        for option, words, more in options:
            command.add_argument(option, help=words, **more)
    return parser


PAIRS = {"action": "append", "default": [], "metavar": "NAME=VALUE"}
WHOLE = {"type": int}
ONLY = ("--only", "numbers of notebooks, such as 40 or 10,40 (default: all)", {})
FRESH = ("--fresh", "begin anew what is there", {"action": "store_true"})
EXPERIMENT = [
    ("--profile", "smoke, lite or paper (default: smoke)", {"default": "smoke"}),
    ("--seeds", "such as 0-4 or 0,3,7-9 (default: the profile's)", {}),
    ("--out", "the CSV of the summary (default: under runs/PROFILE/)", {"type": Path}),
    ("--set", "any of `hfkd list settings`", PAIRS),
    ("--jobs", "cells at once (default: as many as there are processors)", WHOLE), FRESH]
COMMANDS = {
    "run": (_experiment, "run one method; its summary goes to a CSV, a record beside it", [
        ("--method", "see `hfkd list methods` (default: hfkd)", {}),
        ("--dataset", "see `hfkd list datasets`, or a path to an npz (default: the profile's)", {}), *EXPERIMENT]),
    "grid": (_experiment, "run what is missing of a grid, cells side by side", [
        ("name", "see `hfkd list grids`", {}), *EXPERIMENT]),
    "list": (_list, "what there is, a line each", [("what", "one of these", {"choices": sorted(LISTS)})]),
    "fetch": (lambda o: say(str(_of("data").fetch(o.name))), "download a data set into the data folder", [
        ("name", "see `hfkd list datasets`", {})]),
    "reproduce": (_reproduce, "run the notebooks into runs/PROFILE/, then say what the claims say", [
        ("--profile", "committed (reads data/results; the default), smoke, lite or paper", {"default": "committed"}),
        ONLY, ("-p", "a parameter of the notebooks that have it", PAIRS)]),
    "refresh": (_refresh, "run the committed notebooks in place, byte-stable", [ONLY]),
    "render": (_render, "write the tables of REPRODUCE.md and figures/ from the committed results", [
        ("--check", "write nothing; exit 1 if the tables are stale", {"action": "store_true"})]),
    "verify": (_verify, "one verdict per claim; exit 1 if one does not hold", [
        ("--results", "folder of result files (default: data/results)", {"type": Path, "default": paths.RESULTS})]),
    "federate": (_federate, "a real federation on Flower: a process per client on this machine, TLS, keys of nodes", [
        ("--clients", "how many (default: 6)", WHOLE | {"nargs": 1}),
        ("--machines", "how many processes share them, as machines would (default: one each)", WHOLE),
        ("--set", "any of `hfkd list settings`, beside those of smoke (digits, 6 rounds), that one message a round can "
         "carry", PAIRS), ("--seed", "of split, first weights and batches (default: 0)", WHOLE | {"default": 0}),
        ("--folder", "of keys, data, states, logs (default: runs/federation); there the same command goes on",
         {"type": Path, "default": paths.RUNS / "federation"}), FRESH,
        ("--check", "run it in one program as well; exit 2 unless both agree", {"action": "store_true"})]),
    "member": (_member, "clients of a real federation: hold their data, answer on FOLDER/socket until ended", [
        ("--data", "NAME.npz of each client, named as in the plan: images (n,h,w) or (n,h,w,c) uint8, labels from 0, "
         "optionally is_test", {"required": True, "type": Path, "nargs": "+"}),
        ("--public", "npz of the images that everybody has", {"required": True, "type": Path}),
        ("--level", "capacity, 1 to 3: one for all or one each (default: 1)",
         WHOLE | {"default": [1], "nargs": "+", "choices": (1, 2, 3)}),
        ("--module", "MODULE:FUNCTION, (shape, classes) -> torch.nn.Module, in place of the level's network", {}),
        ("--folder", "of state, released counts and socket, nobody else's", {"required": True, "type": Path}),
        ("--epsilon", "noise on the label counts, by OpenDP, drawn once (default: none)", {"type": float}),
        ("--threads", "CPU threads (default: 1)", WHOLE | {"default": 1})]),
    "bench": (lambda o: _of("study.bench").show(o.only, o.device, o.threads, o.repeats, o.json, say),
              "time rounds beside their arithmetic, and beside one client after the other", [
        ("--only", "hfkd, fedmd, heterofl, hfkd_cnn, or paper, for a GPU (default: the first four, 2 minutes)", {}),
        ("--json", "write the figures there as well, for programs", {"type": Path, "metavar": "FILE"}),
        ("--device", "cpu, cuda or auto (default: cpu)", {"default": "cpu"}),
        ("--threads", "CPU threads (default: as many as there are processors)", WHOLE),
        ("--repeats", "timed rounds, of which the best counts (default: 1)", WHOLE | {"default": 1})])}


if __name__ == "__main__":
    sys.exit(main())
