"""One client's story: its numbers are those of the journals and of assess, its page says all that it promises."""

import functools

import pandas as pd
import pytest

from hfkd import assess, journals, results
from hfkd.cli import main
from hfkd.experiments import run_one
from hfkd.explaining import bars, page, story, summary
from hfkd.plots import fig_story
from hfkd.stories import find

TINY = dict(dataset="digits", clients=8, rounds=4, eval_every=2, pool_size=500, public_size=100, balanced_size=100,
            minimum=10, batch=16, alpha=.5, seeds=(3, 5), jobs=1, report=lambda line: None)  # fmt: skip
EARNING = TINY | dict(public_labels=True, refresh=2, revenue="labelled", gate=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """earned.csv: three methods, revenue, a gate; plain/two.csv: no revenue, two skews; plain/bare.csv: no journals."""
    here = tmp_path_factory.mktemp("stories")
    for method in ("local", "hfkd", "balanced_local"):
        run_one(method=method, out=here / "earned.csv", **EARNING)
    for skew in (.1, .5):
        run_one(method="hfkd_ramp", skew=skew, out=here / "plain" / "two.csv", **TINY)
    results.save(results.load(here / "plain" / "two.csv"), here / "plain" / "bare.csv", {"parameters": {}})
    return here


@pytest.fixture(scope="module")
def books(folder):
    """The journals of HFKD, seed 3, in earned.csv."""
    loaded = {name: journals.load(folder / "earned.csv", name) for name in journals.NAMES}
    return {name: frame[(frame["seed"] == 3) & (frame["method"] == "hfkd")] for name, frame in loaded.items()}


told = functools.cache(story)


@pytest.mark.parametrize("client", range(8))
def test_numbers_are_those_of_the_journals_and_of_assess(folder, books, client):
    one = told(folder / "earned.csv", client)
    edges = books["ledger"].query("to == @client")
    others = edges[edges["kind"] != "self"]
    assert one.run["method"] == "hfkd" and one.run["seed"] == 3 and one.measured
    assert one.revenue.stack().to_dict() == others.set_index(["from", "round"])["revenue"].to_dict()
    assert one.partners["bytes"].to_dict() == others.groupby("from")["bytes"].sum().to_dict()
    last = edges[edges["round"] == 4].set_index("from")
    now = one.partners[one.partners["now"]]
    assert now[["weight", "kind"]].to_dict() == last.drop(client)[["weight", "kind"]].to_dict()
    assert one.own_say + now["weight"].sum() == pytest.approx(1, abs=1e-5)
    row = books["weights"][books["weights"]["client"] == client].set_index("round")
    pd.testing.assert_frame_equal(one.rounds, row[one.rounds.columns])
    counts = books["counts"].pivot(index="client", columns="class", values="count").to_numpy()
    assert (one.counts == counts).all() and one.samples == counts[client].sum()
    p = assess.distributions(counts)
    measures = {"similarity": assess.similarity(p), "gain": assess.union_gain(counts), "coverage": assess.coverage(p)}
    for name, matrix in measures.items():
        assert one.partners[name].to_numpy() == pytest.approx(matrix[client, one.partners.index])
    for partner, brings in one.partners["brings"].items():
        assert brings == [c for c in range(10) if p[client, c] < .1 <= p[partner, c]]


def test_before_and_after_are_rows_of_the_file(folder):
    one = told(folder / "earned.csv", 2)
    rows = results.load(folder / "earned.csv")
    mine = rows[(rows["client"] == 2) & (rows["seed"] == 3)].set_index(["method", "round"])
    asked = [("hfkd", 2), ("hfkd", 4), ("local", 4), ("balanced_local", 4)]
    assert list(one.shares.index) == ["round 2", "round 4", "local", "balanced_local"]
    for name, place in zip(one.shares.index, asked):
        assert one.shares.loc[name].tolist() == mine.loc[place, ["personality", "consistency"]].tolist()
    gain = 100 * (one.shares.loc["round 4"] - one.shares.loc["local"])["consistency"]
    words = "no more" if abs(gain) < .05 else f"{abs(gain):.1f} points {'more' if gain > 0 else 'less'}"
    assert "than when it trains alone" in summary(one) and summary(one).endswith(f"of all classes alike, {words}.")


def test_page_of_a_student(folder, books):
    one = told(folder / "earned.csv", int(books["counts"].query("level == 1")["client"].iloc[0]))
    text = page(one)
    lines = text.splitlines()
    for part in ("CLIENT", "ITS GROUP", "ALPHA", "WHAT EACH PARTNER EARNED IT", "BEFORE AND AFTER"):
        assert part in text and len(lines) <= 45 and max(map(len, lines)) <= 100
    assert "small (level 1 of 3)" in text and "rule coverage, fan_in 4" in text
    assert "     ".join(bars(one.counts[one.client])) in text
    for partner, row in one.partners[one.partners["kind"] == "teacher"].iterrows():
        found = [line for line in lines if line.split()[:2] == ["teacher", str(partner)]]
        assert f"{row['similarity']:.2f}" in found[0] and bars(one.counts[partner]) in found[0]
        assert f"{one.revenue.loc[partner, 4]:+.2f}" in found[1] and f"{row['weight']:.1%}" in found[1]


def test_page_of_the_most_capable_level(folder, books):
    text = page(told(folder / "earned.csv", int(books["counts"].query("level == 3")["client"].iloc[0])))
    assert "no teachers: it is of the most capable level" in text and "BETA" in text and "feedback" in text


def test_page_of_a_closed_gate(folder, books):
    shut = books["weights"][books["weights"]["closed"] == 1]
    client = int(shut["client"].iloc[0])
    text, closed = page(told(folder / "earned.csv", client)), shut[shut["client"] == client]["round"].tolist()
    assert f"gate closed (×) in rounds {closed[0]}" in text and "×" * len(closed) in text.replace("·", "")
    assert "own loss on public labels" in text and "loss of its target there" in text


def test_page_without_revenue_and_of_a_loner(folder):
    text = page(told(folder / "plain" / "two", 1, skew=.5))
    assert "--set revenue=labelled --set public_labels=True --set refresh=5" in text and "say in target" in text
    lone = told(folder / "earned.csv", 1, method="local")
    assert "hears nobody: under local it trains alone" in page(lone) and "ALPHA: none" in page(lone)
    with pytest.raises(ValueError, match="client 1 hears nobody under local; expected one with partners"):
        fig_story(lone)


def test_figure_draws_the_numbers(folder):
    for one in (told(folder / "earned.csv", 1), told(folder / "plain" / "two.csv", 1, skew=.1)):
        figure = fig_story(one)
        written = {text.get_text() for axes in figure.axes for text in axes.texts}
        assert {f"{one.partners['coverage'].iloc[0]:.2f}", "S", "G", "K"} <= written
        assert any((line.get_ydata() == one.rounds["weight"].to_numpy()).all() for line in figure.axes[0].lines)


BAD = {
    "none.csv --client 1": "no result file none.csv; `hfkd run --method hfkd --out none.csv` makes one with journals",
    "plain/bare.csv --client 1": "bare.csv has no journals beside it (bare.ledger.csv is missing); `hfkd run ... --out",
    "earned.csv --client 8": "client is 8; expected one of 0 to 7",
    "earned.csv --client 1 --seed 4": "seed is 4; expected one of 3, 5, of which earned.csv has journals",
    "earned --client 1 --method fedmd": "no journals of method 'fedmd'; it has those of method 'balanced_local', ",
    "plain --client 1": "two.csv has journals of 2 runs (skew 0.1, skew 0.5); say which with --skew",
    "plain/two --client 1 --skew 0.2": "two.csv has no journals of skew 0.2; it has those of skew 0.1, skew 0.5; `",
    "empty --client 1": "folder empty has no result file with journals; `hfkd run ... --out X.csv` always writes them",
}


@pytest.mark.parametrize("line", BAD)
def test_each_error_is_one_sentence(folder, monkeypatch, capsys, line):
    (folder / "empty").mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    assert main(["explain", *line.split()]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("hfkd: ") and BAD[line] in err and len(err.splitlines()) == 1


def test_command_prints_the_page(folder, capsys):
    for path in ("earned.csv", "earned", "earned.ledger.csv", "."):
        assert main(["explain", str(folder / path), "--client", "1", "--seed", "5"]) == 0
        assert capsys.readouterr().out == page(told(folder / "earned.csv", 1, seed=5)) + "\n"
    assert find(folder) == folder / "earned.csv"
    with pytest.raises(ValueError, match="unknown condition 'seeds'; expected some of method, "):
        story(folder, 1, seeds=3)
