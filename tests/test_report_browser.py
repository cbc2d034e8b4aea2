"""The page in a real browser: Debian's chromium, without a screen."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright
from test_report import tables_of

from lossbench import compare
from lossbench.report import write_comparison, write_report

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
WIDTHS = (375, 1440)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return the system's chromium, or its Chrome."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    assert binary, "the browser tests need chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the page of a report and the page of a comparison."""
    folder = tables_of("patches", tmp_path_factory.mktemp("browser"))
    write_report([folder])
    a, b = (f"{folder}:loss={loss},beta=1,d=64" for loss in ("docs", "blog"))
    page = write_comparison(compare(a, b), folder / "compare.html")
    return {"report": folder / "report.html", "compare": page}


class Watched:
    """A page that is open, with everything that it said and asked for."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", self._asked)
        page.goto(path.as_uri())

    def _asked(self, request: Request) -> None:
        if not request.url.startswith("data:"):
            self.asked.append(request.url)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["report", "compare"])
def test_the_page_is_quiet_readable_and_whole(
    browser: Browser, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    """No error, no request but its own; no overflow; figures with a size and a text; contrast."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    watched = Watched(page, pages[name])
    page.wait_for_load_state("networkidle")
    assert watched.said == []
    assert watched.asked == [pages[name].as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    figures = page.locator("figure svg")
    assert figures.count() == page.locator("figure").count() > 0
    for figure in figures.all():
        box = figure.bounding_box()
        assert box is not None
        assert 280 <= box["width"] <= width
        assert box["height"] >= 100
        assert len(figure.get_attribute("aria-label") or "") > 40
        texts = figure.locator("text").all()
        heights = [text.bounding_box() for text in texts]
        assert min(box["height"] for box in heights if box) >= 8
        # Nothing is cut: every text lies within its figure.
        for text in heights:
            assert text is not None
            assert text["x"] >= box["x"] - 1
            assert text["x"] + text["width"] <= box["x"] + box["width"] + 1
    assert page.evaluate(CONTRAST) >= 4.5
    page.close()


# The least contrast of a text with the page, by the formula of WCAG 2.
CONTRAST = """() => {
  const luminance = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const texts = [...document.querySelectorAll("p, li, td, dt, dd, figcaption, svg text")];
  return Math.min(...texts.map((text) => {
    const style = getComputedStyle(text);
    const ink = luminance(text.closest("svg") ? style.fill : style.color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  }));
}"""


@pytest.mark.slow
def test_a_click_sorts_a_table_by_its_numbers(browser: Browser, pages: dict[str, Path]) -> None:
    """Up, then down; by number and not by text; told to those who cannot see the arrow."""
    watched = Watched(browser.new_page(), pages["report"])
    table = watched.page.locator("table.sortable").first
    heading = table.locator("th", has_text="beta_eff")
    column = heading.evaluate("cell => cell.cellIndex")

    def numbers() -> list[float]:
        cells = table.locator(f"tbody td:nth-child({column + 1})").all_text_contents()
        return [float(cell) for cell in cells]

    before = numbers()
    assert before != sorted(before)
    heading.locator("button").click()
    assert numbers() == sorted(before)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").press("Enter")
    assert numbers() == sorted(before, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    assert watched.said == []


@pytest.mark.slow
def test_the_page_is_whole_with_scripts_off_and_on_paper(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    """The same text without scripts; a printed page is light, whatever the screen."""
    with_scripts = browser.new_page(color_scheme="dark")
    with_scripts.goto(pages["report"].as_uri())
    context = browser.new_context(java_script_enabled=False)
    without = context.new_page()
    without.goto(pages["report"].as_uri())
    assert without.locator("main").text_content() == with_scripts.locator("main").text_content()
    assert without.locator("th button").count() == 0
    with_scripts.emulate_media(media="print")
    background = with_scripts.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    printed = with_scripts.pdf(path=tmp_path / "page.pdf", format="A4")
    assert printed.startswith(b"%PDF")
    context.close()
