"""The house itself: imports run downward, files stay short, the lists of packages agree, nothing local slips in."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "hfkd").rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 200, 40  # lines; of a function the docstring is not counted

# From the ground up: a module may import those before it. `methods` and `plots` are folders, `hfkd` is hfkd/__init__.py.
ORDER = """
    paths peaks streams tables assess losses levels shares progress parameters given bystanders provenance outputs
    checkpoints faults archives formats download data schemes partition
    constraints rounds coverage solvers matching knowledge weighting privacy revenue limits config batched blocks cohorts
    training memory state measure transport networks books earning course signals hearing learning ledger federation averaging
    methods needs floor bench bench_match overhead workloads sweep parallel endpoints compat pairing curves leak results
    journals statistics overview ranking claims costs plots stories explaining
    running cells tunings grids eavesdropping disclosure experiments benchmarks chaos exhibits rendering notebooks plans
    listing commands hfkd cli
""".split()
# Closer than the order: these may import only what is named.
ONLY = {name: set() for name in ("paths", "streams", "tables", "losses", "levels")} | {
    "assess": {"tables"},
    "matching": {"assess", "constraints", "coverage", "rounds", "solvers", "tables"},
    "knowledge": {"losses"},
    "weighting": {"losses"},
    "revenue": {"losses"},
    "batched": {"levels"},
    "blocks": set(),
    "cohorts": {"batched", "blocks", "levels"},
    "training": {"batched", "blocks", "cohorts", "losses"},
}
WITHOUT_TORCH = {"results", "statistics", "overview", "ranking", "claims", "costs", "compat", "plots", "explaining"}
JUPYTER = {"papermill", "nbclient", "nbformat"}  # in notebooks.py alone, inside functions
NEVER = {"nbval", "IPython"}


def name_of(path: Path) -> str:
    """The module as ORDER names it."""
    parts = path.relative_to(ROOT / "hfkd").with_suffix("").parts
    return {"__init__": "hfkd"}.get(parts[0], parts[0])


def imported(tree: ast.AST) -> set[str]:
    """What a file imports anywhere in it, as dotted names: `from hfkd import paths` counts as hfkd.paths."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; write `from hfkd...`"
            names |= {f"hfkd.{a.name}" for a in node.names} if node.module == "hfkd" else {node.module}
    return names


TREES = {path: ast.parse(path.read_text("utf-8")) for path in SOURCES}
INSIDE: dict[str, set[str]] = {}  # module -> modules of hfkd that it imports
OUTSIDE: dict[str, set[str]] = {}  # module -> top-level packages that it imports
for _path, _tree in TREES.items():
    _name, _all = name_of(_path), imported(_tree)
    INSIDE.setdefault(_name, set()).update({n.split(".")[1] for n in _all if n.startswith("hfkd.")} - {_name})
    OUTSIDE.setdefault(_name, set()).update(n.split(".")[0] for n in _all)


def test_reading_of_imports():
    source = "import a.b\nfrom hfkd import paths\nfrom hfkd.methods import local\ndef f():\n    from c import d"
    assert imported(ast.parse(source)) == {"a.b", "hfkd.paths", "hfkd.methods", "c"}


def test_imports_run_downward():
    strangers = sorted(set(INSIDE) - set(ORDER))
    assert not strangers, f"give {strangers} a place in ORDER"
    rank = {name: place for place, name in enumerate(ORDER)}
    upward = [f"{m} imports {n}" for m, used in INSIDE.items() for n in used if n in rank and rank[n] >= rank[m]]
    narrow = [f"{m} imports {n}" for m in ONLY for n in INSIDE.get(m, set()) - ONLY[m]]
    assert not upward + narrow, f"imports run downward only: {sorted(upward + narrow)}"


@pytest.mark.parametrize("module", sorted(WITHOUT_TORCH & set(INSIDE)))
def test_results_never_import_torch(module):
    reached, queue = set(), [module]
    while queue:
        reached.add(name := queue.pop())
        queue += INSIDE.get(name, set()) - reached
    assert not [name for name in reached if "torch" in OUTSIDE.get(name, set())]


