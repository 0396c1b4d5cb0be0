"""Result files, their records and their journals that were cut, altered or never one; asked about by four commands."""

import json
import os
import shutil

import pytest
from bad import SMALL, made, refused  # noqa: F401  fixtures

from hfkd import provenance, results

ADD = ["run", "--dataset", "own.npz", "--out", "x.csv", *SMALL, "--seeds", "1"]
EXPLAIN = ["explain", "x.csv", "--client", "1"]
BOM, BINARY = b"\xef\xbb\xbf", b"\x80\x04\x95\x00\xff\xfe"


def line(row, cell, value):
    """What changes one cell of a CSV, by row and column; row None: of all."""
    def spoil(content: bytes) -> bytes:
        rows = [text.split(",") for text in content.decode().splitlines()]
        for at, cells in enumerate(rows):
            if row in (None, at):
                cells[cell] = value
        return "\n".join(map(",".join, rows)).encode() + b"\n"
    return spoil


COLUMN = {"skew": 5, "seed": 7, "client": 9, "level": 10, "personality": 12, "alpha": 17, "bytes_up": 19}
ROWS = {  # what is done to x.csv, whose record then names the new rows -> what the sentence says
    "nothing in it": (lambda c: b"", "x.csv cannot be read (No columns to parse from file)"),
    "binary": (lambda c: BINARY, "x.csv cannot be read ('utf-8' codec can't decode byte 0x80 in position 0"),
    "UTF-16": (lambda c: c.decode().encode("utf-16"), "x.csv cannot be read ('utf-8' codec can't decode byte 0xff"),
    "zeros": (lambda c: bytes(99), "x.csv cannot be read (result rows lack the columns"),
    "no header": (lambda c: c.split(b"\n", 1)[1], "x.csv cannot be read ("),
    "cut in a line": (lambda c: c[:-9], "x.csv cannot be read (invalid literal for int() with base 10: ''"),
    "cut in the header": (lambda c: c[:50], "lack the columns ['variant', 'seed', 'round'"),
    "a column less": (lambda c: c.replace(b"personality", b"accuracy", 1), "have the unknown columns ['accuracy'"),
    "a column twice": (lambda c: c.replace(b",alpha", b",level", 1), "have the unknown columns ['level.1'"),
    "a field more": (lambda c: c.replace(b"\n", b",1\n").replace(b",1\n", b"\n", 1), "x.csv cannot be read ("),
    "one field more": (lambda c: c[:-1] + b",1\n", "x.csv cannot be read (Error tokenizing data"),
    "semicolons": (lambda c: c.replace(b",", b";"), "have the unknown columns ['experiment;method;dataset"),
    "an open quote": (lambda c: c.replace(b"hfkd", b'"hfkd', 1), "x.csv cannot be read (Error tokenizing data. C"),
    "a row twice": (lambda c: c + c.splitlines(True)[-1], "1 result rows repeat a key, first method hfkd"),
    "a word": (line(1, COLUMN["personality"], "high"), "could not convert string to float: 'high'"),
    "a fraction above 1": (line(2, COLUMN["personality"], "71.5"), "'personality' has the value 71.5; expected a f"),
    "a fraction below 0": (line(1, COLUMN["personality"], "-0.1"), "'personality' has the value -0.1; expected a"),
    "inf": (line(1, COLUMN["alpha"], "inf"), "column 'alpha' has the value inf; expected a number >= 0"),
    "inf as a fraction": (line(1, COLUMN["personality"], "inf"), "'personality' has the value inf; expected a f"),
    "1e999": (line(1, COLUMN["alpha"], "1e999"), "column 'alpha' has the value inf"),
    "a negative weight": (line(1, COLUMN["alpha"], "-2"), "column 'alpha' has the value -2; expected a number >= 0"),
    "half a client": (line(1, COLUMN["client"], "0.5"), "x.csv cannot be read ("),
    "no seed": (line(1, COLUMN["seed"], ""), "x.csv cannot be read ("),
    "a seed of nan": (line(1, COLUMN["seed"], "nan"), "x.csv cannot be read ("),
    "a seed below 0": (line(None, COLUMN["seed"], "-1"), "x.csv cannot be read ("),
    "a huge number of bytes": (line(1, COLUMN["bytes_up"], "9" * 30), "x.csv cannot be read ("),
    "a huge level": (line(1, COLUMN["level"], "1" + "0" * 400), "x.csv cannot be read ("),
    "a skew in words": (line(1, COLUMN["skew"], "low"), "column 'skew' has a value that is no number"),
    "no skew": (line(1, COLUMN["skew"], ""), "column 'skew' has a value that is no number"),
    "a skew of nan": (line(1, COLUMN["skew"], "nan"), "column 'skew' has the value nan; expected a number >= 0"),
}


