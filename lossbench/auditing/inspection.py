"""The audit of something in a user's file: a child process asked, its failures told."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from lossbench.auditing.child import Child, child
from lossbench.auditing.examination import examine
from lossbench.auditing.itself import way_of
from lossbench.auditing.options import Options, Target
from lossbench.auditing.probe import Probe
from lossbench.auditing.proof import unproved
from lossbench.auditing.records import Answer, Ask, Failure, Found, Stopped
from lossbench.auditing.result import Audit, Finding
from lossbench.auditing.signature import FILLING
from lossbench.auditing.telling import Obstacle
from lossbench.loss import Way
from lossbench.words import counted, joined

_USUAL_D = (784, 1024, 3072, 4096, 12288, 64)
_PATIENCE_SECONDS = 2.0
_FAR = {"z_mean": 20.0, "z_log_var": 15.0}


def audit(target: Target, options: Options, said: Callable[[str], None] = lambda _: None) -> Audit:
    """Return what the loss in the user's file trains.

    The file is loaded in a child process, which is ended afterwards; ``said`` hears what takes
    long. ``AuditError`` says what was tried, what came back and what to write instead.
    """
    outcome = attempt(target, options, said)
    if isinstance(outcome, Obstacle):
        raise outcome.error()
    return outcome


def audit_here(loss: Callable[..., object], target: Target, options: Options) -> Audit:
    """Return what a callable trains, asked in this process; ``target`` is what to call it.

    What it prints is caught, and common random generators and what it changes are put back. The
    time limit holds between two calls of it.
    """
    # The parent of a child process needs none of it.
    from lossbench.auditing.callee import failure_of  # noqa: PLC0415
    from lossbench.auditing.loading import from_function  # noqa: PLC0415
    from lossbench.auditing.tensors import undisturbed  # noqa: PLC0415

    with undisturbed():
        try:
            asked = from_function(loss, target.name, options.args, options.settings)
        except Exception as error:
            raise Obstacle(target, options, failure_of(error, "load")).error() from error
        try:
            found = _examined(asked, asked.found, options)
        except Stopped as stop:
            raise Obstacle(target, options, stop.failure).error() from None
        return replace(found, process="this")


def attempt(
    target: Target, options: Options, said: Callable[[str], None] = lambda _: None
) -> Audit | Obstacle:
    """Return what the loss in the user's file trains, or what stood in the way."""
    ((_, outcome),) = _outcomes(target, [options], said)
    return outcome


def audit_to_train(target: Target, asked: Sequence[Options]) -> tuple[tuple[Audit, Way | str], ...]:
    """Return what the loss in the user's file trains, each time it is asked: in one child process.

    With it goes how the loss itself is trained, or why it is not, where the audit proves no
    ``a*R + b*K``; else an empty text. ``AuditError`` is that of ``audit``.
    """
    found: list[tuple[Audit, Way | str]] = []
    outcomes = _outcomes(target, asked, lambda _: None)
    for options, (asking, audit) in zip(asked, outcomes, strict=False):
        if isinstance(audit, Obstacle):
            raise audit.error()
        way = way_of(audit, asking.found(), options.shape) if unproved(audit) else ""
        failure = None
        if isinstance(way, Way):
            try:
                failure = asking.tried(way)
            except Stopped as stop:
                failure = stop.failure
        found.append((audit, f"{failure.message or failure.stage}" if failure else way))
    return tuple(found)


def _outcomes(
    target: Target, asked: Sequence[Options], said: Callable[[str], None]
) -> Iterator[tuple[Child, Audit | Obstacle]]:
    """Yield what the loss trains each time it is asked, up to what stands in the way.

    The child that was asked goes with it, and lives until the next one is asked for.
    """
    with ExitStack() as running:
        asking = _Asking(target, asked[0], running, said)
        for number, options in enumerate(asked):
            try:
                asking.begin(options) if number else asking.start()
                audit = _examined(asking, asking.found, options, said)
                audit = replace(audit, findings=(*asking.hangs(), *audit.findings))
                yield asking.child, audit
            except Stopped as stop:
                failure = asking.ended(stop.failure)
                notes = _notes(asking.child, failure) if failure.stage in ("call", "type") else ()
                shapes = _works_with(asking.child, options, failure)
                yield asking.child, Obstacle(target, options, failure, *shapes, notes)
                return


def _examined(
    ask: Ask,
    found: Callable[[], Found],
    options: Options,
    said: Callable[[str], None] = lambda _: None,
) -> Audit:
    return examine(
        ask,
        found,
        options.sizes,
        options.shape,
        options.settings,
        latent_shape=options.latent_shape,
        total=options.total,
        seconds=options.time_limit,
        said=said,
    )


