"""Ctrl-C and the signals that end a process: told at once, and ended in order within seconds."""

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_SECONDS = 4.0


class Interrupted(BaseException):
    """The program was asked to stop; everything finished is kept."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.exit_code = 128 + signal_number


_asked: Interrupted | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first signal into ``Interrupted``; a second one ends the process at once.

    Python runs a handler only between two of its own steps, and one step may be long. So a
    thread tells the user, and ends the process if it has not ended itself after four seconds.
    """
    untold = threading.Lock()

    def handle(number: int, _frame: FrameType | None) -> None:
        global _asked  # noqa: PLW0603 - signals are the process's, too
        _tell(untold)
        if not _asked:
            _asked = Interrupted(number)
            sys.unraisablehook = lambda _: None  # Python would print one raised in a destructor
            raise _asked

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_watch, args=(reader, untold), daemon=True).start()
    before = {
        number: signal.signal(number, handle)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN  # nohup says: go on
    }
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        raise_swallowed()
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)


def raise_swallowed() -> None:
    """Raise ``Interrupted`` again, if a signal has raised it; to be called between long steps.

    Python swallows what is raised in a destructor, and while C code formats another error.
    """
    if _asked:
        raise _asked


@contextmanager
def undisguised() -> Iterator[None]:
    """Raise ``Interrupted`` again where a library has turned it into an error of its own."""
    try:
        yield
    except Exception:
        raise_swallowed()
        raise


def _tell(untold: threading.Lock) -> None:
    """Tell the user once: the first to come takes the lock and keeps it."""
    if untold.acquire(blocking=False):
        sys.stderr.write("\nstopping\n")
        sys.stderr.flush()


def _watch(reader: int, untold: threading.Lock) -> None:
    """Wait for a signal, tell the user, and end the process at the next one or after a while."""
    if number := _arrived(reader):
        _tell(untold)
        if select.select([reader], [], [], _PATIENCE_SECONDS)[0]:
            number = _arrived(reader)
        os._exit(128 + number)
    os.close(reader)


def _arrived(reader: int) -> int:
    """Return the number of the next signal, or 0 once nobody sends any more."""
    return int.from_bytes(os.read(reader, 1))
