"""A file is written whole or not at all."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faults import STEPS, FaultyOs
from made_records import grid_of_runs, path_of, record_of

from lossbench.errors import ResultsError
from lossbench.store import Store, records
from lossbench.store.records import write_whole


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_refuses_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    """Old bytes or new ones stand, nothing is left or open, the error names path and remedy."""
    path, files = tmp_path / "runs.csv", Path("/proc/self/fd")
    write_whole(path, b"old")
    n_open = len(list(files.iterdir()))

    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(records, "os", FaultyOs(STEPS.index(step) + 1, refuse))
        with pytest.raises(ResultsError, match=os.strerror(code)) as caught:
            write_whole(path, b"new")
    assert caught.value.where == str(path)
    assert "free some space" in caught.value.remedy
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert len(list(files.iterdir())) == n_open  # a sweep writes thousands of files


@pytest.mark.parametrize("step", STEPS)
def test_a_write_that_is_killed_leaves_the_old_file_whole(tmp_path: Path, step: str) -> None:
    """A process that dies in a step of a write leaves a stray, which the lock sweeps up."""
    store = Store(tmp_path)
    with store.locked(pytest.fail):
        store.save(record_of(grid_of_runs()[0]))
    path = path_of(store, record_of(grid_of_runs()[0]))
    old = path.read_bytes()
    code = (
        "import os, sys; from pathlib import Path; from lossbench.store import records;"
        "from faults import STEPS, FaultyOs;"
        "records.os = FaultyOs(STEPS.index(sys.argv[2]) + 1, lambda: os.kill(os.getpid(), 9));"
        "records.write_whole(Path(sys.argv[1]), b'new')"
    )
    command = [sys.executable, "-c", code, path, step]
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    died = subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": here})
    assert died.returncode == -signal.SIGKILL
    assert path.read_bytes() == old
    assert len(list(path.parent.iterdir())) == (1 if step == "open" else 2)
    with store.locked(pytest.fail):
        assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file in the place of the folder is a clear error with --out to use."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ResultsError, match="--out"),
        Store(tmp_path / "file" / "tiny").locked(pytest.fail),
    ):
        pytest.fail("nothing can be locked there")
