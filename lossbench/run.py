"""One record of a run, from the worker that fills it to the disk and the tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from numpy import floating
from numpy.typing import NDArray

from lossbench.columns import Status
from lossbench.settings import FORMAT_VERSION, RunSettings

IMAGES = ("originals", "reconstructions", "prior_images")


@dataclass(frozen=True)
class Record:
    """Everything known of one run; a failure is a record like any other.

    ``settings`` are the canonical settings and ``derived`` what follows from them and from the
    data (the other columns left of the status); ``metrics`` are empty unless the run ended well;
    ``history`` has one list a column; ``provenance`` is what trained it on what; ``timing`` is
    what may differ between two executions; ``message`` holds the last log lines of a failed run.

    ``arrays`` are small ones for figures, of the first test images: ``originals`` and
    ``reconstructions (8, d)`` and ``latent_means (n, k)``; and ``prior_images (8, d)``. In those of
    ``IMAGES`` a sweep undoes a fitted scale, and gives images their shape: ``(8, H, W)`` or
    ``(8, H, W, C)``. ``weights`` are kernel and bias of every layer. Both lie beside the record's
    file: a record that was read has none.
    """

    run_id: str
    status: Status
    settings: Mapping[str, object]
    derived: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    timing: Mapping[str, object] = field(default_factory=dict)
    message: str = ""
    format: int = FORMAT_VERSION
    arrays: Mapping[str, NDArray[floating]] = field(default_factory=dict, compare=False, repr=False)
    weights: Sequence[NDArray[floating]] = field(default=(), compare=False, repr=False)

    @classmethod
    def trained(
        cls,
        run: RunSettings,
        metrics: Mapping[str, float],
        history: Mapping[str, Sequence[float]],
        arrays: Mapping[str, NDArray[floating]],
        weights: Sequence[NDArray[floating]] = (),
    ) -> "Record":
        """Return the record of a run that was trained to its end; not finite, it is ``nan``."""
        if not all(map(math.isfinite, metrics.values())):
            return cls(run.run_id, "nan", run.identity(), history=history)
        return cls(
            run.run_id,
            "ok",
            run.identity(),
            metrics=metrics,
            history=history,
            arrays=arrays,
            weights=weights,
        )

    @classmethod
    def failed(cls, run: RunSettings, status: Status, message: str) -> "Record":
        """Return the record of a run that came to no end."""
        return cls(run.run_id, status, run.identity(), message=message)