def test_jupyter_stays_in_one_module():
    for module, packages in OUTSIDE.items():
        assert not packages & NEVER, f"{module} imports {packages & NEVER}"
        assert module == "notebooks" or not packages & JUPYTER, f"{module} imports {packages & JUPYTER}"
    body = TREES[ROOT / "hfkd" / "notebooks.py"].body
    top = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
    eager = {name.split(".")[0] for name in imported(ast.Module(top, []))}
    assert not eager & (JUPYTER | {"jupyter_client", "traitlets", "matplotlib"})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT / "hfkd").as_posix())
def test_files_and_functions_are_short_and_explained(path):
    tree, complaints = TREES[path], []
    if (lines := len(path.read_text("utf-8").splitlines())) > LONGEST_FILE:
        complaints.append(f"{lines} lines; at most {LONGEST_FILE}")
    if lines and not ast.get_docstring(tree):
        complaints.append("no docstring at the top")
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0]
            text = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
            if (length := node.end_lineno - node.lineno + 1 - text) > LONGEST_FUNCTION:
                complaints.append(f"{node.name} has {length} lines of code; at most {LONGEST_FUNCTION}")
    for node in tree.body:
        public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        if public and not ast.get_docstring(node):
            complaints.append(f"{node.name} is public and has no docstring")
    assert not complaints


def lock() -> list[Requirement]:
    """The pins of requirements.lock."""
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def project() -> dict:
    """The [project] table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_lock_has_exact_portable_pins():
    for pin in lock():
        (only,) = pin.specifier
        assert only.operator == "==" and "+" not in only.version and "*" not in only.version, str(pin)
        assert pin.url is None and not pin.name.startswith("nvidia"), str(pin)
    names = [canonicalize_name(pin.name) for pin in lock()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("minor", ["3.11", "3.12", "3.13"])
def test_lock_satisfies_the_project(minor):
    assert f"{minor}.0" in SpecifierSet(project()["requires-python"])
    pins = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin in lock()
        if not pin.marker or pin.marker.evaluate({"python_version": minor})
    }
    wanted = [*project()["dependencies"], *project()["optional-dependencies"]["test"]]
    for need in map(Requirement, wanted):
        assert pins.get(canonicalize_name(need.name), "0") in need.specifier, f"{need}: the lock does not satisfy it"


def test_conda_environment_agrees():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    (python,) = [item.split("=")[1] for item in conda if item.startswith("python=")]
    assert f"{python}.0" in SpecifierSet(project()["requires-python"])
    assert pip == ["-r requirements.lock", "-e ."] and set(conda) == {f"python={python}", "pip"}
    assert environment["name"] == project()["name"]


def test_citation_and_licence_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == project()["version"] and citation["license"] == project()["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text("utf-8").startswith("MIT License")


# Written in pieces, so that this file does not match itself.
LOCAL = re.compile(
    r"(?<![\w.~$}])/(?:" + "|".join(["home", "root", "work", "tmp", "opt", "Users", "mnt"]) + r")/|[A-Z]:\\"
    r"|" + "|".join(["py" + r"pi\.org", "python" + r"hosted\.org", "py" + r"torch\.org/whl", "ana" + r"conda\.org"])
    + r"|" + "|".join(["index" + "-url", "find" + "-links"])
)  # fmt: skip


def test_pattern_finds_what_is_local():
    for text in ("see /" + "home/me/x", "--extra-index" + "-url", "https://py" + "pi.org/simple", '"/' + 'tmp/a"'):
        assert LOCAL.search(text), text
    for text in ("../home/shared", "a/home/b", "/usr/share/datasets", "frame/home/"):
        assert not LOCAL.search(text), text


def test_nothing_of_one_machine_is_tracked():
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: no list of tracked files")
    found = []
    for path in (ROOT / name for name in names if name and (ROOT / name).is_file()):
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        text = re.sub(r'"image/png": "[^"]*"', "", text)  # base64 may spell anything
        found += [f"{path.relative_to(ROOT)}: {hit.group()}" for hit in LOCAL.finditer(text)]
    assert not found
