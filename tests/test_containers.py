"""In a container: a user whom nobody knows, and process numbers that come again."""

import os
import tempfile
from pathlib import Path

import pytest

from lossbench.data import mnist
from lossbench.store import Store, write_whole

UNKNOWN = 2**31 - 9  # a user id that no machine gives a name


@pytest.fixture
def _unknown_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Run as a user id without a passwd entry, a name or a home, once ``tmp_path`` is made."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: UNKNOWN)


@pytest.mark.usefixtures("_unknown_user")
def test_a_user_without_a_name_holds_a_folder_under_their_number(tmp_path: Path) -> None:
    """Whoever waits is told the user's number where the machine knows no name for it."""
    with Store(tmp_path).locked(pytest.fail):
        assert (tmp_path / ".lock").read_text().startswith(f"user {UNKNOWN} on ")


@pytest.mark.usefixtures("_unknown_user")
def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MNIST is then looked for where temporary files lie, as Keras does."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / ".keras" / "datasets").mkdir(parents=True)
    file = tmp_path / ".keras" / "datasets" / "mnist.npz"
    file.touch()
    monkeypatch.delenv(mnist.VARIABLE, raising=False)
    assert mnist.find("mnist", None) == (file,)


def test_what_a_killed_process_left_is_in_the_way_of_nobody_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file left half written by process 1 does not stop the next process 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    (tmp_path / ".runs.csv.1.tmp").write_bytes(b"half")
    replace = os.replace

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "runs.csv", b"lost")
    monkeypatch.setattr(os, "replace", replace)
    strays = set(tmp_path.iterdir())
    assert len(strays) == 2
    write_whole(tmp_path / "runs.csv", b"whole")
    assert (tmp_path / "runs.csv").read_bytes() == b"whole"
    assert set(tmp_path.iterdir()) == {*strays, tmp_path / "runs.csv"}
    with Store(tmp_path).locked(pytest.fail):
        assert not list(tmp_path.glob(".*.tmp"))
