"""A process for a stranger's code: nothing that it starts outlives it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import lossbench

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": ""}
"""Libraries print nothing, draw into files and leave a GPU to those who train."""

_CODE = (
    "import sys; sys.path.insert(0, {root!r}); from {module} import {function}; sys.path.pop(0); "
    "{function}({argument!r})"
)

Process = subprocess.Popen[bytes]


@contextmanager
def child_process(
    function: str,
    argument: str | int,
    output: BinaryIO,
    environment: Mapping[str, str],
    folder: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[Process]:
    """Start ``module:function`` of ours with an argument; end it with all that it started.

    ``output`` takes what it prints; ``folder`` is where it works, by default here.
    """
    module, _, name = function.partition(":")
    root = str(Path(lossbench.__file__).parent.parent)
    code = _CODE.format(root=root, module=module, function=name, argument=argument)
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=pass_fds,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process)
        process.wait()


def end(process: Process) -> None:
    """Kill a child and what it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
