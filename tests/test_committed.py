"""What is committed holds together: results with their provenance, defaults chosen on validation data, documents, names."""

import pytest

import hfkd
from hfkd import claims, config, disclosure, endpoints, grids, journals, paths, rendering, results
from hfkd.methods import METHODS
from hfkd.provenance import read_record
from hfkd.weighting import RULES

# X.csv is a result file; X.ledger.csv, X.weights.csv and X.counts.csv are its journals
FILES = sorted(path for path in paths.RESULTS.glob("*.csv") if "." not in path.stem)
TUNING = [path for path in FILES if path.stem.startswith("tuning")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_result_file_says_how_it_was_made(path):
    record = read_record(path)  # checks the digest of the rows
    assert all(command.startswith("hfkd grid ") for command in record["commands"])
    assert record["git"]["commit"] != "unknown" and not record["git"]["dirty"]
    assert record["seconds"] > 0 and record["checksums"]


def test_claims_rest_on_committed_files():
    assert FILES and {claim.result_file for claim in claims.read()} <= {path.name for path in FILES}


def test_the_document_says_what_the_rows_say():
    assert rendering.is_current(), "REPRODUCE.md is stale; `hfkd render` writes it anew"


def test_defaults_are_those_chosen_on_validation_data():
    chosen = {}
    for name in ("tuning", "tuning_answers", "tuning_weights", "tuning_prototypes", "tuning_pairs", "tuning_avg", "tuning_depth"):
        found = endpoints.chosen(results.load(paths.RESULTS / f"{name}.csv"))
        chosen |= {run.replace("[hard_loss=own]", ""): setting for run, setting in found.items()}
    assert chosen.pop("local") == chosen.pop("balanced_local") == f"lr={config.DEFAULTS['lr']}"
    tuned = {}
    for name, method in METHODS.items():
        for loss, settings in method.CHOSEN.items():
            for setting, value in settings.items():
                tuned[name if loss == method.LOSS else f"{name}[hard_loss={loss}]"] = f"{setting}={value}"
    assert chosen == tuned


def test_every_method_was_tuned_with_as_many_values_and_chosen_alike_on_the_seeds_that_all_share():
    old = results.load(paths.RESULTS / "tuning.csv")
    assert endpoints.chosen(old).equals(endpoints.chosen(old[old["seed"] <= 102]))
    for name in ("tuning", "tuning_answers", "tuning_weights", "tuning_prototypes", "tuning_pairs", "tuning_avg", "tuning_depth"):
        frame = results.load(paths.RESULTS / f"{name}.csv")
        frame = frame[~frame["method"].isin(["local", "balanced_local"])]
        runs = frame["method"] + "," + frame["variant"].str.rpartition(",")[0]
        assert set(frame.groupby(runs)["variant"].nunique()) == {7}, name


def test_rules_of_notebook_20_are_at_the_alpha_chosen_on_validation_data():
    found = endpoints.chosen(results.load(paths.RESULTS / "tuning_rules.csv"))
    for rule in grids.RULED:
        *rest, alpha = (f"{name}={value}" for name, value in rule.items())
        assert found[f"hfkd[{','.join(rest)}]"] == alpha
    assert len(found) == len(grids.RULED) and {rule["weighting"] for rule in grids.RULED} | {"fixed"} == set(RULES)


def test_no_table_uses_a_seed_that_chose_something():
    chose = set().union(*(results.load(path)["seed"] for path in TUNING))
    for path in set(FILES) - set(TUNING):
        assert not chose & set(results.load(path)["seed"])


def test_journals_belong_to_their_result_files():
    for path in sorted(set(paths.RESULTS.glob("*.csv")) - set(FILES)):
        stem, name = path.stem.split(".")
        if name in disclosure.KEYS:  # a table of `hfkd privacy`, with a JSON of its own
            assert len(disclosure.load(path))
            continue
        assert len(journals.load(paths.RESULTS / f"{stem}.csv", name))


def test_every_public_name_is_there():
    assert [name for name in hfkd.__all__ if not callable(getattr(hfkd, name))] == []
    with pytest.raises(AttributeError, match="hfkd has no 'matc'; it has"):
        hfkd.matc
