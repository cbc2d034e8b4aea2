"""The report: figures and page from tables alone, the same bytes every time, all names escaped."""

import functools
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import lossbench
from PIL import Image
from test_cli import run as cli

from lossbench.report import write_report
from lossbench.report.answer import answer
from lossbench.report.cases import cases, losses_of, shared_beta
from lossbench.report.tables import runs_view
from lossbench.store import Store, measured_thresholds

RESULTS = Path(__file__).parent.parent / "results"
HOSTILE = "data/<img src=x onerror=alert(1)>\"'&{{7*7}}.npz"
MOST_BYTES = 3_000_000


def tables_of(name: str, folder: Path) -> Path:
    """Return a folder with nothing but the committed tables of an experiment."""
    copy = folder / name
    copy.mkdir(parents=True)
    for table in ("experiment.toml", "runs.csv", "history.csv", "summary.csv"):
        shutil.copy(RESULTS / name / table, copy)
    return copy


def written(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every figure and of the page."""
    paths = [*folder.glob("figures/*"), folder / "report.html"]
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what gives the committed tables of an experiment with their report, written once."""

    @functools.cache
    def report_of(name: str) -> Path:
        folder = tables_of(name, tmp_path_factory.mktemp("report"))
        write_report([folder])
        return folder

    return report_of


@pytest.mark.slow
def test_the_report_of_committed_tables_is_whole(reported: Callable[[str], Path]) -> None:
    """Every figure that tables give, as PNG and SVG, and a page below its limit."""
    folder = reported("digits")
    names = set(written(folder))
    for kind in ("bce", "mse"):
        for figure in ("rate-distortion", "elbo-beta", "elbo-beta_eff", "kl", "d-sweep"):
            assert {f"{figure}-{kind}.png", f"{figure}-{kind}.svg"} <= names
        assert f"learning-{kind}.png" in names
    assert (folder / "report.html").stat().st_size < MOST_BYTES


@pytest.mark.slow
def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    """Another process, another day, another place: nothing in a figure or the page differs."""
    once, again = (tables_of("mnist", tmp_path / place) for place in ("here", "there"))
    write_report([once])
    answered = lossbench("report", "mnist", folder=again.parent)
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout == "mnist/report.html\n"
    first, second = written(once), written(again)
    page, other = first.pop("report.html"), second.pop("report.html")
    assert first == second
    assert page.replace(str(once).encode(), b"mnist") == other


@pytest.mark.parametrize(
    "name",
    ["patches", *(pytest.param(n, marks=pytest.mark.slow) for n in ("digits", "thresholds"))],
)
def test_the_committed_figures_are_those_of_their_tables(
    name: str, reported: Callable[[str], Path]
) -> None:
    """The README shows what a report draws, pixel by pixel."""
    committed = sorted((RESULTS / name / "figures").glob("*.png"))
    assert committed
    for path in committed:
        drawn = np.asarray(Image.open(reported(name) / "figures" / path.name))
        assert np.array_equal(drawn, np.asarray(Image.open(path))), path


def test_the_page_says_what_is_left_out_and_how_to_have_it(
    reported: Callable[[str], Path],
) -> None:
    """Reconstructions need arrays, which are not committed."""
    folder = reported("patches")
    page = (folder / "report.html").read_text("utf-8")
    assert "Left out: reconstructions" in page
    assert f"lossbench sweep {folder}/experiment.toml" in page


def test_pictures_appear_where_the_arrays_are(drilled_results: Path, tmp_path: Path) -> None:
    """A fresh sweep has reconstructions, prior draws and, for k = 2, latent means."""
    fresh = tmp_path / "fresh"
    shutil.copytree(drilled_results, fresh)
    write_report([fresh])
    for name in ("reconstructions-bce", "prior-bce", "latent-means-bce"):
        assert (fresh / "figures" / f"{name}.png").exists()
    page = (fresh / "report.html").read_text("utf-8")
    assert "Left out" not in page
    assert "data_sha256" not in page
    assert "tensorflow" in page


def test_every_name_is_escaped(drilled_results: Path, tmp_path: Path) -> None:
    """A dataset's name is text on the page, in the SVG and in a file's name, never markup."""
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    for name in ("runs.csv", "history.csv"):
        text = (drilled_results / name).read_text("utf-8")
        quoted = '"' + HOSTILE.replace('"', '""') + '"'
        (hostile / name).write_text(text.replace(",digits,", f",{quoted},"), "utf-8")
    write_report([hostile])
    page = (hostile / "report.html").read_text("utf-8")
    assert "<img" not in page
    assert "{{7*7}}" in page
    for figure in (hostile / "figures").iterdir():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", figure.name)
        assert b"<img" not in figure.read_bytes()


def test_the_answer_has_the_numbers_of_the_sweep() -> None:
    """Four: at one beta, at one beta_eff, what was known before, and R_0 of the mean image."""
    summary = Store(RESULTS / "digits").summary()
    one_beta, one_beta_eff, known, nothing = answer(summary, measured_thresholds(summary))
    assert one_beta.startswith("No, not the same loss up to a factor")
    chosen = summary[
        (summary["beta"] == 1)
        & (summary["d"] == 64)
        & (summary["k"] == 2)
        & (summary["reconstruction_loss"] == "bce")
    ].set_index("loss")
    for loss in ("blog", "docs"):
        assert f"{loss} reaches an ELBO of {chosen.loc[loss, 'elbo']:.2f}" in one_beta
    assert one_beta_eff.startswith("At the same beta_eff they train the same VAE")
    assert f"{len(summary)} settings" in known
    drawn = summary[summary["d"] == 64]
    for r_0 in drawn["reconstruction_of_nothing"].unique():
        assert f"{r_0:.2f} nats, {r_0 / 64:.4g} an input" in nothing


@pytest.mark.slow
def test_a_sweep_of_one_loss_has_a_report_too(tmp_path: Path) -> None:
    """Nothing to set against each other; the thresholds are, measured against predicted."""
    folder = tables_of("thresholds", tmp_path)
    write_report([folder])
    names = set(written(folder))
    assert "thresholds.png" in names
    assert not any(name.startswith("elbo-beta-") for name in names)
    assert "In 10 cases of digits, patches" in (folder / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_several_folders_share_one_page(tmp_path: Path) -> None:
    """The page goes above them, the figures to each; no id occurs twice."""
    folders = [tables_of(name, tmp_path) for name in ("mnist", "patches")]
    *places, page = write_report(folders)
    assert places == [folder / "figures" for folder in folders]
    assert page == tmp_path / "report.html"
    ids = re.findall(r' id="([^"]+)"', page.read_text("utf-8"))
    assert len(ids) == len(set(ids))


def test_a_place_that_cannot_be_written_is_told_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit 2 before any figure is drawn."""
    folder = tables_of("mnist", tmp_path)
    code, out, err = cli(capsys, "report", str(folder), "--out", str(tmp_path / "no" / "r.html"))
    assert (code, out) == (2, "")
    assert "no such folder" in err
    assert not (folder / "figures").exists()
    code, _, err = cli(capsys, "report", str(tmp_path))
    assert code == 2
    assert "there are no results here" in err


def test_a_case_is_the_size_with_the_most_settings() -> None:
    """Of digits that is d 64, k 2, which has the second grid; the losses share beta 1."""
    summary = Store(RESULTS / "digits").summary()
    assert [(case.reconstruction_loss, case.d, case.k) for case in cases(summary)] == [
        ("bce", 64, 2),
        ("mse", 64, 2),
    ]
    assert losses_of(summary) == ["docs", "blog"]
    assert shared_beta(summary) == 1
    assert shared_beta(pd.DataFrame({"loss": ["docs", "blog"], "beta": [1.0, 2.0]})) is None


def test_a_comparison_has_a_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The verdict that the terminal shows stands on the page, with both learning curves."""
    rest = "beta=1,d=64,k=2,reconstruction_loss=bce"
    sides = [f"{RESULTS / 'digits'}:loss={loss},{rest}" for loss in ("docs", "blog")]
    page = tmp_path / "page.html"
    code, out, err = cli(capsys, "compare", *sides, "--html", str(page))
    assert code == 0
    assert "B is worse by 2.02 nats" in out
    assert str(page) in err
    text = page.read_text("utf-8")
    assert "B is worse by 2.02 nats of ELBO" in text
    assert text.count("<svg ") == 1


def test_a_long_table_says_where_the_rest_is() -> None:
    """The page of many thousand runs stays one that a browser opens."""
    runs = Store(RESULTS / "digits").runs()
    assert len(runs_view(runs).rows) == len(runs) == 264
    view = runs_view(pd.concat([runs, runs], ignore_index=True))
    assert (view.title, len(view.rows)) == ("528 runs", 500)
    assert view.note == "These are the first 500 of 528; runs.csv has all."
