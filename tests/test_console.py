"""What a person sees in a terminal of 80 columns: small curves beside the numbers."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import made_run
from made_summaries import results_of
from rich.console import Console

from lossbench import compare, show
from lossbench.console.comparison import comparison_table
from lossbench.console.description import description_tables
from lossbench.console.progress import Standing
from lossbench.console.screen import settled_range, sparkline
from lossbench.console.summary import summary_tables
from lossbench.description import describe
from lossbench.run import Record
from lossbench.store import Store

RESULTS = Path(__file__).parent.parent / "results"
BLOCKS = set("▁▂▃▄▅▆▇█")


def console(width: int) -> Console:
    """Return a console of that width that prints into a string."""
    return Console(width=width, file=io.StringIO(), record=True, color_system=None)


def lines(terminal: Console, renderable: object) -> list[str]:
    """Return what the console shows of a renderable, line by line."""
    terminal.print(renderable)
    return terminal.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_draws_a_curve_in_every_row_and_fits(width: int) -> None:
    """No row is wider than the terminal or wraps, and each setting has its curve."""
    found, terminal = show(RESULTS / "digits"), console(width)
    shown = lines(terminal, summary_tables(found, terminal))
    rows = [line for line in shown if line.startswith(("blog", "docs"))]
    assert len(rows) == len(found.settings)
    assert max(map(len, shown)) <= width
    assert all(BLOCKS & set(row) for row in rows)


@pytest.mark.parametrize("width", [80, 120])
def test_no_name_and_no_number_of_a_summary_is_cut(width: int) -> None:
    """What does not fit takes the narrow layout, and a long name a second line."""
    terminal = console(width)
    shown = lines(terminal, summary_tables(show(RESULTS / "mnist-sizes"), terminal))
    assert "…" not in "".join(shown)
    assert max(map(len, shown)) <= width


def test_the_thresholds_of_a_data_set_fit_into_80_columns() -> None:
    """Those of counts take nine characters; none is cut."""
    described = describe("digits")
    largest = tuple(replace(fit, thresholds=(20290.0,) * 4) for fit in described.fits)
    shown = lines(console(80), description_tables(replace(described, fits=largest)))
    assert "…" not in "".join(shown)


@pytest.mark.parametrize("width", [80, 120])
def test_settings_that_differ_in_their_kl_term_stand_in_one_table(width: int) -> None:
    """Schedules and floors are a column; what follows from the data is not said of each cell."""
    found, terminal = show(RESULTS / "schedules"), console(width)
    shown = lines(terminal, summary_tables(found, terminal))
    assert max(map(len, shown)) <= width
    assert sum(line.startswith("KL term") for line in shown) == found.settings["dataset"].nunique()
    for term in ("constant", "linear:0.5", "cyclical:4:0.5"):
        assert sum(line.startswith(term) for line in shown) >= 6
    assert sum(line.startswith("free_bits 0.") for line in shown) == 9


def test_a_cell_is_named_by_no_more_than_tells_it_from_the_others() -> None:
    """The epochs follow from the data, so that a row is a line."""
    sides = (
        f"{RESULTS}/schedules:free_bits=0,kl_schedule={form}" for form in ("constant", "linear:0.5")
    )
    terminal = console(80)
    shown = lines(terminal, comparison_table(compare(*sides)))
    cells = [
        line.rstrip() for line in shown if line.startswith(("digits   beta ", "patches  beta "))
    ]
    assert len(cells) == 6
    assert all(line.endswith(("worse", "unclear", "equal")) for line in cells)


def test_a_table_without_room_keeps_its_numbers() -> None:
    """The curve goes first; the numbers stay."""
    found, terminal = show(RESULTS / "patches"), console(80)
    shown = lines(terminal, summary_tables(found, terminal))
    summary = found.settings
    longest = summary.loc[summary[summary["still_improving"]]["elbo"].idxmin()]
    assert longest["elbo"] < -600
    assert any(f"{longest['elbo']:.2f} ±{longest['elbo_ci95']:.2f}*" in line for line in shown)
    assert not BLOCKS & set("".join(shown))


def test_the_curves_are_those_of_the_rows() -> None:
    """Row by row the last point is the mean of the last ELBOs of the history."""
    store = Store(RESULTS / "digits")
    runs, history, summary = store.runs(), store.history(), store.summary()
    last = history.groupby("run_id")["elbo"].last()
    for row, curve in zip(
        summary.to_dict(orient="records"), store.curves(store.summary()), strict=True
    ):
        same = runs[
            (runs["loss"] == row["loss"])
            & (runs["reconstruction_loss"] == row["reconstruction_loss"])
            & (runs["beta"] == row["beta"])
            & (runs["d"] == row["d"])
            & (runs["k"] == row["k"])
        ]
        assert curve[-1] == pytest.approx(last[same["run_id"]].mean())


def test_a_comparison_draws_both_sides_on_one_scale() -> None:
    """Docs rises to the top, the collapsed blog stays below."""
    rest = "beta=1,d=64,k=2,reconstruction_loss=bce"
    a, b = (f"{RESULTS / 'digits'}:loss={loss},{rest}" for loss in ("docs", "blog"))
    shown = lines(console(80), comparison_table(compare(a, b)))
    (line_a,) = [line for line in shown if line.startswith("A  ▁")]
    (line_b,) = [line for line in shown if line.startswith("B  ▁")]
    assert line_a.endswith("█  -25.19")
    assert "█" not in line_b
    assert max(map(len, shown)) <= 80
    several = [f"{RESULTS / 'digits'}:loss={loss},d=64,k=2" for loss in ("docs", "blog")]
    assert compare(*several).curves == {}


def test_a_terminal_without_blocks_gets_ascii() -> None:
    """Every mark is one that it can show; a level curve and an empty one are drawn too."""
    curve = [-9.0, 0.0, 1.0, 2.0, 3.0]
    low, high = settled_range([curve])
    assert (low, high) == (0.0, 3.0)
    assert sparkline(curve, 5, low, high, ascii_only=True).isascii()
    assert sparkline(curve, 5, low, high) == "▁▁▃▆█"
    assert sparkline([1.0, 1.0], 4, 1.0, 1.0) == "▁▁▁▁"
    assert sparkline([], 4, 0.0, 1.0) == ""
    assert settled_range([]) == (0.0, 0.0)


def test_a_running_sweep_tells_the_best_and_the_collapsed() -> None:
    """The best of each kind, the collapsed of all, and what failed."""

    def record(kind: str, elbo: float, *, collapsed: bool = False, status: str = "ok") -> Record:
        settings = {"reconstruction_loss": kind, "d": 64, "dataset": "digits"}
        metrics = {"elbo": elbo, "collapsed": collapsed} if status == "ok" else {}
        return Record("run", status, settings, {}, metrics)  # type: ignore[arg-type]

    standing = Standing()
    assert (
        standing.after(record("bce", -27.2, collapsed=True)) == "best bce d64 -27.20, 1 collapsed"
    )
    assert standing.after(record("mse", -41.3)) == "best mse d64 -41.30, 1 collapsed"
    assert standing.after(record("bce", -28.0)) == "best bce d64 -27.20, 1 collapsed"
    assert standing.after(record("bce", 0, status="nan")) == "1 collapsed, 1 failed"


def test_the_summary_says_what_to_do_about_a_collapse(tmp_path: Path) -> None:
    """Below t_1 train otherwise, above it write another beta; near it and active, nothing."""
    below = made_run("docs", 1.0, active_units=0, collapsed=True)
    above = made_run("docs", 4.0, active_units=0, collapsed=True)
    near = made_run("docs", 0.97 * float(str(above["threshold"])), active_units=0, collapsed=True)
    active = made_run("docs", 0.5, active_units=2, collapsed=False)
    told = []
    for number, runs in enumerate(([below, near, active], [above, active], [near, active])):
        found = show(results_of(tmp_path / str(number), runs).folder)
        terminal = console(200)
        told.append("\n".join(lines(terminal, summary_tables(found, terminal))))
    assert "Collapsed below t_1: training ended" in told[0]
    assert "   docs d 64 k 2 at beta 1\n" in told[0]
    half = float(str(above["threshold"])) / 2
    assert f"   docs d 64 k 2 at beta 4 (t_1/2 is at beta {half:.3g})\n" in told[1]
    assert "Collapsed below" not in told[1]
    assert "Collapsed" not in told[2]
