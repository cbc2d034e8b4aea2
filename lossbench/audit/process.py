"""The child process that runs a user's own code: asked a line at a time, ended when too slow."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import lossbench
from lossbench.audit.answer import Answer, Failure, Found, Output, Stopped
from lossbench.audit.probe import Probe, Setting

_LAST_LINES = 4
_CODE = "import sys; sys.path.append({root!r}); from lossbench.audit.child import main; main()"
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": ""}


class Child:
    """A loss in another process. Calling it asks one probe; ``Stopped`` if it cannot answer."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: BinaryIO, limit: float) -> None:
        self._process, self._log, self._limit = process, log, limit

    def load(
        self, file: Path, name: str, args: Mapping[str, str], settings: Mapping[str, Setting]
    ) -> None:
        """Load the file; ``Stopped`` says why it cannot be."""
        question = {"file": str(file), "name": name, "args": args, "settings": settings}
        failure = self._asked(question, "load")
        if failure is not None:
            raise Stopped(Failure(**failure))

    def __call__(self, probe: Probe) -> Answer:
        """Return the answer to one probe."""
        facts = self._asked({"probe": asdict(probe)}, "call")
        outputs = tuple(Output(**{**o, "shape": tuple(o["shape"])}) for o in facts["outputs"])
        failure = Failure(**facts["failure"]) if facts["failure"] else None
        return Answer(outputs, facts["returned"], tuple(facts["mutated"]), failure)

    def found(self) -> Found:
        """Return how the loss is called."""
        facts = self._asked({"found": True}, "call")
        return Found(**{**facts, "varies": tuple(facts["varies"])})

    def _asked(self, question: Mapping[str, object], stage: str) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the child was started without pipes")
        late = threading.Event()

        def end() -> None:
            late.set()
            _end(self._process)

        watch = threading.Timer(self._limit, end)
        watch.start()
        try:
            line = b""
            with suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(question).encode() + b"\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
        finally:
            watch.cancel()
        if late.is_set():
            raise Stopped(Failure(f"{stage} time", "", f"{self._limit:g}", self._last_lines()))
        if not line.endswith(b"\n"):
            code = self._process.wait()
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise Stopped(Failure(f"{stage} crash", "", how, self._last_lines()))
        return json.loads(line)

    def _last_lines(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return "\n".join(line[:160] for line in lines[-_LAST_LINES:])


@contextmanager
def child(limit: float) -> Iterator[Child]:
    """Start a child that has ``limit`` seconds for an answer, and end it with all it started."""
    root = str(Path(lossbench.__file__).parent.parent)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE.format(root=root)],
            env=_QUIET | os.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Child(process, log, limit)
        finally:
            _end(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
            process.wait()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a child and what it started; it holds nothing of ours."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
