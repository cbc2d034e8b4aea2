"""The audit of something in a user's file: a child process asked, its failures told."""

from lossbench.audit.answer import Failure, Stopped
from lossbench.audit.examination import examine
from lossbench.audit.probe import Probe
from lossbench.audit.process import Child, child
from lossbench.audit.request import Request
from lossbench.audit.result import Audit
from lossbench.audit.telling import told

_USUAL_D = (784, 1024, 3072, 4096, 12288, 64)


def audit(request: Request) -> Audit:
    """Return what the callable in the user's file trains.

    The file is loaded in a child process, which is ended afterwards. ``AuditError`` says what was
    tried, what came back and what to write instead.
    """
    with child(request.time_limit) as asked:
        try:
            asked.load(request.file, request.name, request.args, request.settings)
            return examine(asked, asked.found, request.sizes, request.shape, request.settings)
        except Stopped as stop:
            raise told(request, stop.failure, _works_at(asked, request, stop.failure)) from None


def _works_at(asked: Child, request: Request, failure: Failure) -> int | None:
    """Return the first usual d at which a loss answers that raises at the asked one."""
    if failure.stage != "call" or len(request.shape) > 1:
        return None
    for d in _USUAL_D:
        probe = Probe(
            d,
            request.sizes.k or 1,
            5,
            5,
            request.sizes.n_images or 1,
            (d,),
            settings=tuple(request.settings.items()),
        )
        try:
            if d != request.sizes.d and asked(probe).failure is None:
                return d
        except Stopped:
            return None
    return None
