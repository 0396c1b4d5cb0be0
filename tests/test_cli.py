"""The command line in this process: what it prints, what it returns, and that nobody's listening is needed."""

import io
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from hfkd import __version__, cli, data, matching, notebooks, paths, weighting
from hfkd.cli import main
from hfkd.config import PROFILES, settings
from hfkd.engine import record
from hfkd.methods import METHODS
from hfkd.study import claims, results
from hfkd.study.grids import GRIDS

TINY = [word for name in ("clients=4", "rounds=2", "pool_size=400", "public_size=40", "balanced_size=100", "batch=16")
        for word in ("--set", name)]  # fmt: skip
NAMED = {"methods": METHODS, "datasets": data.NAMES, "partitions": data.PARTITIONS, "rules": matching.RULES,
         "grids": GRIDS, "profiles": PROFILES, "settings": settings(), "weightings": weighting.RULES}  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Whatever is written goes into the test's own folder."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def few(monkeypatch):
    """Only three claims: all of them take seconds."""
    first = claims.read()[:3]
    monkeypatch.setattr(claims, "read", lambda *_: first)


@pytest.mark.parametrize("what", [*NAMED, "claims"])
def test_list_names_everything_a_line_each(what, capsys):
    assert main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMED.get(what) or [claim.id for claim in claims.read()])
    assert len({len(line) - len(line.split(maxsplit=1)[1]) for line in lines}) == 1  # in one column
    assert {*cli.LISTS} == {*NAMED, "claims"}


def test_run_saves_rows_and_shows_their_means(tmp_path, capsys):
    words = ["run", "--method", "fedmd", "--seeds", "0-1", "--out", "a.csv", *TINY]
    assert main(words) == 0
    out, err = capsys.readouterr()
    rows = results.load(tmp_path / "a.csv")
    assert set(rows["method"]) == {"fedmd"} and list(rows["seed"]) == [0, 1] and err == ""
    assert out.splitlines()[-1] == "means over seeds at the last round, in points; rows in a.csv"
    shown = next(line for line in out.splitlines() if line.startswith("fedmd"))
    assert float(shown.split()[5]) == pytest.approx(100 * rows["personality"].mean(), abs=0.006)


def test_grid_narrowed_and_chosen_on_validation_data(tmp_path, capsys):
    assert main(["grid", "tuning_loss", "--jobs", "1", "--set", "method=fml", "--seeds", "0", *TINY]) == 0
    rows = results.load(tmp_path / "runs" / "smoke" / "tuning_loss.csv")
    best = rows.loc[(rows["val_personality"] + rows["val_consistency"]).idxmax(), "variant"]
    assert len(rows) == 2 and f"chosen on validation data:\nfml[{best}]\n" in capsys.readouterr().out


class Broken(io.StringIO):
    """A pipe whose reader went away, or a terminal that is no more."""

    def isatty(self):
        return self is TERMINAL

    def write(self, text):
        raise OSError(5, "Input/output error") if self is TERMINAL else BrokenPipeError


TERMINAL = Broken()


@pytest.mark.parametrize("out, err", [(None, None), (Broken(), Broken()), (Broken(), TERMINAL)])
def test_nobody_has_to_listen(out, err, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["run", "--method", "local", "--seeds", "0", "--out", "a.csv", *TINY]) == 0
    assert len(results.load(tmp_path / "a.csv")) == 1 and main(["run", "--method", "nobody"]) == 2


def notebook(folder, name, source):
    """A notebook with one parameter beside the profile."""
    knobs = new_code_cell('profile: str = "committed"  # p\nn: int = 1  # n', metadata={"tags": ["parameters"]})
    book = new_notebook(cells=[knobs, new_code_cell(source)], metadata=notebooks.METADATA)
    nbformat.write(book, folder / f"{name}.ipynb")


def test_reproduce_runs_the_notebooks_and_ends_with_the_claims(few, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    notebook(tmp_path, "10_one", "print(profile, n)")
    notebook(tmp_path, "20_two", "1 / 0")
    assert main(["reproduce", "--only", "10", "-p", "n=7"]) == 0
    first, head, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("[1/1] 10_one: ") and head == f"claims, judged on the rows in {paths.RESULTS}:"
    assert rest == claims.closing_lines(claims.verdicts())
    executed = nbformat.read(tmp_path / "runs" / "committed" / "10_one.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "committed 7\n"
    monkeypatch.setattr(sys, "stdout", Broken())
    assert main(["reproduce"]) == 2  # that nobody reads does not end it; what fails does
    assert "hfkd: 20_two.ipynb failed in cell [3] with ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_verify_and_render_say_whether_all_is_as_it_should_be(few, tmp_path, monkeypatch, capsys):
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.splitlines() == [verdict.line for verdict in claims.verdicts()]
    assert main(["verify", "--results", str(tmp_path)]) == 1 and " open" in capsys.readouterr().out
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    empty = "".join(f"<!-- {mark} --><!-- /{mark} -->" for mark in ("claims", "comparison", "commands"))
    for text, status in ((claims.rendered(empty), 0), (empty, 1)):
        (tmp_path / "REPRODUCE.md").write_text(text, "utf-8")
        assert main(["render", "--check"]) == status and (tmp_path / "REPRODUCE.md").read_text("utf-8") == text


def test_version_and_help_that_teaches(capsys):
    for word, said in (("--version", f"hfkd {__version__}"), ("--help", "  hfkd run --method fedmd --seeds 0-2")):
        with pytest.raises(SystemExit) as stopped:
            main([word])
        assert stopped.value.code == 0 and said in capsys.readouterr().out


@pytest.mark.parametrize(("error", "status", "said"), [
    (KeyboardInterrupt(), 130, "hfkd: stopped; what is done is kept, and the same command goes on from there"),
    (MemoryError(), 2, "hfkd: out of memory (MemoryError); fewer --jobs, seeds or images take less, "),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory:\n 9 bytes"), 2, "can't allocate memory: 9 bytes"),
    (OSError(28, "No space left on device"), 2, "hfkd: [Errno 28] No space left on device"),
    (OSError(12, "Cannot allocate memory"), 2, "hfkd: out of memory ([Errno 12] Cannot allocate memory)"),
    (ValueError("out of memory/x.npz is bad"), 2, "hfkd: out of memory/x.npz is bad\n"),
    (RuntimeError("can't start new thread"), 2, "hfkd: out of memory (can't start new thread)"),
    (ImportError("No module named 'torch'"), 2, "hfkd: No module named 'torch'; `make venv` installs what is needed"),
])  # fmt: skip
def test_what_a_run_may_end_in(error, status, said, monkeypatch, capsys):
    def run(*_):
        raise error

    monkeypatch.setattr(record, "run", run)
    assert main(["run", "--method", "local", "--seeds", "0", *TINY]) == status
    err = capsys.readouterr().err
    assert said in err and err.count("hfkd: ") == 1
    monkeypatch.setattr(record, "run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # an error of ours is no sentence
        main(["run", "--method", "local", "--seeds", "0", *TINY])


def test_refresh_takes_the_notebooks_that_are_named(monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "refresh", lambda book: 2.0)
    assert main(["refresh", "--only", "90"]) == 0 and capsys.readouterr().out == "90_claims: 2 s\n"