@pytest.mark.parametrize("what", ROWS)
@pytest.mark.parametrize("words", [ADD, EXPLAIN], ids=["run", "explain"])
def test_rows(what, words, made, tmp_path, refused):  # noqa: F811
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    spoil, said = ROWS[what]
    rows = spoil((tmp_path / "x.csv").read_bytes())
    (tmp_path / "x.csv").write_bytes(rows)
    record = json.loads((tmp_path / "x.json").read_text()) | {"rows_sha256": provenance.rows_digest(rows)}
    (tmp_path / "x.json").write_text(json.dumps(record))
    assert said in refused(*words)


def without(*names):
    """What takes fields out of a record."""
    return lambda record: {name: value for name, value in record.items() if name not in names}


def parameters(**change):
    """What replaces parameters in a record; "gone" takes one out."""
    def spoil(record):
        kept = {name: value for name, value in (record["parameters"] | change).items() if value != "gone"}
        return record | {"parameters": kept}
    return spoil


RECORDS = {  # what is done to x.json -> the command that reads it, what the sentence says
    "another digest": (lambda r: r | {"rows_sha256": "0" * 64}, ADD, "x.csv is not the file that x.json was wr"),
    "no digest": (without("rows_sha256"), EXPLAIN, "x.csv is not the file that x.json was written for; restore both"),
    "other code": (lambda r: r | {"code": "0" * 64}, ADD, "x.csv was made by other code (digest 000000000000 there"),
    "no code": (without("code"), ADD, "x.csv was made by other code (digest None there"),
    "another learning rate": (parameters(lr=3), ADD, "x.csv holds another configuration (lr is 3 there and None here)"),
    "an unknown parameter": (parameters(tau=1), ADD, "(tau is 1 there and 'absent' here); choose another --out"),
    "a parameter less": (parameters(batch="gone"), ADD, "(batch is 'absent' there and 8 here); choose"),
    "no parameters": (without("parameters"), ADD, "(alpha is 'absent' there and None here; "),
    "no parameters to explain": (without("parameters"), EXPLAIN, "x.json lacks the parameters fan_in, gate, max_gap"),
    "no rule to explain": (parameters(rule="gone"), EXPLAIN, "x.json lacks the parameters rule; expected"),
    "parameters in a list": (lambda r: r | {"parameters": []}, ADD, "x.json is no record of a result; expected an obj"),
    "seconds in words": (lambda r: r | {"seconds": "long"}, ADD, "x.json is no record of a result"),
    "commands in words": (lambda r: r | {"commands": "hfkd"}, EXPLAIN, "x.json is no record of a result"),
    "a number among the commands": (lambda r: r | {"commands": [1]}, ADD, "x.json is no record of a result; expected"),
    "a list among the commands": (lambda r: r | {"commands": [[1]]}, EXPLAIN, "x.json is no record of a result"),
    "journals in a list": (lambda r: r | {"journals": []}, ADD, "x.json is no record of a result; expected"),
    "another journal": (lambda r: r | {"journals": {"ledger": "0"}}, ADD, "x.ledger.csv is not the file that the"),
    "no journals": (without("journals"), EXPLAIN, "x.ledger.csv is not the file that the JSON"),
    "a list": (lambda r: [r], ADD, "x.json is no record of a result; expected an object as `hfkd run` writes it"),
    "a number": (lambda r: 3, EXPLAIN, "x.json is no record of a result; expected an object"),
}
TEXTS = {  # x.json -> what the sentence says
    "nothing": (b"", "x.json is not valid JSON (Expecting value: line 1 column 1"),
    "half": (b'{"code": "', "x.json is not valid JSON (Unterminated string"),
    "binary": (BINARY, "x.json is not valid JSON ('utf-8' codec can't decode byte 0x80"),
    "a byte order mark": (BOM + b"{}", "x.json is not valid JSON (Unexpected UTF-8 BOM"),
    "brackets": (b"[" * 100_000, "x.json is not valid JSON (maximum recursion depth exceeded"),
}
FOLDER = {  # what is done to the folder -> command, what the sentence says
    "no record": (lambda f: (f / "x.json").unlink(), ADD, "x.csv has no x.json beside it, so nobody"),
    "no journal": (lambda f: (f / "x.counts.csv").unlink(), EXPLAIN, "x.csv has no journals beside it (x.co"),
    "an altered journal": (lambda f: (f / "x.counts.csv").write_text("a"), EXPLAIN, "x.counts.csv is not the"),
    "rows and no record": (lambda f: (f / "x.json").unlink(), EXPLAIN, "x.csv has no x.json beside it"),
    "a byte order mark": (lambda f: (f / "x.csv").write_bytes(BOM + (f / "x.csv").read_bytes()), ADD, "is not the"),
    "two result files": (lambda f: [shutil.copy(p, f / f"y{p.name[1:]}") for p in f.glob("x.*")],
                         ["explain", ".", "--client", "1"], "folder . has 2 result files with journals (x.csv, y.csv)"),
    "a folder in its place": (lambda f: [(f / "x.csv").unlink(), (f / "x.csv").mkdir()], ADD, "x.csv is a folder; exp"),
    "a folder for its record": (lambda f: [(f / "x.json").unlink(), (f / "x.json").mkdir()], ADD,
                                "x.json is no regular file, in the way of result file x.csv; remove it, or choose"),
    "a folder for a journal": (lambda f: [(f / "x.ledger.csv").unlink(), (f / "x.ledger.csv").mkdir()], ADD,
                               "x.ledger.csv is no regular file, in the way of result file x.csv; remove it"),
    "a pipe": (lambda f: [(f / "x.csv").unlink(), os.mkfifo(f / "x.csv")], ADD, "x.csv is no regular file, in the way"),
    "a link to a device": (lambda f: [(f / "x.csv").unlink(), (f / "x.csv").symlink_to("/dev/zero")], ADD,
                           "x.csv is no regular file, in the way of"),
}  # fmt: skip


