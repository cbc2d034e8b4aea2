"""The child process that runs a user's own code, from both ends: asked by a pipe, ended when slow.

What it sends is a stranger's: only records of ours and plain values are read from it.
"""

import io
import math
import os
import pickle
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from lossbench.auditing import records
from lossbench.auditing.probe import Probe, Setting
from lossbench.auditing.records import Answer, Failure, Found, Stopped
from lossbench.child_process import QUIET, Process, child_process, end
from lossbench.loss import Way

_Record = TypeVar("_Record", Answer, Found)
_LAST_LINES = 4
_MOST_BYTES = 2**26
_UNCOMPILED = {
    "PYTORCH_JIT": "0",  # a scripted function is the function; so is a compiled one
    "TORCHDYNAMO_DISABLE": "1",
}
_READ = ("Answer", "Failure", "Found", "Moved", "Output")


class Child:
    """A loss in another process. Calling it asks one probe; ``Stopped`` if it cannot answer.

    ``deadline`` is when it has to have answered everything, by ``time.monotonic``: set once the
    file is loaded, since a library that takes long to import is no fault of the loss.
    """

    def __init__(self, process: Process, pipe: Connection, log: BinaryIO, limit: float) -> None:
        self._process, self._pipe, self._log, self._limit = process, pipe, log, limit
        self.deadline = math.inf

    def load(
        self,
        file: Path,
        name: str,
        args: Mapping[str, str],
        settings: Mapping[str, Setting],
        limit: float,
    ) -> None:
        """Load the file within ``limit`` seconds; ``Stopped`` says why it cannot be."""
        question = (str(file), name, dict(args), dict(settings))
        failure = self._asked(question, "load", limit)
        if isinstance(failure, Failure):
            raise Stopped(failure)
        self.deadline = time.monotonic() + self._limit

    def __call__(self, probe: Probe, patience: float = math.inf) -> Answer:
        """Return the answer to one probe, which has to come within ``patience`` seconds."""
        return self._record(probe, Answer, patience)

    def found(self) -> Found:
        """Return how the loss is called."""
        return self._record("found", Found)

    def tried(self, way: Way) -> Failure | None:
        """Return why a training step cannot call the loss in this way; None where it can."""
        return self._record(way, Answer).failure

    def _record(self, question: object, kind: type[_Record], patience: float = math.inf) -> _Record:
        left = min(self._limit, patience, max(0.0, self.deadline - time.monotonic()))
        record = self._asked(question, "call", left)
        if not isinstance(record, kind):
            raise self._stopped("call crash", "an answer of another kind")
        return record

    def _asked(self, question: object, stage: str, seconds: float) -> Any:
        try:
            self._pipe.send(question)
            if not self._pipe.poll(seconds):
                end(self._process)
                raise self._stopped(
                    f"{stage} time", f"{self._limit if stage == 'call' else seconds:g}"
                )
            return _Reader(io.BytesIO(self._pipe.recv_bytes(_MOST_BYTES))).load()
        except (EOFError, OSError):
            code = self._process.wait()
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise self._stopped(f"{stage} crash", how) from None
        except pickle.UnpicklingError as error:
            raise self._stopped(f"{stage} crash", str(error)) from None

    def _stopped(self, stage: str, message: str) -> Stopped:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        last = "\n".join(line[:160] for line in lines[-_LAST_LINES:])
        return Stopped(Failure(stage, "", message, last))


class _Reader(pickle.Unpickler):
    """Reads plain values and the records of an audit, and nothing that runs code."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a record's class; ``UnpicklingError`` for anything else."""
        if module == records.__name__ and name in _READ:
            return getattr(records, name)
        raise pickle.UnpicklingError(f"it sent {module}.{name}, which is no answer")


@contextmanager
def child(limit: float) -> Iterator[Child]:
    """Start a child that has ``limit`` seconds for all answers, and end it with all it started."""
    ours, theirs = Pipe()
    pipe, environment = theirs.fileno(), QUIET | _UNCOMPILED | os.environ
    with (
        tempfile.TemporaryFile() as log,
        ours,
        child_process(f"{__name__}:main", pipe, log, environment, pass_fds=[pipe]) as process,
    ):
        theirs.close()
        yield Child(process, ours, log, limit)


def main(pipe: int) -> None:
    """Answer until nobody asks any more: what the child process runs."""
    from lossbench.auditing.callee import failure_of  # noqa: PLC0415 - the parent needs none of it
    from lossbench.auditing.itself import trial  # noqa: PLC0415
    from lossbench.auditing.loading import load  # noqa: PLC0415

    sys.dont_write_bytecode = True  # an audit changes nothing, not even a cache
    with Connection(pipe) as asked, suppress(EOFError):
        os.set_inheritable(pipe, False)
        file, name, args, settings = asked.recv()
        sys.argv = [file]
        try:
            loss = load(file, name, args, settings)
            _doubled()
        except (Exception, SystemExit) as error:
            asked.send(failure_of(error, "load", file))
            return
        asked.send(None)
        while True:
            question = asked.recv()
            try:
                answer: Answer | Found
                match question:
                    case Probe():
                        answer = loss(question)
                    case Way():
                        answer = trial(loss, question)
                    case _:
                        answer = loss.found()
            except SystemExit as error:
                answer = Answer(failure=failure_of(error, "call"))
            asked.send(answer)


def _doubled() -> None:
    """Have JAX keep double precision, and TensorFlow call functions without tracing them."""
    jax: Any = sys.modules.get("jax")
    if jax is not None and hasattr(jax, "config"):
        jax.config.update("jax_enable_x64", True)
    tensorflow: Any = sys.modules.get("tensorflow")
    if tensorflow is not None and hasattr(tensorflow, "config"):
        tensorflow.config.run_functions_eagerly(True)
