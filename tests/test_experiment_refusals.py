"""A bad experiment file is refused with the line it stands on."""

from pathlib import Path

import pytest
from asked import Write, refusal_of

from lossbench.errors import ExperimentError
from lossbench.experiment import read


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[sweep]\nbetta = 1\n", 2, "did you mean 'beta'?"),
        ("[data]\n\n# a comment\ndatset = 'x'\n", 4, "did you mean 'dataset'?"),
        ("[swep]\nbeta = 1\n", 1, "did you mean 'sweep'?"),
        ("\nbeta = 1\n", 2, "write `beta` under [sweep]"),
        ("[sweep]\nloss = ['docs', 'bloog']\n", 2, "did you mean 'blog'?"),
        ("[sweep]\nloss = 3\n", 2, "the name of a loss convention"),
        ("[sweep]\nreconstruction_loss = 'bec'\n", 2, "did you mean 'bce'?"),
        ("[training]\noptimizer = 'Adam'\n", 2, "did you mean 'adam' or 'adamw'?"),
        ("[sweep]\nbeta = []\n", 2, "empty list, so the grid has no runs"),
        ("[sweep]\nseeds = []\n", 2, "empty list, so the grid has no runs"),
        ("[sweep]\nseeds = 0\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = -1\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = '3'\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = ['3']\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = 1.5\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = true\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = [true]\n", 2, "a count of at least 1"),
        ("sweep = []\n", 1, "the grid is empty"),
        ("sweep = 3\n", 1, "`sweep` is not a section"),
        ("sweep = [3]\n", 1, "`sweep` is not a section"),
        ("data = 'digits'\n", 1, "`data` is not a section"),
        ("[sweep]\nk = 2\nbeta = -1\n", 3, "a number of at least 0"),
        ("[sweep]\r\nk = 2\r\nbeta = -1\r\n", 3, "a number of at least 0"),
        ("[sweep]\nbeta_eff = -0.1\n", 2, "a number of at least 0"),
        ("[sweep]\nbeta = nan\n", 2, "received: nan"),
        ("[sweep]\nbeta = [1, inf]\n", 2, "received: inf"),
        ("[sweep]\nbeta = '1'\n", 2, "received: '1'"),
        ("[sweep]\nbeta = true\n", 2, "received: True"),
        ("[sweep]\nbeta = [[1]]\n", 2, "a number of at least 0"),
        ("[sweep]\nbeta = {low = 1}\n", 2, "a number of at least 0"),
        ("[sweep]\nbeta = 2026-01-01\n", 2, "a number of at least 0"),
        ("[sweep]\nbeta = 1\nbeta_eff = 1\n", 3, "contradict"),
        ("[sweep]\nd = true\n", 2, "received: True"),
        ("[sweep]\nd = 64.0\n", 2, "a whole number of at least 1"),
        ("[sweep]\nd = 0\n", 2, "a whole number of at least 1"),
        ("[sweep]\nk = 10000000000\n", 2, "a whole number of at least 1"),
        ("[sweep]\nhidden = []\n", 2, "empty list"),
        ("[sweep]\nhidden = [[8], 8]\n", 2, "layer sizes"),
        ("[model]\nbeta = 1\n", 2, "`beta` under [sweep]"),
        ("[training]\ndataset = 'digits'\n", 2, "`dataset` under [data]"),
        ("[training]\nepochs = [1, 2]\n", 2, "write `epochs` under [sweep]"),
        ("[model]\nhidden = [[8], [16]]\n", 2, "write `hidden` under [sweep]"),
        ("[training]\nepochs = true\n", 2, "received: True"),
        ("[training]\nepochs = 2.5\n", 2, "received: 2.5"),
        ("[training]\nlearning_rate = 0\n", 2, "a number above 0"),
        ("[training]\nlearning_rate = nan\n", 2, "a number above 0"),
        ("[training]\nlearning_rate_decay = nan\n", 2, "above 0 and at most 1"),
        ("[training]\nlearning_rate_decay = 2\n", 2, "above 0 and at most 1"),
        ("[model]\nnoise_std = -1\n", 2, "a number above 0"),
        ("[model]\nhidden = 64\n", 2, "layer sizes"),
        ("[model]\nhidden = [0]\n", 2, "layer sizes"),
        ("[model]\nhidden = [true]\n", 2, "layer sizes"),
        ("[data]\ndataset = ''\n", 2, "digits, patches or mnist"),
        ("[data]\ndataset = 3\n", 2, "digits, patches or mnist"),
        ("[frozen]\nformat = 99\n", 1, "format = 1"),
        ("frozen = 3\n", 1, "format = 1"),
        # Lines that are hard to find.
        ("sweep.beta = -1\n", 1, "a number of at least 0"),
        ('[sweep]\n"beta" = -1\n', 2, "a number of at least 0"),
        ("[ sweep ] # here\n  beta=-1\n", 2, "a number of at least 0"),
        ("[training]\nepochs = 5\n[sweep]\nepochs = [0]\n", 4, "at least 1"),
        ("[sweep]\nhidden = [\n  [64],\n  [128],\n]\nbetta = 1\n", 6, "did you mean 'beta'?"),
        ("[[sweep]]\nbeta = 1\n[[sweep]]\nbeta = -1\n", 4, "a number of at least 0"),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_its_line(
    write: Write, text: str, line: int, words: str
) -> None:
    """The message names file, line and rule, and what was meant where that can be guessed."""
    assert words in str(refusal_of(write(text), line=line))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[sweep]\nbeta = 1 2\n", 2),
        ("[sweep\nbeta = 1\n", 1),
        ("[sweep]\nbeta = 1\nbeta = 2\n", 3),
        ("[sweep]\nloss = blog\n", 2),
        ("[sweep]\nbeta = [1, 2\n", 2),
        ('[sweep]\nbeta = "abc', 2),
        ("<html>\n", 1),
    ],
)
def test_a_file_that_is_not_toml_is_refused_with_its_line(
    write: Write, text: str, line: int
) -> None:
    """The line where reading stopped is named, the last one for what was never closed."""
    error = refusal_of(write(text))
    assert error.problem == "the experiment file is not TOML"
    assert error.where in (f"{write(text)}, line {line}", f"{write(text)}, line {line + 1}")


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xfe[\x00s", b"\x00", b"\x89PNG\r\n\x1a\n", b"beta = '\xe9'", b"#" * 1_000_001],
    ids=["utf-16", "nul", "png", "latin-1", "huge"],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, raw: bytes) -> None:
    """A file that is not UTF-8, or far too large, is named, and its bytes are not shown."""
    path = tmp_path / "asked.toml"
    path.write_bytes(raw)
    assert str(path) in refusal_of(path).where