@pytest.mark.parametrize("what", RECORDS)
def test_records(what, made, tmp_path, refused):  # noqa: F811
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    spoil, words, said = RECORDS[what]
    record = spoil(json.loads((tmp_path / "x.json").read_text()))
    (tmp_path / "x.json").write_text(json.dumps(record))
    assert said in refused(*words)


@pytest.mark.parametrize("what", TEXTS)
@pytest.mark.parametrize("words", [ADD, EXPLAIN], ids=["run", "explain"])
def test_texts(what, words, made, tmp_path, refused):  # noqa: F811
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    content, said = TEXTS[what]
    (tmp_path / "x.json").write_bytes(content)
    assert said in refused(*words)


@pytest.mark.parametrize("what", FOLDER)
def test_folders(what, made, tmp_path, refused):  # noqa: F811
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    spoil, words, said = FOLDER[what]
    spoil(tmp_path)
    assert said in refused(*words)


@pytest.mark.parametrize("name", ["x.csv", "x.json"])
@pytest.mark.parametrize("words", [ADD, EXPLAIN], ids=["run", "explain"])
def test_sizes(name, words, made, tmp_path, refused, monkeypatch):  # noqa: F811
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    with (tmp_path / name).open("a") as file:
        file.write(" " * 10_000)  # now the larger of the two
    size = (tmp_path / name).stat().st_size
    monkeypatch.setattr(provenance, "LARGEST", size - 1)
    assert f"{name} has {size} bytes; expected at most {size - 1}" in refused(*words)


def test_terabytes_without_a_record(tmp_path):
    (tmp_path / "x.csv").touch()
    os.truncate(tmp_path / "x.csv", 2**43)  # nothing on the disk
    with pytest.raises(ValueError, match=r"x\.csv has 8796093022208 bytes; expected at most 1073741824"):
        results.load(tmp_path / "x.csv")
