"""A results folder's figures, and one HTML page that shows them: readable without scripts."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import matplotlib as mpl
import pandas as pd

import lossbench
from lossbench.columns import bounded
from lossbench.errors import UsageError
from lossbench.experiment import Experiment
from lossbench.loss import CONSTANT, Sizes, catalogue, convention
from lossbench.report import charts, pictures
from lossbench.report.answer import answer
from lossbench.report.cases import cases, losses_of, planes
from lossbench.report.style import Drawing, inline, neutral_params, png, series_of, svg
from lossbench.report.tables import (
    View,
    cells_view,
    runs_view,
    settings_of,
    settled,
    summary_view,
    thresholds_view,
)
from lossbench.run import Record
from lossbench.store import Store, measured_thresholds, refusals_told, write_whole
from lossbench.words import setting, significant

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
PAGE = "report.html"
FIGURES = "figures"


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
    """One results folder on the page. ``left_out`` is the command that brings the pictures.

    ``bends`` is whether some of its runs have a schedule, a floor or a capacity.
    """

    name: str
    answer: Sequence[str]
    figures: Sequence[Figure]
    left_out: str
    tables: Sequence[View]
    settled: Sequence[tuple[str, str, str]]
    runs: View
    provenance: Provenance = field(default_factory=Provenance)
    bends: bool = False


@dataclass(frozen=True)
class OwnCase:
    """The blog's loss at common sizes: its beta_eff, and the factor on the KL that mends it."""

    d: int
    k: int
    beta_eff: str
    kl_factor: str


def write_report(folders: Sequence[Path], out: Path | None = None) -> list[Path]:
    """Write the figures of every results folder and one page; return what was written.

    The figures go to ``figures/`` in each folder; the page to ``out``, else into the folder, or
    into the folder above if there are several. A folder that is named twice is reported once.
    ``ResultsError`` if a folder has no results.
    """
    folders = list({folder.resolve(): folder for folder in folders}.values())
    stores = [Store(folder) for folder in folders]
    target = out or _common(folders) / PAGE
    _check_writable(target)
    written: list[Path] = []
    chapters = []
    for number, (store, name) in enumerate(zip(stores, _names(folders), strict=True), start=1):
        drawings, chapter = _chapter(store, name, f"results-{number}" if len(stores) > 1 else "")
        chapters.append(chapter)
        place = store.folder / FIGURES
        with refusals_told(store.folder):
            place.mkdir(exist_ok=True)
        for drawing, vector, raster in drawings:
            write_whole(place / f"{drawing.name}.svg", vector)
            write_whole(place / f"{drawing.name}.png", raster)
        written.append(place)
    write_whole(target, _report(chapters))
    return [*written, target]


def write_comparison(comparison: "Comparison", out: Path) -> Path:
    """Write the page of a comparison and its learning curves; return where it is."""
    _check_writable(out)
    with mpl.rc_context(neutral_params()):
        drawn = charts.learning_of_sides(comparison.curves)
        figures = [
            Figure(drawing.title, inline(svg(drawing), drawing, ""), drawing.reading)
            for drawing in drawn
        ]
    write_whole(
        out,
        _comparison(comparison, figures, settings_of(comparison), cells_view(comparison)),
    )
    return out


def _common(folders: Sequence[Path]) -> Path:
    if len(folders) == 1:
        return folders[0]
    return Path(os.path.commonpath([folder.absolute().parent for folder in folders]))


def _names(folders: Sequence[Path]) -> list[str]:
    """Return each folder's name, with as many folders above it as tell it from the others."""
    paths = [folder.resolve() for folder in folders]
    return [
        next(
            str(Path(*path.parts[-n:]))
            for n in range(1, len(path.parts) + 1)
            if sum(other.parts[-n:] == path.parts[-n:] for other in paths) == 1
        )
        for path in paths
    ]


def _check_writable(target: Path) -> None:
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(
            "the page cannot be written there",
            where=str(target),
            expected="a file in a folder that exists, such as report.html",
            received="a folder" if target.is_dir() else "no such folder",
        )


def _chapter(
    store: Store, name: str, prefix: str
) -> tuple[list[tuple[Drawing, bytes, bytes]], Chapter]:
    """Return the figures of one folder with their bytes, and its chapter of the page.

    ``prefix`` makes the ids of the chapter's figures unique on the page.
    """
    runs, history = store.runs(), store.history()
    summary = store.summary()
    thresholds = measured_thresholds(summary)
    with mpl.rc_context(neutral_params()):
        drawings = [
            (drawing, svg(drawing), png(drawing))
            for drawing in _drawings(summary, runs, history, thresholds, store)
        ]
    frozen = store.frozen()
    return drawings, Chapter(
        name=name,
        answer=answer(summary, thresholds),
        figures=[
            Figure(drawing.title, inline(vector, drawing, prefix), drawing.reading)
            for drawing, vector, _ in drawings
        ],
        left_out=_left_out(drawings, store),
        tables=[
            summary_view(summary),
            *([thresholds_view(thresholds)] if len(thresholds) else []),
        ],
        settled=settled(summary, runs),
        runs=runs_view(runs),
        provenance=provenance(frozen, store.records(set_aside=False)),
        bends=bool((bounded(summary) | (summary["kl_schedule"] != CONSTANT)).any()),
    )


def _drawings(
    summary: pd.DataFrame,
    runs: pd.DataFrame,
    history: pd.DataFrame,
    thresholds: pd.DataFrame,
    store: Store,
) -> Iterator[Drawing]:
    """Yield every figure that the tables give, in the order of the page."""
    series = series_of(losses_of(summary))
    all_cases = cases(summary)
    for case, plane in zip(all_cases, planes(summary), strict=True):
        yield from charts.comparisons(case, plane, series)
        known = case.weighed
        if known.rows["beta_eff"].nunique() > 1 and known.rows["threshold"].notna().all():
            yield charts.kl_and_active_units(known, series)
    yield from charts.d_sweeps(summary, series)
    if len(thresholds):
        yield charts.measured_against_predicted(thresholds)
    for case in all_cases:
        curves = charts.learning_curves(case, runs, history, series)
        if curves is not None:
            yield curves
    for case in all_cases:
        yield from pictures.pictures(case, runs, store.arrays, series)


def _left_out(drawings: Sequence[tuple[Drawing, bytes, bytes]], store: Store) -> str:
    """Return the command that brings the pictures that are missing; empty if there are some."""
    has_pictures = any(drawing.name.startswith("reconstructions") for drawing, _, _ in drawings)
    return "" if has_pictures else f"lossbench sweep {store.folder}/experiment.toml"


def provenance(frozen: Experiment | None, records: Iterable[Record]) -> Provenance:
    """Return where the numbers come from, as far as the folder knows."""
    values_of: dict[str, set[str]] = {label: set() for label in _FACTS.values()}
    for record in records:
        for name, label in _FACTS.items():
            if (value := record.provenance.get(name)) is not None:
                values_of[label].add(str(value))
    return Provenance(
        data=list(frozen.data_sha256.items()) if frozen else [],
        versions=[
            (label, ", ".join(sorted(values))) for label, values in values_of.items() if values
        ],
    )


def _report(chapters: Sequence[Chapter]) -> bytes:
    """Return the page of one or several results folders."""
    return _rendered(
        "report.html.j2",
        title=", ".join(chapter.name for chapter in chapters),
        chapters=chapters,
        own_cases=[_own_case(d, k) for d, k in _EXAMPLES],
        n_conventions=len(catalogue()),
    )


def _comparison(
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
    return OwnCase(d, k, significant(beta_eff), str(Fraction(1) / beta_eff))


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
