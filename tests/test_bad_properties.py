"""Whatever is written, cut or altered: a value that fits, or one sentence; never another error (hypothesis).

The inputs are the same in every run, so a failure here is not a matter of luck.
"""

import math
import os
import warnings
from dataclasses import fields

import numpy as np
import pytest
from bad import images, npz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_bad_files import RAW
from test_bad_jpegs import jpegs

from hfkd import archives, assess, claims, formats, provenance
from hfkd.claims import parse
from hfkd.config import RANGES, Config, configure, parse_seeds, parse_set
from hfkd.data import load
from hfkd.matching import RULES, Paths, match
from hfkd.parameters import parse_line

# HFKD_EXAMPLES=20000 looks for longer, and at other inputs in every run
MANY = int(os.environ.get("HFKD_EXAMPLES", 0))
often = settings(max_examples=MANY or 200, derandomize=not MANY, database=None, deadline=None,
                 suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
seldom = settings(often, max_examples=MANY or 100)
NAMES = [field.name for field in fields(Config)]
NUMBERS = st.one_of(st.integers(), st.integers(-(10**400), 10**400), st.floats(), st.complex_numbers())
VALUES = st.one_of(NUMBERS, st.text(), st.booleans(), st.none(), st.lists(NUMBERS, max_size=4), st.binary(),
                   st.tuples(NUMBERS, NUMBERS, NUMBERS))  # fmt: skip
WORDS = st.text(alphabet=st.sampled_from("0123456789-,.=[](){}'\"eE+jxa_ \\#\n\t%:;|"), max_size=40)


def tried(act, *words):
    """What a function returns, or the sentence of its ValueError; any other error is a defect and goes on."""
    try:
        return act(*words)
    except (ValueError, FileNotFoundError) as error:
        assert len(str(error)) > 10
        return str(error)


@often
@given(st.sampled_from(NAMES), VALUES)
def test_a_setting_fits_or_is_named(name, value):
    found = tried(lambda: configure(**{name: value}))
    if isinstance(found, str):
        assert name in found and ("expected" in found or "set " in found)
    elif name in RANGES and getattr(found, name) is not None:
        low, high = RANGES[name]
        assert low <= getattr(found, name) <= (high or math.inf)


@often
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=2, max_size=5))
def test_settings_together(given):
    found = tried(lambda: configure(**given))
    assert isinstance(found, Config) or any(name in found for name in NAMES)


@often
@given(st.one_of(WORDS, st.text(max_size=60)))
def test_text_is_read_or_refused(text):
    with warnings.catch_warnings(action="error"):
        for act in (parse_seeds, parse_line, parse):
            tried(act, text)
        assert isinstance(parse_set([f"a={text}"]), dict)
    found = tried(parse_seeds, text)
    assert "expected" in found if isinstance(found, str) else len(set(found)) == len(found) and min(found) >= 0


@often
@given(st.lists(st.lists(NUMBERS, max_size=4), max_size=4))
def test_counts_are_read_or_named(rows):
    found = tried(assess.distributions, rows)
    if isinstance(found, str):
        assert found.startswith("counts ") and "expected" in found
    else:
        np.testing.assert_allclose(found.sum(axis=1), 1)


@often
@given(st.lists(st.lists(st.integers(0, 2**53), min_size=3, max_size=3), min_size=1, max_size=5), st.data())
def test_matching_keeps_to_levels_or_names_what_is_wrong(counts, data):
    levels = data.draw(st.lists(st.integers(-1, 4), min_size=len(counts), max_size=len(counts)))
    limits = {"fan_in": data.draw(st.integers(0, 3)), "max_gap": data.draw(st.integers(0, 3))}
    rule, eta = data.draw(st.sampled_from(sorted(RULES))), data.draw(st.floats())
    found = tried(lambda: match(counts, Paths(levels, **limits), rule, eta, np.random.default_rng(0)))
    if isinstance(found, str):
        assert "expected" in found
    else:
        student, teacher = np.nonzero(found.edges)
        assert (np.array(levels)[student] < np.array(levels)[teacher]).all()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Good bytes of every format with the function that reads them."""
    folder = tmp_path_factory.mktemp("spoilt")
    line = "C01,It gains,40_x,fig40,40_x.csv,above,20,,hfkd - local | consistency | skew=0.1"
    listed = (",".join(claims.COLUMNS) + "\n" + line + "\n").encode()

    def path(name, read):
        def act(content):
            (folder / name).write_bytes(content)
            return read(folder / name)
        return act
    return {"npz": (npz(**images(20)), archives.parse_npz), "loaded": (npz(**images(20)), path("own.npz", load)),
            "idx": (RAW, formats.parse_idx), "jpeg": (jpegs(), archives.parse_jpegs),
            "claims": (listed, path("claims.csv", claims.read)),
            "record": (b'{"rows_sha256": "0", "parameters": {}}', path("x.json", lambda p: _record(p)))}  # fmt: skip


def _record(note):
    """Read a record whose CSV is empty."""
    note.with_suffix(".csv").write_bytes(b"")
    return provenance.read_record(note.with_suffix(".csv"))


def _read_or_refused(read, content):
    """Any other error is a defect, and goes on."""
    try:
        read(content)
    except formats._BROKEN as error:  # what `formats.read` turns into a sentence with the file's name
        assert str(error)


@pytest.mark.parametrize("kind", ["npz", "loaded", "idx", "jpeg", "claims", "record"])
@seldom
@given(st.data())
def test_altered_bytes_are_read_or_refused(kind, files, data):
    content, read = files[kind]
    spoilt = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoilt)))
        piece, over = data.draw(st.binary(max_size=6)), data.draw(st.integers(0, 6))
        spoilt[at : at + over] = piece
    spoilt = bytes(spoilt[: data.draw(st.integers(0, len(spoilt)))]) if data.draw(st.booleans()) else bytes(spoilt)
    _read_or_refused(read, spoilt)


@seldom
@given(st.binary(max_size=200))
def test_any_bytes(content):
    for read in (archives.parse_npz, formats.parse_idx, archives.parse_jpegs, formats.parse_cifar_tar):
        for start in (b"", b"PK\3\4", b"\x1f\x8b\x08", b"\0\0\x08\1"):
            _read_or_refused(read, start + content)