class _Asking:
    """Asks the loss in a child process.

    One that does not return at latents far out is started anew, and is not asked so far out again.
    """

    def __init__(
        self, target: Target, options: Options, running: ExitStack, said: Callable[[str], None]
    ) -> None:
        self._target, self._options, self._running, self._said = target, options, running, said
        self._first: Probe | None = None  # that it answered
        self._probe: Probe | None = None
        self._n_answers, self._slowest, self._since = 0, 0.0, 0.0
        self._hung: dict[str, float] = {}

    def start(self) -> None:
        """Load the file in a child; ``Stopped`` says why it cannot be."""
        options, file = self._options, self._target.path
        self.child = self._running.enter_context(child(options.time_limit))
        with _later(self._said, f"importing {file.name}"):
            to_import = max(2 * options.time_limit, 10)
            self.child.load(
                file.absolute(), self._target.name, options.args, options.settings, to_import
            )
        self.found = self.child.found

    def begin(self, options: Options) -> None:
        """Ask the loss that is loaded about something else, for which it has its whole time."""
        self._options, self._first, self._n_answers = options, None, 0
        self.child.deadline = time.monotonic() + options.time_limit

    def __call__(self, probe: Probe) -> Answer:
        """Return the answer to one probe."""
        sizes = _sizes(probe)
        far = [name for name, size in sizes.items() if size > _FAR[name]]
        beyond = any(sizes[name] >= size for name, size in self._hung.items())
        if beyond:
            return Answer(failure=Failure("call", "TimeoutError", "it does not return"))
        may_hang = bool(far and self._n_answers) and len(self._hung) < len(_FAR)
        self._since, self._probe = time.monotonic(), probe
        try:
            answer = self.child(probe, self._patience if may_hang else math.inf)
        except Stopped as stop:
            if not may_hang or stop.failure.stage != "call time":
                raise
            self._hung[far[0]] = sizes[far[0]]
            self.start()
            if self._first is not None:
                self.child(self._first)
            return self(probe)
        self._n_answers += 1
        self._slowest = max(self._slowest, time.monotonic() - self._since)
        if self._first is None and answer.failure is None:
            self._first = probe
        return answer

    @property
    def _patience(self) -> float:
        """How many seconds an answer may take that others do not take."""
        return min(max(3.0, 50 * self._slowest), self._options.time_limit / 4)

    def hangs(self) -> Iterator[Finding]:
        """Yield where the loss did not return."""
        for name, size in self._hung.items():
            yield Finding(
                "hangs",
                f"The loss does not return at {name} of about {size:.2g}: there was no answer in "
                f"{self._patience:.0f} s. It was not asked beyond.",
                changes=False,
            )

    def ended(self, failure: Failure) -> Failure:
        """Return why there is no audit, with where it did not return or how often it did."""
        if failure.stage != "call time" or not self._n_answers:
            return failure
        waited = time.monotonic() - self._since
        if waited <= self._options.time_limit / 3:
            return Failure("budget", "", counted(self._n_answers, "call"))
        at = ", ".join(f"{name} up to {size:.2g}" for name, size in _sizes(self._probe).items())
        x_hat = (
            f"{self._probe.x_hat.replace('_', ' ')} {self._probe.level:g}" if self._probe else ""
        )
        message = (
            f"{waited:.0f} s, after {counted(self._n_answers, 'answer')}, at {at}, x_hat {x_hat}"
        )
        return replace(failure, message=message)


def _sizes(probe: Probe | None) -> dict[str, float]:
    """Return how far out the latents of a probe are."""
    if probe is None:
        return {}
    wide = {"even": 1.0, "signed": 1.0, "drawn": 1.3, "uneven": 13.0}[probe.pattern]
    return {"z_mean": wide * abs(probe.mean), "z_log_var": max(abs(probe.low), abs(probe.high))}


def _notes(asked: Child, failure: Failure) -> tuple[str, ...]:
    """Return what is known of arguments that could be filled otherwise."""
    try:
        found = asked.found()
    except Stopped:
        return ()
    notes = [line for line in found.filled if "--args" in line]
    if found.absent and "NoneType" in failure.message:
        are = "is" if len(found.absent) == 1 else "are"
        notes.append(
            f"{joined(found.absent)} {are} None by default: --args ROLE={found.absent[0]} fills "
            f"{found.absent[0]}, where ROLE is {joined(FILLING, 'or')}"
        )
    return tuple(notes)


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


def _works_with(
    asked: Child, options: Options, failure: Failure
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return shapes of images and of latents at which a loss answers that raises at those asked.

    Each is empty where it is as it was asked, or where nothing was found.
    """
    if failure.stage != "call":
        return (), ()
    d, k = options.sizes.d or 1, options.sizes.k or 1
    probe = Probe(
        *(d, k, 5, 5, options.sizes.n_images or 1, options.shape),
        settings=tuple(options.settings.items()),
    )
    images, flat = [options.shape], []
    if len(options.shape) == 1:
        images += _images(d)
        flat = [(other,) for other in _USUAL_D if other != d]
    latents = [options.latent_shape]
    if not options.latent_shape:
        latents += [(k, 1, 1), (1, 1, k), (1, k)]
    tried = [(shape, latents[0]) for shape in (*images, *flat)]
    tried += [(shape, latent) for latent in latents[1:] for shape in images]
    for shape, latent in tried[1:]:
        other = replace(probe, d=math.prod(shape), shape=shape, latent_shape=latent)
        try:
            if asked(other).failure is None:
                changed = latent != options.latent_shape
                return shape if shape != options.shape else (), latent if changed else ()
        except Stopped:
            break
    return (), ()


def _images(d: int) -> Iterator[tuple[int, ...]]:
    """Yield square images of d values, grey or in colour, channels last and first."""
    for channels in (1, 3):
        side = math.isqrt(d // channels)
        if side * side * channels == d and side > 1:
            yield side, side, channels
            yield channels, side, side
