"""Journals of which the record says that they are right, and which are not: what `hfkd explain` says about them."""

import json
import shutil

import pytest
from bad import made, refused  # noqa: F401  fixtures

from hfkd import provenance


def cell(row, column, value):
    """What changes one cell; row 0 is the header."""
    def spoil(content: bytes) -> bytes:
        rows = [text.split(",") for text in content.decode().splitlines()]
        rows[row][rows[0].index(column)] = value
        return "\n".join(map(",".join, rows)).encode() + b"\n"
    return spoil


def rows(keep):
    """What keeps some of the rows under the header, by number."""
    def spoil(content: bytes) -> bytes:
        head, *body = content.splitlines(True)
        return head + b"".join(row for at, row in enumerate(body) if keep(at))
    return spoil


JOURNALS = {  # which journal, what is done to it -> what the sentence says
    "nothing": ("counts", lambda c: b"", "x.counts.csv cannot be read (No columns to parse from file)"),
    "binary": ("counts", lambda c: b"\x80\xff", "x.counts.csv cannot be read ('utf-8' codec can't decode byte 0x80"),
    "a cut header": ("counts", lambda c: c[:50], "x.counts.csv cannot be read (it lacks the columns client"),
    "no header": ("ledger", lambda c: c.split(b"\n", 1)[1], "it lacks the columns method, dataset"),
    "a column less": ("weights", cell(0, "weight", "mass"), "it lacks the columns weight; expected"),
    "no rows": ("weights", rows(lambda at: False), "x.csv has no journals of "),
    "a word": ("weights", cell(1, "weight", "high"), "x.weights.csv cannot be read (Unable to parse string"),
    "half a count": ("counts", cell(1, "count", "2.5"), "count has the value 2.5; expected integers >= 0"),
    "a count below 0": ("counts", cell(1, "count", "-2"), "count has the value -2; expected integers >= 0"),
    "an infinite count": ("counts", cell(1, "count", "inf"), "count has the value inf; expected integers >= 0"),
    "no count": ("counts", cell(1, "count", ""), "count has the value nan; expected integers >= 0"),
    "a huge count": ("counts", cell(1, "count", "9" * 30), "count has the value 1e+30; expected integers >= 0"),
    "half a level": ("counts", cell(1, "level", "1.5"), "level has the value 1.5; expected integers >= 0"),
    "a client below 0": ("counts", cell(1, "client", "-1"), "client has the value -1; expected integers >= 0"),
    "a class less": ("counts", rows(lambda at: at != 1), "x.counts.csv has 8 counts of seed 0; expected one for"),
    "a row twice": ("counts", lambda c: c + c.splitlines(True)[-1], "1 rows repeat a key; expected each seed"),
    "a kind": ("ledger", cell(1, "kind", "friend"), "kind has the value 'friend'; expected one of teacher, "),
    "a client that is none": ("ledger", cell(1, "from", "99"), "x.ledger.csv names client 99; expected 0 to 2"),
}


@pytest.mark.parametrize("what", JOURNALS)
def test_journals(what, made, tmp_path, refused):  # noqa: F811
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    name, spoil, said = JOURNALS[what]
    file, record = tmp_path / f"x.{name}.csv", json.loads((tmp_path / "x.json").read_text())
    file.write_bytes(spoil(file.read_bytes()))
    record["journals"][name] = provenance.rows_digest(file.read_bytes())
    (tmp_path / "x.json").write_text(json.dumps(record))
    assert said in refused("explain", "x.csv", "--client", "0")


ASKED = {  # what `hfkd explain x.csv` is asked -> what the sentence says
    "--client 3": "client is 3; expected one of 0 to 2",
    "--client -1": "client is -1; expected one of 0 to 2",
    "--client 0 --seed 5": "seed is 5; expected one of 0, of which x.csv has journals",
    "--client 0 --method fedmd": "x.csv has no journals of method 'fedmd'; it has those of method 'hfkd'",
    "--client 0 --skew nan": "x.csv has no journals of skew nan; it has those of skew 0.1",
    "--client 0 --dataset mnist": "x.csv has no journals of dataset 'mnist'",
    "--client 0 --variant alpha=1": "x.csv has no journals of variant 'alpha=1'",
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_not_there(asked, made, tmp_path, refused):  # noqa: F811
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    assert ASKED[asked] in refused("explain", "x.csv", *asked.split())
