"""The page: one HTML file with everything in it, every name escaped, readable without scripts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

import lossbench
from lossbench.comparison.wording import setting
from lossbench.experiment import Experiment
from lossbench.loss import Sizes, catalogue, convention
from lossbench.report.tables import View
from lossbench.run import Record

if TYPE_CHECKING:
    from lossbench.comparison import Comparison

_ROOM = Path(__file__).parent
_EXAMPLES = ((784, 2), (784, 20), (784, 128), (3072, 128), (12288, 256))
_FOLDER_COMMIT = "commit of the folder that the sweep was started in"
_FACTS = {
    "lossbench": "lossbench",
    "lossbench_commit": "commit of lossbench",
    "python": "python",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "numpy": "numpy",
    "processor": "processor",
    "folder_commit": _FOLDER_COMMIT,
    "git_commit": _FOLDER_COMMIT,  # as lossbench 0.1.0 called it
}


@dataclass(frozen=True)
class Figure:
    """A figure on a page: its heading, its SVG element and the sentence under it."""

    title: str
    svg: str
    reading: str


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from: data by hash, and what trained them, if known."""

    data: Sequence[tuple[str, str]] = ()
    versions: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Chapter:
    """One results folder on the page. ``left_out`` is the command that brings the pictures."""

    name: str
    answer: Sequence[str]
    figures: Sequence[Figure]
    left_out: str
    tables: Sequence[View]
    settled: Sequence[tuple[str, str, str]]
    runs: View
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True)
class OwnCase:
    """The blog's loss at somebody's sizes: its beta_eff, and what mends it."""

    d: int
    k: int
    beta_eff: str
    kl_factor: str


def provenance(frozen: Experiment | None, records: Iterable[Record]) -> Provenance:
    """Return where the numbers come from, as far as the folder knows."""
    found: dict[str, set[str]] = {label: set() for label in _FACTS.values()}
    for record in records:
        for name, label in _FACTS.items():
            if (value := record.provenance.get(name)) is not None:
                found[label].add(str(value))
    return Provenance(
        data=list(frozen.data_sha256.items()) if frozen else [],
        versions=[(label, ", ".join(sorted(values))) for label, values in found.items() if values],
    )


def report(chapters: Sequence[Chapter]) -> bytes:
    """Return the page of one or several results folders."""
    return _rendered(
        "report.html.j2",
        title=", ".join(chapter.name for chapter in chapters),
        chapters=chapters,
        own_cases=[_own_case(d, k) for d, k in _EXAMPLES],
        n_conventions=len(catalogue()),
    )


def comparison(
    compared: "Comparison", figures: Sequence[Figure], settings: View, tables: Sequence[View]
) -> bytes:
    """Return the page of a comparison."""
    return _rendered(
        "compare.html.j2",
        title="A against B",
        comparison=compared,
        common=[
            (name, setting(value)) for name, value in compared.common.items() if value is not None
        ],
        figures=figures,
        settings=settings,
        tables=tables,
    )


def _own_case(d: int, k: int) -> OwnCase:
    beta_eff = convention("blog").coefficients(Sizes(d=d, k=k), 1).beta_eff
    return OwnCase(d, k, f"{float(beta_eff):g}", str(Fraction(1) / beta_eff))


def _rendered(template: str, **facts: object) -> bytes:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ROOM),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = (_ROOM / "page.css").read_text(encoding="utf-8")
    script = (_ROOM / "sort.js").read_text(encoding="utf-8")
    text = environment.get_template(template).render(
        version=lossbench.__version__, style=style, script=script, **facts
    )
    return text.encode()
