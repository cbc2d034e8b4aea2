"""Which commit: of the code that trains, and of the folder that a sweep is started in."""

import os
import subprocess
from pathlib import Path

_OF_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # repository: in a hook git sets them


def of_lossbench() -> str | None:
    """Return the commit that this package is checked out at.

    It ends in ``-dirty`` if the package holds anything else. None if git does not track the
    package: it was installed from a wheel, wherever that may lie.
    """
    here = str(Path(__file__).parent)
    environment = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}

    def git(*arguments: str) -> str | None:
        return _answer("-C", here, "--no-optional-locks", *arguments, environment=environment)

    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = git("rev-parse", "HEAD")
    return f"{commit}-dirty" if commit and git("status", "--porcelain", "--", ".") else commit


def of_folder() -> str | None:
    """Return the commit of the repository that the current folder lies in, if it lies in one."""
    return _answer("describe", "--always", "--dirty", "--abbrev=40") or None


def _answer(*arguments: str, environment: dict[str, str] | None = None) -> str | None:
    """Return what git prints; None if it refuses, or is not there."""
    try:
        answer = subprocess.run(
            ["git", *arguments],  # noqa: S607
            env=environment,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
