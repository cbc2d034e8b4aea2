"""A user's file asked in this process: for what is about the answers, not about the child."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from lossbench.auditing import inspection
from lossbench.auditing.callee import failure_of
from lossbench.auditing.itself import trial
from lossbench.auditing.loading import Asked, load
from lossbench.auditing.probe import Probe, Setting
from lossbench.auditing.records import Answer, Failure, Found, Stopped
from lossbench.loss import Way


class Here:
    """What the child process of an audit answers, without one; it has no limits."""

    loss: Asked

    def load(
        self,
        file: Path,
        name: str,
        args: Mapping[str, str],
        settings: Mapping[str, Setting],
        _limit: float,
    ) -> None:
        """Load the file; ``Stopped`` says why it cannot be."""
        try:
            with redirect_stdout(StringIO()):
                self.loss = load(str(file), name, args, settings)
        except (Exception, SystemExit) as error:
            raise Stopped(failure_of(error, "load", str(file))) from None

    def __call__(self, probe: Probe, _patience: float = 0) -> Answer:
        """Return the answer to one probe."""
        with redirect_stdout(StringIO()):
            return self.loss(probe)

    def found(self) -> Found:
        """Return how the loss is called."""
        return self.loss.found()

    def tried(self, way: Way) -> Failure | None:
        """Return why a training step cannot call the loss."""
        return trial(self.loss, way).failure


@contextmanager
def here(_limit: float) -> Iterator[Here]:
    """Stand in for the start of a child process."""
    yield Here()


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask losses in this process: the start of another one costs more than an audit."""
    monkeypatch.setattr(inspection, "child", here)
