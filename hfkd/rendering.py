"""What is derived from the committed results: the two tables of REPRODUCE.md, and figures/.

`write` makes both; `is_current` is what the tests ask: would `write` change the document? Figures are left out of the
question, because a font library may move a pixel where no number has changed.
"""

from collections.abc import Sequence
from pathlib import Path

from hfkd import claims, exhibits, paths, plots
from hfkd.results import origin, write_files

DOCUMENT = paths.ROOT / "REPRODUCE.md"


def write() -> list[Path]:
    """Writes the tables and the figures; returns the files, in order.

    Raises:
        FileNotFoundError: a result file is missing; the sentence names the command that makes it.
    """
    write_files({DOCUMENT: rendered(DOCUMENT.read_text(encoding="utf-8"))})
    files = [file for name, figure in exhibits.committed().items() for file in plots.save(figure, paths.FIGURES / name)]
    return [DOCUMENT, *files]


def is_current(document: Path = DOCUMENT) -> bool:
    """Whether the document says what the committed results say."""
    text = Path(document).read_text(encoding="utf-8")
    return rendered(text) == text


def rendered(text: str) -> str:
    """The text of REPRODUCE.md with both tables made anew from the committed results."""
    text = between(text, "claims", claims_table(claims.verdicts()))
    return between(text, "commands", commands_table(paths.RESULTS))


def between(text: str, mark: str, content: str) -> str:
    """`text` with `content` between the lines <!-- mark --> and <!-- /mark -->.

    Raises:
        ValueError: the two marks are not there exactly once each, in this order.

    >>> between("a <!-- x -->old<!-- /x --> z", "x", "new")
    'a <!-- x -->\\n\\nnew\\n\\n<!-- /x --> z'
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the document lacks the marks {begin} and {end}; expected each once, in this order")
    return f"{text[: text.index(begin)]}{begin}\n\n{content.strip()}\n\n{text[text.index(end) :]}"


def commands_table(folder: Path) -> str:
    """Every result file of a folder: what made it, over how many seeds, on what, in how many minutes."""
    lines = ["| rows | command | seeds | machine | minutes |", "|---|---|---|---|---|"]
    for path in sorted(path for path in folder.glob("*.csv") if "." not in path.stem):  # not the journals
        made = origin(path)
        machine = f"{made['device']}, {made['threads']} thread a run"
        rest = f"--seeds {made['first']}-{made['last']} --out data/results/{path.name}"
        commands = "<br>".join(f"`{command} {rest}`" for command in made["commands"])
        lines.append(f"| `{path.name}` | {commands} | {made['seeds']} | {machine} | {made['seconds'] / 60:.0f} |")
    return "\n".join(lines) + "\n"


def claims_table(found: Sequence[claims.Verdict]) -> str:
    """The verdicts as a GitHub table, with a newline at its end; equal verdicts give equal bytes. Source: *ours*."""
    lines = ["| claim | statement | see | expected | measured | verdict |", "|---|---|---|---|---|---|"]
    for verdict in found:
        claim = verdict.claim
        spread = f" ± {claim.tolerance:g}" if claim.kind in ("within", "about") else ""
        cells = [
            claim.id,
            claim.statement,
            f"{claim.notebook}, {claim.exhibit}",
            f"{claim.kind} {claim.expected:g}{spread}",
            claims.measured(claim, verdict.estimate) if verdict.estimate else "",
            claims.WORDS[verdict.holds],
        ]
        lines.append("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |")
    return "\n".join(lines) + "\n"
