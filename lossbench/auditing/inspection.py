"""The audit of something in a user's file: a child process asked, its failures told."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from lossbench.auditing.child import Child, child
from lossbench.auditing.examination import examine
from lossbench.auditing.options import Options, Target
from lossbench.auditing.probe import Probe
from lossbench.auditing.records import Answer, Failure, Stopped
from lossbench.auditing.result import Audit
from lossbench.auditing.telling import Obstacle

_USUAL_D = (784, 1024, 3072, 4096, 12288, 64)
_PATIENCE_SECONDS = 2.0


def audit(target: Target, options: Options, said: Callable[[str], None] = lambda _: None) -> Audit:
    """Return what the loss in the user's file trains.

    The file is loaded in a child process, which is ended afterwards; ``said`` hears what takes
    long. ``AuditError`` says what was tried, what came back and what to write instead.
    """
    outcome = attempt(target, options, said)
    if isinstance(outcome, Obstacle):
        raise outcome.error()
    return outcome


def attempt(
    target: Target, options: Options, said: Callable[[str], None] = lambda _: None
) -> Audit | Obstacle:
    """Return what the loss in the user's file trains, or what stood in the way."""
    limit, n_answers, since = options.time_limit, 0, 0.0
    with child(limit) as asked:

        def ask(probe: Probe) -> Answer:
            nonlocal n_answers, since
            since = time.monotonic()
            answer = asked(probe)
            n_answers += 1
            return answer

        try:
            with _later(said, f"importing {target.path.name}"):
                file, to_import = target.path.absolute(), max(2 * limit, 10)
                asked.load(file, target.name, options.args, options.settings, to_import)
            return examine(
                ask,
                asked.found,
                options.sizes,
                options.shape,
                options.settings,
                latent_shape=options.latent_shape,
                total=options.total,
                seconds=limit,
                said=said,
            )
        except Stopped as stop:
            failure, waited = stop.failure, time.monotonic() - since
            if failure.stage == "call time" and n_answers:
                hangs = waited > limit / 3
                failure = (
                    replace(failure, message=f"{waited:.0f} s, after {n_answers} answers")
                    if hangs
                    else Failure("budget", "", f"{n_answers} calls")
                )
            notes = _notes(asked) if failure.stage == "call" else ()
            works_with = _works_with(asked, options, failure)
            return Obstacle(target, options, failure, works_with, notes)


def _notes(asked: Child) -> tuple[str, ...]:
    """Return what is known of arguments that could be filled otherwise."""
    try:
        return tuple(line for line in asked.found().filled if "--args" in line)
    except Stopped:
        return ()


@contextmanager
def _later(said: Callable[[str], None], text: str) -> Iterator[None]:
    """Say it if what is inside takes longer than one waits without a word."""
    timer = threading.Timer(_PATIENCE_SECONDS, said, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _works_with(asked: Child, options: Options, failure: Failure) -> tuple[int, ...]:
    """Return the first usual shape of images at which a loss answers that raises at the asked d.

    Nothing where there is none, or where a shape was asked for.
    """
    if failure.stage != "call" or len(options.shape) > 1:
        return ()
    sizes = options.sizes
    probe = Probe(
        *(sizes.d or 1, sizes.k or 1, 5, 5, sizes.n_images or 1, options.shape),
        latent_shape=options.latent_shape,
        settings=tuple(options.settings.items()),
    )
    flat = [(d,) for d in _USUAL_D if d != sizes.d]
    for shape in (*_images(sizes.d or 1), *flat):
        try:
            if asked(replace(probe, d=math.prod(shape), shape=shape)).failure is None:
                return shape
        except Stopped:
            break
    return ()


def _images(d: int) -> Iterator[tuple[int, ...]]:
    """Yield square images of d values, grey or in colour, channels last and first."""
    for channels in (1, 3):
        side = math.isqrt(d // channels)
        if side * side * channels == d and side > 1:
            yield side, side, channels
            yield channels, side, side
