"""The doors: a results folder's figures beside its tables, and the page that shows them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import pandas as pd

from lossbench.errors import UsageError
from lossbench.report import collapse, learning, page, pictures, planes
from lossbench.report.answer import answer
from lossbench.report.cases import cases, losses_of
from lossbench.report.sides import cells_view, learning_of_sides, settings_of
from lossbench.report.style import Drawing, inline, neutral_params, png, series_of, svg
from lossbench.report.tables import runs_view, settled, summary_view, thresholds_view
from lossbench.store import Store, measured_thresholds, refusals_told, write_whole

if TYPE_CHECKING:
    from lossbench.comparison import Comparison

PAGE = "report.html"
FIGURES = "figures"


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
    write_whole(target, page.report(chapters))
    return [*written, target]


def _common(folders: Sequence[Path]) -> Path:
    if len(folders) == 1:
        return folders[0]
    return Path(os.path.commonpath([folder.absolute().parent for folder in folders]))


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the name of each folder, with those above it as far as they tell it from others."""
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
) -> tuple[list[tuple[Drawing, bytes, bytes]], page.Chapter]:
    """Return the figures of one folder with their bytes, and its chapter of the page.

    ``prefix`` makes the ids of the chapter's figures its own.
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
    return drawings, page.Chapter(
        name=name,
        answer=answer(summary, thresholds),
        figures=[
            page.Figure(drawing.title, inline(vector, drawing, prefix), drawing.reading)
            for drawing, vector, _ in drawings
        ],
        left_out=_left_out(drawings, store),
        tables=[
            summary_view(summary),
            *([thresholds_view(thresholds)] if len(thresholds) else []),
        ],
        settled=settled(summary, runs),
        runs=runs_view(runs),
        provenance=page.provenance(frozen, store.records(set_aside=False)),
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
    found = cases(summary)
    for case in found:
        yield from planes.comparisons(case, series)
        if case.rows["beta_eff"].nunique() > 1 and case.rows["threshold"].notna().all():
            yield collapse.kl_and_active_units(case, series)
    yield from collapse.d_sweeps(summary, series)
    if len(thresholds):
        yield collapse.measured_against_predicted(thresholds)
    for case in found:
        curves = learning.learning_curves(case, runs, history, series)
        if curves is not None:
            yield curves
    for case in found:
        yield from pictures.pictures(case, runs, store.arrays, series)


def _left_out(drawings: Sequence[tuple[Drawing, bytes, bytes]], store: Store) -> str:
    """Return the command that brings the pictures that are missing; empty if there are some."""
    has_pictures = any(drawing.name.startswith("reconstructions") for drawing, _, _ in drawings)
    return "" if has_pictures else f"lossbench sweep {store.folder}/experiment.toml"


def write_comparison(
    comparison: "Comparison", curves: Mapping[str, pd.DataFrame], out: Path
) -> Path:
    """Write the page of a comparison and its learning curves; return where it is."""
    _check_writable(out)
    with mpl.rc_context(neutral_params()):
        drawn = learning_of_sides(curves)
        figures = [
            page.Figure(drawing.title, inline(svg(drawing), drawing, ""), drawing.reading)
            for drawing in drawn
        ]
    write_whole(
        out,
        page.comparison(comparison, figures, settings_of(comparison), cells_view(comparison)),
    )
    return out
