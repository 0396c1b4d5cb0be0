"""Lists of claims that cannot be read, and lines of them that say nothing that a machine can check."""

import csv
import functools

import pytest
from bad import refused  # noqa: F401  a fixture

from hfkd import claims

LINE = {"id": "C01", "statement": "It gains", "notebook": "40_x", "exhibit": "fig40", "result_file": "40_x.csv",
        "kind": "above", "expected": "20", "tolerance": "", "how": "hfkd - local | consistency | skew=0.1"}
HEAD = ",".join(claims.COLUMNS).encode()
FIELDS = {  # what one line has instead -> what the sentence says
    "id=": "claim (no id) has an empty or surplus field; expected all of",
    "statement= ": "claim C01 has an empty or surplus field; expected",
    "kind=exactly": "claim C01 has the kind 'exactly'; expected one of above, below, within, about",
    "kind=": "claim C01 has an empty or surplus field; expected all of id",
    "kind=ABOVE": "claim C01 has the kind 'ABOVE'; expected",
    "expected=many": "claim C01 has expected 'many', tolerance ''; expected a finite number",
    "expected=nan": "claim C01 has expected 'nan', tolerance ''; expected",
    "expected=-inf": "claim C01 has expected '-inf', tolerance ''",
    "expected=1e999": "claim C01 has expected '1e999', tolerance ''",
    "expected=1,5": "claim C01 has expected '1,5', tolerance ''",
    "tolerance=wide": "claim C01 has expected '20', tolerance 'wide'",
    "kind=within": "claim C01 has expected '20', tolerance ''; expected a finite number and, for within",
    "kind=about;tolerance=0": "claim C01 has expected '20', tolerance '0'; expected",
    "kind=about;tolerance=-1": "claim C01 has expected '20', tolerance '-1'",
    "kind=within;tolerance=inf": "claim C01 has expected '20', tolerance 'inf'",
    "kind=within;tolerance=nan": "claim C01 has expected '20', tolerance 'nan'",
    "result_file=../x.csv": "claim C01 has the result file '../x.csv'; expected a bare name",
    "result_file=/etc/x.csv": "claim C01 has the result file '/etc/x.csv'; expected a bare",
    "result_file=x.json": "claim C01 has the result file 'x.json'; expected a bare name such as x.csv",
    "how=hfkd": "claim C01: how is 'hfkd'; expected 'method - baseline | metric",
    "how=hfkd | accuracy": "claim C01: how has the metric 'accuracy'; expected one of",
    "how=hfkd-local | consistency": "claim C01: how has the methods 'hfkd-local'; expected such as",
    "how=os.system() | consistency": "claim C01: how has the methods 'os.system()'; expected",
    "how=hfkd | consistency | seed=3": "claim C01: how has the condition 'seed=3'; expected",
    "how=hfkd | consistency | skew=": "claim C01: how has the condition 'skew='; expected",
    "how=hfkd | consistency | skew=nan": "claim C01: how has skew=nan; expected a number > 0",
    "how=hfkd | consistency | skew=-1": "claim C01: how has skew=-1.0; expected a number > 0",
    "how=hfkd | consistency | level=0": "claim C01: how has level=0; expected a number > 0",
    "how=hfkd | consistency | honest=20": "claim C01: how has honest=20.0; expected a number > 0, at most 1",
    "how=hfkd | consistency | level=2.5": "claim C01: how has level=2.5; expected",
    "how=hfkd | consistency | round=best": "claim C01: how has the round 'best'; expected last or validation",
    "how=hfkd | consistency | skew=.1, skew=.1": "how has the condition 'skew=.1' after another skew; expected",
}
FILES = {  # the bytes of the list -> what the sentence says
    "nothing": (b"", "claims.csv has the columns None; expected ['id'"),
    "another header": (b"id,claim\n1,2\n", "claims.csv has the columns ['id', 'claim']; expected"),
    "columns in another order": (HEAD.replace(b"id,statement", b"statement,id"), "has the columns ['statement', 'id'"),
    "a byte order mark": (b"\xef\xbb\xbf" + HEAD, "claims.csv has the columns ['\\ufeffid'"),
    "binary": (b"\x80\x04\xff", "claims.csv cannot be read ('utf-8' codec can't decode byte 0x80"),
    "Latin-1": (HEAD + b"\nC01,caf\xe9,a,b,c.csv,above,1,,hfkd | consistency\n", "can't decode byte 0xe9"),
    "an open quote": (HEAD + b'\nC01,"It gains', "claims.csv cannot be read (unexpected end of data); expected a CSV"),
    "a quote within": (HEAD + b'\nC01,"It" gains,', "claims.csv cannot be read (',' expected after '\"'); expected"),
    "a huge field": (HEAD + b"\nC01," + b"a" * 200_000, "claims.csv cannot be read (field larger than field limit"),
    "a short line": (HEAD + b"\nC07,short\n", "claim C07 has an empty or surplus field"),
    "a long line": (HEAD + b"\nC08,a,b,c,d.csv,above,1,,hfkd | consistency,more\n", "claim C08 has an empty or s"),
    "semicolons": (HEAD.replace(b",", b";"), "claims.csv has the columns ['id;statement;"),
}


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """The path of the list of claims that the commands read."""
    path = tmp_path / "claims.csv"
    monkeypatch.setattr(claims, "read", functools.partial(claims.read, path))
    return path


def write(path, *lines):
    """A list of claims with these lines."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, claims.COLUMNS)
        table.writeheader()
        table.writerows(lines)


@pytest.mark.parametrize("change", FIELDS)
def test_fields(change, listed, refused):  # noqa: F811
    write(listed, LINE | dict(part.split("=", 1) for part in change.split(";")))
    assert FIELDS[change] in refused("list", "claims")


@pytest.mark.parametrize("what", FILES)
def test_files(what, listed, refused):  # noqa: F811
    content, said = FILES[what]
    listed.write_bytes(content)
    assert said in refused("list", "claims")


def test_an_id_twice_a_missing_list_and_a_folder(listed, refused):  # noqa: F811
    assert "no list of claims" in refused("list", "claims")
    write(listed, LINE, LINE)
    assert "claims.csv has claim C01 more than once; expected one line per id" in refused("list", "claims")
    listed.unlink()
    listed.mkdir()
    assert "no list of claims" in refused("list", "claims")


def test_the_good_line_is_good(listed, capsys):
    write(listed, LINE)
    assert [claim.id for claim in claims.read()] == ["C01"]
