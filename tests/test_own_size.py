"""Data of one's own is used at its own size, unless another one is asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_cli import run as cli

from lossbench.errors import DataError
from lossbench.experiment import read
from lossbench.prediction import predict
from lossbench.sweeping import plan

Sizes = Callable[..., set[tuple[str, int]]]

SIZES = {"flat.npy": (30,), "grey.npz": (6, 6), "colour.npy": (4, 2, 3)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with images of three shapes, 200 of each."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, shape in SIZES.items():
        save = np.savez if name.endswith(".npz") else np.save
        save(name, random.random((200, *shape)).astype(np.float32))
    return tmp_path


def planned(options: dict[str, str], file: Path | None = None) -> set[tuple[str, int]]:
    """Return the data and the d of every run that a sweep would train."""
    runs = plan(read(file, {"batch_size": "8"} | options), Path("results")).runs
    return {(run.dataset, run.d) for run in runs}


def predicted(options: dict[str, str], file: Path | None = None) -> set[tuple[str, int]]:
    """Return the data and the d of every setting that a prediction is made for."""
    found = predict(read(file, {"batch_size": "8"} | options)).settings
    return {(setting.run.dataset, setting.run.d) for setting in found}


@pytest.mark.parametrize("of", [planned, predicted])
@pytest.mark.parametrize("name", SIZES)
def test_a_file_is_used_at_its_own_size(name: str, of: Sizes) -> None:
    """The sizes of the default grid are those of digits, and mean nothing for other data."""
    assert of({"dataset": name}) == {(name, int(np.prod(SIZES[name])))}


@pytest.mark.parametrize("of", [planned, predicted])
def test_several_data_sets_have_their_own_sizes(of: Sizes) -> None:
    """Each its own, not each that of the others as well."""
    named = ",".join([*SIZES, "digits"])
    expected = {(name, int(np.prod(shape))) for name, shape in SIZES.items()}
    assert of({"dataset": named}) == expected | {("digits", 64)}


@pytest.mark.parametrize("of", [planned, predicted])
def test_the_size_that_is_asked_for_holds(of: Sizes, tmp_path: Path) -> None:
    """By the option, or by an experiment file; what cannot be had is refused."""
    assert of({"dataset": "grey.npz", "d": "9,36"}) == {("grey.npz", 9), ("grey.npz", 36)}
    file = tmp_path / "mine.toml"
    file.write_text("[sweep]\nd = [4]\n")
    assert of({"dataset": "grey.npz"}, file) == {("grey.npz", 4)}
    with pytest.raises(DataError, match="cannot be given at d = 16"):
        of({"dataset": "flat.npy", "d": "16"})


def test_the_default_grid_keeps_its_sizes() -> None:
    """Without other data nothing changes."""
    assert planned({}) == {("digits", 16), ("digits", 64)}


@pytest.mark.parametrize(
    ("command", "told"),
    [("sweep --dry-run", "120 runs, 0 done, 120 to train"), ("predict", "flat.npy, d 30, bce")],
)
def test_the_commands_take_a_file_without_a_size(
    command: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was refused with advice that could not be followed."""
    name, *options = command.split()
    code, out, err = cli(capsys, name, "--dataset", "flat.npy", *options)
    assert code == 0, err
    assert told in out + err
