"""A record tells the commit of the code that trained, not of the folder that somebody was in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import TINY, lossbench

from lossbench import commits
from lossbench.report import page
from lossbench.run import Record
from lossbench.store import Store

OLD_RECORDS = Path(__file__).parent / "results-format-1"


def git(folder: Path, *arguments: str) -> str:
    """Return what git prints in a folder."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def committed(folder: Path) -> str:
    """Make a folder a repository, with all that is in it; return its commit."""
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "all")
    return git(folder, "rev-parse", "HEAD")


def copied(folder: Path) -> Path:
    """Copy what tells the commit into a package of its own; return the package."""
    package = folder / "lossbench"
    package.mkdir(parents=True)
    shutil.copy(commits.__file__, package)
    (package / "__init__.py").touch()
    (folder / ".gitignore").write_text("__pycache__\n.venv\n")
    return package


def told(package: Path, **environment: str) -> str:
    """Return the commit that a package tells, asked from another folder."""
    code = "from lossbench import commits; print(commits.of_lossbench())"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=package.anchor,
        env=os.environ | {"PYTHONPATH": str(package.parent)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip()


def test_a_checkout_tells_its_own_commit(tmp_path: Path) -> None:
    """Wherever the process is, a hook of another repository too; and whether it was changed."""
    package = copied(tmp_path / "checkout")
    commit = committed(package.parent)
    other = tmp_path / "other"
    other.mkdir()
    assert committed(other) != commit
    assert told(package) == commit
    assert told(package, GIT_DIR=str(other / ".git")) == commit
    (package.parent / "results.csv").touch()
    assert told(package) == commit
    (package / "new.py").touch()
    assert told(package) == f"{commit}-dirty"


def test_an_installed_package_has_no_commit(tmp_path: Path) -> None:
    """Also where it lies in an environment inside of somebody's repository."""
    assert told(copied(tmp_path / "site-packages")) == "None"
    project = tmp_path / "project"
    package = copied(project / ".venv")
    (project / ".gitignore").write_text(".venv\n")
    committed(project)
    assert told(package) == "None"


def test_without_git_no_commit_is_told(tmp_path: Path) -> None:
    """A machine without git records none."""
    package = copied(tmp_path)
    committed(tmp_path)
    assert told(package, PATH="") == "None"


@pytest.mark.slow
def test_a_record_has_both_commits(tmp_path: Path) -> None:
    """Lossbench's own, and that of the repository that the sweep was started in."""
    commit = committed(tmp_path)
    answer = lossbench("sweep", *TINY, "--out", "out", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    for record in Store(tmp_path / "out").records():
        assert record.provenance["folder_commit"] == commit
        assert record.provenance["lossbench_commit"] == commits.of_lossbench()
        assert "git_commit" not in record.provenance


def shown(records: Iterable[Record]) -> dict[str, str]:
    """Return what the page tells of where numbers come from."""
    return dict(page.provenance(None, records).versions)


def test_a_page_says_which_commit_is_which() -> None:
    """The folder's commit is called so, under the name that old records have for it, too."""
    records = [
        Record("new", "ok", {}, {}, provenance={"folder_commit": "1", "lossbench_commit": "2"}),
        Record("old", "ok", {}, {}, provenance={"git_commit": "0"}),
        Record("crashed", "crashed", {}, {}),
    ]
    assert shown(records) == {
        "commit of lossbench": "2",
        "commit of the folder that the sweep was started in": "0, 1",
    }
    assert shown(Store(OLD_RECORDS).records(set_aside=False))["lossbench"] == "0.1.0"
