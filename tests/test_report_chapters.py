"""A page of several results folders: every id once, every heading its own folder's."""

import re
from collections import Counter
from pathlib import Path

import pytest
from made_summaries import grid_of, results_of

from lossbench.report import write_report


def tables_at(*places: str, below: Path) -> list[Path]:
    """Return folders with the tables of a small sweep: two runs in the first, one in others."""
    runs = grid_of(losses=("docs",), betas=(0.5, 1.0), n_seeds=1)
    return [
        results_of(below / place, runs[number > 0 :]).folder for number, place in enumerate(places)
    ]


def page_of(folders: list[Path]) -> str:
    """Return the page that is written of folders."""
    *_, page = write_report(folders)
    return page.read_text("utf-8")


def headings(page: str) -> list[str]:
    """Return the heading of every chapter."""
    return re.findall(r"<h2>(.*?)</h2>", page)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        pytest.param(("a/x", "b/x"), ["a/x", "b/x"], marks=pytest.mark.slow),
        pytest.param(("a/x", "b/y"), ["x", "y"], marks=pytest.mark.slow),
        (("x y", "x_y"), ["x y", "x_y"]),
        (("a/m/x", "b/m/x", "b/y"), ["a/m/x", "b/m/x", "y"]),
    ],
)
def test_a_page_of_several_folders_tells_them_apart(
    places: tuple[str, ...], expected: list[str], tmp_path: Path
) -> None:
    """No id occurs twice, every reference has its id, and each heading names one folder."""
    page = page_of(tables_at(*places, below=tmp_path))
    ids = Counter(re.findall(r' id="([^"]+)"', page))
    assert [name for name, count in ids.items() if count > 1] == []
    referenced = set(re.findall(r'(?:url\(|href=")#([^)"]+)', page))
    assert len(referenced) > 20
    assert referenced <= set(ids)
    assert headings(page) == expected
    assert re.findall(r'<a href="#[^"]+">(.*?)</a>', page) == expected


def test_a_folder_that_is_named_twice_is_reported_once(tmp_path: Path) -> None:
    """Another way to write its path does not make it another folder."""
    (folder,) = tables_at("a/x", below=tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    page = page_of([folder, tmp_path / "link" / "x", folder / ".." / "x"])
    assert page.count("<section") == 1
