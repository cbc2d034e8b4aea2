"""The pages: what stands on them, where they go, and that the committed figures are theirs."""

import re
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from made_records import grid_of_runs, record_of
from made_runs import compared, made_run, seeds_of
from made_summaries import grid_of, results_of
from syrupy.assertion import SnapshotAssertion
from test_report import RESULTS

import lossbench
from lossbench.comparison import elbo_curves, select
from lossbench.errors import ResultsError, UsageError
from lossbench.experiment import read
from lossbench.report import write_comparison, write_report
from lossbench.report.page import provenance
from lossbench.report.style import Drawing, figure, inline, neutral_params, series_of, svg
from lossbench.report.tables import runs_view, settled, summary_view, thresholds_view
from lossbench.store import Store, measured_thresholds


def main_of(page: Path) -> str:
    """Return the body of a page; of a figure the opening tag alone, of blanks one."""
    (body,) = re.findall(r"<main>.*</main>", page.read_text("utf-8"), re.DOTALL)
    without = re.sub(r"(<svg [^>]*>).*?</svg>", r"\1</svg>", body, flags=re.DOTALL)
    return "\n".join(line for line in map(str.strip, without.splitlines()) if line)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in an empty folder: what is left out is told with a path."""
    monkeypatch.chdir(tmp_path)


def test_the_page_of_a_sweep_is_as_it_was_reviewed(snapshot: SnapshotAssertion) -> None:
    """Answer, figures, tables with their sort keys, settings and provenance, in this order."""
    runs = grid_of(betas=(0.5, 1.0), sizes=((64, 2), (16, 2)), kinds=("bce", "mse"), n_seeds=2)
    runs[0] |= {"status": "crashed", "elbo": None, "collapsed": None, "kl": None}
    fine = [
        made_run("docs", 3.3187 * ratio, d=64, k=2, kl=max(0.0, -0.5 * float(np.log(ratio))))
        for ratio in (0.8, 0.9, 0.96, 1.05, 1.2)
    ]
    results_of(Path("made"), runs + fine)
    write_report([Path("made")])
    assert main_of(Path("made/report.html")) == snapshot


def test_the_page_of_a_comparison_is_as_it_was_reviewed(snapshot: SnapshotAssertion) -> None:
    """Algebra, verdict, what differs, the numbers of each cell, and who has no partner."""
    a = [run for k in (2, 8) for run in seeds_of("docs", k=k, kind="mse")]
    b = [run for k in (2, 8) for run in seeds_of("blog", 2, k=k, kind="mse", gain=0.5)]
    page = write_comparison(compared(a, b), Path("several.html"))
    assert main_of(page) == snapshot


def test_the_page_of_one_cell_has_both_learning_curves(snapshot: SnapshotAssertion) -> None:
    """With where they end, the settings that both share, and beta_eff among what differs."""
    results_of(Path("a"), seeds_of("docs"))
    results_of(Path("b"), seeds_of("blog", gain=1))
    a, b = select("a:loss=docs"), select("b:loss=blog")
    comparison = compared(seeds_of("docs"), seeds_of("blog", gain=1))
    whole = replace(comparison, curves=elbo_curves(comparison, a, b))
    page = write_comparison(whole, Path("one.html"))
    assert main_of(page) == snapshot


def test_pages_go_beside_their_tables_or_above_them_or_where_one_says() -> None:
    """One folder: into it; several: into the one above; figures always to each its own."""
    above = Path.cwd()
    one, two, three = Path("here/one"), Path("here/two"), Path("there/three")
    for folder in (one, two):  # without a figure
        results_of(folder, [made_run(status="crashed")])
    assert write_report([one]) == [one / "figures", one / "report.html"]
    assert write_report([one, two])[-1] == above / "here" / "report.html"
    assert write_report([one, two], Path("mine.html"))[-1] == Path("mine.html")
    kinds = {"bce": two, "mse": three}
    for kind, folder in kinds.items():
        results_of(folder, [made_run(kind=kind)])
    assert write_report([two, three]) == [
        two / "figures",
        three / "figures",
        above / "report.html",
    ]
    for kind, folder in kinds.items():
        written = {path.name for path in (folder / "figures").iterdir()}
        assert written == {f"learning-{kind}.png", f"learning-{kind}.svg"}


def test_several_chapters_are_named_and_linked() -> None:
    """A page of several folders lists them; one of a single folder has no list."""
    for name in ("one", "two"):
        results_of(Path(name), [made_run()])
    page = write_report([Path("one"), Path("two")])[-1].read_text("utf-8")
    assert re.findall(r'<a href="#(results-\d)">(\w+)</a>', page) == [
        ("results-1", "one"),
        ("results-2", "two"),
    ]
    assert re.findall(r"<h2>(\w+)</h2>", page) == ["one", "two"]
    assert page.count("<h3>In your own code</h3>") == 1
    alone = write_report([Path("one")])[-1].read_text("utf-8")
    assert "<nav" not in alone
    assert "<h2>The answer</h2>" in alone


@pytest.mark.parametrize("place", ["", "no/such/r.html"])
def test_a_place_that_is_none_is_refused_before_anything_is_drawn(place: str) -> None:
    """A folder, or a file in a folder that is not there."""
    results_of(Path("one"), grid_of(betas=(0.5, 1.0), n_seeds=1))
    with pytest.raises(UsageError) as caught:
        write_report([Path("one")], Path(place))
    assert str(caught.value) == (
        f"{Path(place)}: the page cannot be written there\n"
        "  expected: a file in a folder that exists, such as report.html\n"
        f"  received: {'no such folder' if place else 'a folder'}"
    )
    assert not Path("one/figures").exists()


def test_without_results_there_is_no_report() -> None:
    """A folder that has no tables is told."""
    Path("empty").mkdir()
    with pytest.raises(ResultsError, match="no results here"):
        write_report([Path("empty")])


def test_a_sweep_of_which_every_run_failed_has_a_page_without_figures() -> None:
    """It says that there is no answer, and has the runs with what became of them."""
    runs = [run | {"status": "crashed"} for run in grid_of(betas=(0.5, 1.0), n_seeds=1)]
    results_of(Path("one"), runs)
    write_report([Path("one")])
    page = Path("one/report.html").read_text("utf-8")
    assert "There is none yet: no run ended well." in page
    assert "<figure>" not in page
    assert page.count(">crashed</td>") == len(runs)


def test_figures_without_a_threshold_are_drawn_without_the_collapse() -> None:
    """Where t_1 is not known there is no figure of KL and active units."""
    alone = {"losses": ("docs",), "betas": (0.5, 1.0), "n_seeds": 1}
    results_of(Path("one"), [run | {"threshold": None} for run in grid_of(**alone)])
    write_report([Path("one")])
    names = {path.stem for path in Path("one/figures").iterdir()}
    assert "kl-bce" not in names
    assert "elbo-beta_eff-bce" in names


def test_provenance_is_that_of_the_records_and_of_the_frozen_experiment() -> None:
    """Every version once, in order; what no record knows is left out; data by its hash."""
    asked = read(overrides={"d": "64"})
    versions = ({}, {"python": "3.10.1"}, {"tensorflow": "2.20", "unheard-of": "1"})
    records = [
        replace(record, provenance=record.provenance | more)
        for record, more in zip(map(record_of, grid_of_runs()), versions, strict=False)
    ]
    found = provenance(asked, records)
    assert found.versions == [("python", "3.10.1, 3.11.7"), ("tensorflow", "2.20")]
    assert found.data == []
    assert provenance(None, []).versions == provenance(None, []).data == []


# Tables.


def test_a_table_of_settings_has_what_varies_and_the_metrics_with_intervals() -> None:
    """A cell shows a rounded number and is sorted by the whole one; what is not known is empty."""
    runs = [*seeds_of("docs"), *seeds_of("blog"), made_run("docs", 2.0, status="nan")]
    store = results_of(Path("one"), runs)
    view = summary_view(store.summary())
    names = [heading.name for heading in view.headings]
    assert names == [
        *("loss", "beta", "beta_eff", "threshold", "predicted_active_units"),
        *("elbo", "kl", "reconstruction", "bits_per_dim", "active_units", "collapsed"),
    ]
    rows = [dict(zip(names, row, strict=True)) for row in view.rows]
    elbo = store.summary()["elbo"]
    assert [row["loss"].text for row in rows] == ["docs", "blog", "docs"]
    half_width = store.summary()["elbo_ci95"][0]
    assert rows[0]["elbo"].text == f"\N{MINUS SIGN}{-elbo[0]:.2f} ± {half_width:.2f}"
    assert rows[0]["elbo"].key == repr(float(elbo[0]))
    assert rows[0]["bits_per_dim"].text.partition(" ")[0] == f"{-elbo[0] / 64 / np.log(2):.4f}"
    assert [row["collapsed"].text for row in rows] == ["0 of 3", "3 of 3", "0 of 0"]
    assert [row["collapsed"].key for row in rows] == ["0.0", "1.0", "0.0"]
    assert (rows[2]["elbo"].text, rows[2]["elbo"].key) == ("", "")
    assert (rows[2]["active_units"].text, rows[2]["active_units"].is_number) == ("", True)
    assert not view.headings[0].is_number
    assert all(heading.is_number for heading in view.headings[1:])
    both = results_of(Path("both"), [*runs, *seeds_of("docs", kind="mse", hidden="8")])
    headings = [heading.name for heading in summary_view(both.summary()).headings]
    assert headings[:2] == ["reconstruction_loss", "hidden"]
    assert "elbo_best_sigma" in headings


def test_runs_have_their_id_what_varies_and_every_metric() -> None:
    """Text is shown as it is, true and false in words; settings that all share are told once."""
    runs = [*seeds_of("docs", 2, dataset="x/my.npz"), made_run("blog", 1.0, 4, dataset="x/my.npz")]
    store = results_of(Path("one"), runs)
    view = runs_view(store.runs())
    names = [heading.name for heading in view.headings]
    assert names[:7] == ["run_id", "loss", "seed", "a", "b", "beta_eff", "status"]
    assert (view.title, view.note) == ("3 runs", "")
    by_name = [dict(zip(names, row, strict=True)) for row in view.rows]
    assert [row["collapsed"].text for row in by_name] == ["false", "false", "true"]
    assert [row["collapsed"].key for row in by_name] == ["0", "0", "1"]
    assert [row["seed"].text for row in by_name] == ["0", "1", "4"]
    assert all("iwae" not in row for row in by_name)  # none was asked for
    shared = {name: told for name, told, _ in settled(store.summary(), store.runs())}
    assert shared["dataset"] == "my.npz"
    assert shared["seed"] == "0, 1, 4"
    assert "loss" not in shared
    assert "iwae_samples" not in shared


def test_thresholds_are_shown_to_four_digits() -> None:
    """And sorted by all of them; names are text, sizes numbers."""
    store = Store(RESULTS / "thresholds")
    view = thresholds_view(measured_thresholds(store.summary()))
    names = [heading.name for heading in view.headings]
    first = dict(zip(names, view.rows[0], strict=True))
    assert [h.is_number for h in view.headings if h.name in ("dataset", "d")] == [False, True]
    assert first["predicted"].text == f"{float(first['predicted'].key):.4g}"
    assert len(first["predicted"].key) > len(first["predicted"].text)
    assert (first["dataset"].is_number, first["d"].is_number) == (False, True)


# How figures come to a page.


def test_an_inline_figure_has_a_size_a_text_and_the_colours_of_the_page() -> None:
    """Ids are its own; nothing is left of the fixed colours, of metadata or of the title."""
    with mpl.rc_context(neutral_params()):
        drawn = figure()
        axes = drawn.add_subplot()
        for series in series_of(list("abcdefgh")).values():
            axes.plot([0, 1], **series.options)
        axes.fill_between([0, 1], 1, color="#eceff2")
        drawing = Drawing("a-name", "Title", "reading", 'what "is" <drawn>', drawn)
        element = inline(svg(drawing), drawing, "some folder")
    assert element.startswith(
        '<svg role="img" aria-label="what &quot;is&quot; &lt;drawn&gt;" width="422" height="317" '
    )
    assert element.endswith("</svg>")
    assert not re.search(r"#[0-9a-f]{6}", element.replace("#000000", ""))
    variables = {*re.findall(r"var\((--[a-z0-9-]+)\)", element)}
    assert variables >= {"--ink", "--muted", "--shade", *(f"--series-{n}" for n in range(8))}
    style = (Path(lossbench.__file__).parent / "report" / "page.css").read_text("utf-8")
    assert variables <= {*re.findall(r"(--[a-z0-9-]+):", style)}
    assert "--paper" in variables
    assert not re.search(r"<metadata|<title|<!--|\d+pt\"", element)
    ids = re.findall(r' id="([^"]+)"', element)
    assert ids
    assert all(name.startswith("some_folder_a_name-") for name in ids)
    referenced = re.findall(r'(?:url\(|href=")#([^")]+)', element)
    assert set(referenced) == set(ids)


def test_a_curve_keeps_every_point() -> None:
    """However straight it is: nothing is simplified away."""
    with mpl.rc_context(neutral_params()):
        drawn = figure()
        drawn.add_subplot().plot(range(1000), range(1000))
        text = svg(Drawing("line", "line", "", "", drawn)).decode()
    assert max(path.count("L ") for path in re.findall(r' d="([^"]*)"', text)) == 999