def test_deep_nesting_is_refused(write: Write) -> None:
    """A hundred thousand brackets end in one message, not in a crash."""
    assert "not TOML" in str(refusal_of(write("[sweep]\nbeta = " + "[" * 100_000)))
    assert "beta" in str(refusal_of(write("[sweep]\nbeta = " + "[" * 50 + "]" * 50), line=2))


@pytest.mark.parametrize("key", ["seeds", "beta", "d", "loss", "hidden"])
@pytest.mark.parametrize("number", ["0x" + "F" * 5000, "[0x" + "F" * 5000 + "]"])
def test_a_number_of_thousands_of_digits_is_refused(write: Write, key: str, number: str) -> None:
    """Python will not print such a number; the message does without it."""
    error = refusal_of(write(f"[sweep]\n{key} = {number}\n"), line=2)
    assert len(str(error)) < 1000


def test_a_missing_file_is_refused_with_the_nearest_one(write: Write) -> None:
    """A slip in a file's name is answered with the file that is there."""
    there = write("")
    error = refusal_of(there.with_name("askd.toml"))
    assert error.remedy == f"did you mean '{there}'?"
    assert error.where.endswith("askd.toml")


def test_a_folder_is_no_experiment_file(tmp_path: Path) -> None:
    """The path of a folder is refused like any other that cannot be read."""
    assert str(tmp_path) in refusal_of(tmp_path).where


def test_a_grid_too_large_to_hold_is_refused(write: Write) -> None:
    """Ten million runs are refused by their number, before they are made."""
    betas = list(range(1000))
    path = write(f"[sweep]\nbeta = {betas}\nd = 64\nseeds = 10000\n")
    with pytest.raises(ExperimentError, match="20,000,000 runs"):
        read(path).runs()
