"""What is derived from the committed results: the claims table of REPRODUCE.md, and figures/.

`write` makes both; `is_current` is what the tests ask: would `write` change the table? Figures are left out of the
question, because a font library may move a pixel where no number has changed.
"""

from collections.abc import Sequence
from pathlib import Path

from hfkd import claims, paths, plots
from hfkd.results import load, write_files

DOCUMENT = paths.ROOT / "REPRODUCE.md"
BEGIN, END = "<!-- claims -->", "<!-- /claims -->"
MAIN = "40_comparison.csv"  # the result file behind the figures of the paper


def write() -> list[Path]:
    """Writes the table and the figures; returns the files, in order.

    Raises:
        FileNotFoundError: a result file is missing; the sentence names the command that makes it.
    """
    write_table(DOCUMENT, table(claims.verdicts()))
    frame = load(paths.RESULTS / MAIN)
    drawn = {
        "fig40_frontier": plots.fig_frontier(frame),
        "fig40_levels": plots.fig_levels(frame),
        "fig40_rounds": plots.fig_rounds(frame),
    }
    files = [file for name, figure in drawn.items() for file in plots.save(figure, paths.FIGURES / name)]
    return [DOCUMENT, *files]


def is_current(document: Path = DOCUMENT) -> bool:
    """Whether the claims table in the document is the one that the committed results give."""
    return table(claims.verdicts()).strip() in Path(document).read_text(encoding="utf-8")


def table(found: Sequence[claims.Verdict]) -> str:
    """The verdicts as a GitHub table, with a newline at its end; equal verdicts give equal bytes. Source: *ours*."""
    lines = ["| claim | statement | see | expected | measured | verdict |", "|---|---|---|---|---|---|"]
    for verdict in found:
        claim = verdict.claim
        spread = f" ± {claim.tolerance:g}" if claim.kind in ("within", "about") else ""
        cells = [claim.id, claim.statement, f"{claim.notebook}, {claim.exhibit}",
                 f"{claim.kind} {claim.expected:g}{spread}",
                 claims.measured(claim, verdict.estimate) if verdict.estimate else "", claims.WORDS[verdict.holds]]
        lines.append("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def write_table(document: str | Path, text: str) -> None:
    """Put `text` between the lines `<!-- claims -->` and `<!-- /claims -->` of a document.

    Raises:
        FileNotFoundError: no such document.
        ValueError: the two marks are not there exactly once each, in this order; the document stays as it is.

    Source: *ours*.
    """
    document = Path(document)
    if not document.is_file():
        raise FileNotFoundError(f"no document {document}; expected one with the marks {BEGIN} and {END}")
    old = document.read_text(encoding="utf-8")
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise ValueError(f"{document} lacks the marks {BEGIN} and {END}; expected each once, in this order")
    head, tail = old[:old.index(BEGIN)], old[old.index(END):]
    write_files({document: f"{head}{BEGIN}\n\n{text.strip()}\n\n{tail}"})
