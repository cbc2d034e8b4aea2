"""The losses of the user's own in an experiment, audited at every size and weight of its grid.

Where a loss is proved to be ``a*R + b*K`` of the experiment's likelihood, that is what its runs
train; one in Keras or TensorFlow operations that is not proved is trained itself. The file is
called in a child process, and nothing is trained.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lossbench import auditing, data
from lossbench.building import built
from lossbench.errors import AuditError, DataError, ExperimentError, UsageError
from lossbench.experiment import Experiment, OwnLoss, Proof, read_own
from lossbench.loss import FORM, OWN, Convention, Entry, Sizes, Way, canonical, evaluate
from lossbench.words import counted, joined

_MOST_SECONDS = 60.0
_SAME = 1e-9
_SIDES = "HW"
_AXES = ("dataset", "d", "k", "batch_size", "reconstruction_loss")


@dataclass(frozen=True)
class _Case:
    """What a loss is trained at: sizes, a likelihood, and the value of ``beta`` or ``beta_eff``."""

    sizes: Sizes
    reconstruction_loss: str
    axis: str
    value: float


@dataclass(frozen=True)
class _Asked:
    """Where a loss stands, the seconds that an audit has, who hears of it, the shapes of images.

    ``images`` gives the sides of an image at d inputs, or just d; a loss that refuses flat images
    is audited with these.
    """

    where: str = ""
    seconds: float = _MOST_SECONDS
    said: Callable[[str], None] = lambda _: None
    images: Callable[[int], tuple[int, ...]] = lambda d: (d,)


def proved(
    experiment: Experiment,
    data_dir: Path | None = None,
    frozen: Experiment | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> Experiment:
    """Return the experiment with what is proved of its own losses, and what its own networks build.

    Any other one is returned as it is. Errors are those of ``building``, too.

    A loss that is not proved, and can be trained itself, has the way in which it is called.
    What was found in the ``frozen`` experiment of a results folder is not audited again; ``said``
    hears what takes long. ``AuditError`` if a loss cannot be audited, or is neither proved nor
    trained itself, and ``ExperimentError`` if it has another likelihood or cannot have a weight.
    """
    own = experiment.own_losses()
    if not own:
        return built(experiment, data_dir, frozen, said)
    resolved = experiment.resolved(lambda name: data.native_sizes(name, data_dir))
    others = {
        name: loss for name, loss in experiment.conventions.items() if not isinstance(loss, OwnLoss)
    }
    known = {loss.name: loss for loss in frozen.own_losses()} if frozen else {}
    seconds = min(_MOST_SECONDS, float(str(experiment.fixed["time_limit"])))
    losses = {}
    for loss in own:
        before = known.get(loss.name, loss)
        if before.identity != loss.identity:
            before = loss
        asked = replace(
            loss,
            proofs=before.proofs,
            ways=before.ways,
            reconstruction_loss=before.reconstruction_loss,
        )
        where = experiment.places.get(("loss", loss.name), "")
        how = _Asked(where, seconds, said, lambda d: _shape(experiment, d, data_dir))
        cases = tuple(_cases(resolved, loss))
        losses[loss.name] = _proved(asked, cases, how)
        _check_weights(losses[loss.name], cases, experiment)
    found = replace(experiment, conventions=others | losses)
    return built(found, data_dir, frozen, said)


def _check_weights(loss: OwnLoss, cases: tuple[_Case, ...], experiment: Experiment) -> None:
    """Refuse a weight of a loss that is trained itself and takes none."""
    for case in cases:
        if not loss.takes_beta and case.value != 1 and loss.itself(case.sizes, 1):
            raise ExperimentError(
                f"{loss.name} is trained itself and has no argument `beta`",
                where=experiment.places.get((case.axis, case.value), ""),
                expected="beta 1, or a function with an argument `beta`",
                received=f"{case.axis} {case.value:g}",
                remedy="write a second [[sweep]] for the other losses",
            )


def _shape(experiment: Experiment, d: int, data_dir: Path | None) -> tuple[int, ...]:
    """Return the sides of the first images of an experiment that can be had at d; else just d."""
    for name in experiment.datasets():
        with suppress(DataError):
            sides = data.load(name, d, data_dir, "none").shape
            return (*sides, 1) if len(sides) == len(_SIDES) else sides
    return (d,)


def _cases(resolved: Experiment, loss: OwnLoss) -> Iterator[_Case]:
    """Yield everything that a loss is trained at, once."""
    found: dict[_Case, None] = {}
    for grid in resolved.grids:
        if loss.name not in grid["loss"]:
            continue
        axis = "beta_eff" if "beta_eff" in grid else "beta"
        axes = [grid.get(name, (resolved.fixed.get(name, ""),)) for name in _AXES]
        for dataset, d, k, batch_size, kind in itertools.product(*axes):
            sizes = Sizes(
                int(str(d)), int(str(k)), int(str(batch_size)), resolved.n_images[str(dataset)]
            )
            found |= {
                _Case(sizes, str(kind), axis, canonical(float(str(value)))): None
                for value in grid[axis]
            }
    yield from found


def _proved(loss: OwnLoss, cases: tuple[_Case, ...], how: _Asked) -> OwnLoss:
    """Return a loss with a proof for each case."""
    asked = [(case.sizes, case.value if case.axis == "beta" else 1.0) for case in cases]
    loss = _audited(loss, asked, how)
    for case in cases:
        if case.reconstruction_loss not in (
            OWN,
            loss.reconstruction_loss or case.reconstruction_loss,
        ):
            raise ExperimentError(
                f"{loss.name} has another likelihood than the experiment",
                where=how.where,
                expected=f"{case.reconstruction_loss}, which the grid has",
                received=f"{loss.reconstruction_loss}, as the audit found",
                remedy=f"--reconstruction-loss {loss.reconstruction_loss}, or the key in the file",
            )
    if loss.ways and (weighed := [case for case in cases if case.axis == "beta_eff"]):
        raise ExperimentError(
            f"{loss.name} is trained itself, so it has no beta_eff",
            where=how.where,
            expected="beta in place of beta_eff",
            received=f"beta_eff {weighed[0].value:g}; {loss.ways[0].reason}",
        )
    derived = {
        case: canonical(float(loss.beta(case.value, case.sizes)))
        for case in cases
        if case.axis == "beta_eff"
    }
    loss = _audited(loss, [(c.sizes, beta) for c, beta in derived.items()], how)
    for case, beta in derived.items():
        trained = float(loss.coefficients(case.sizes, beta).beta_eff)
        if not math.isclose(trained, case.value, rel_tol=_SAME, abs_tol=_SAME):
            raise ExperimentError(
                f"no beta gives {loss.name} that beta_eff: it is not proportional to beta",
                where=how.where,
                expected="beta in place of beta_eff",
                received=f"beta_eff {case.value:g}; at beta {beta:g} it is {trained:g}",
            )
    return loss


def _audited(loss: OwnLoss, asked: Iterable[tuple[Sizes, float]], how: _Asked) -> OwnLoss:
    """Return a loss with proofs at these sizes and weights, audited where it lacks one."""
    lacking = dict.fromkeys(
        (sizes, loss.given(beta))
        for sizes, beta in asked
        if loss.proof(sizes, beta) is None and loss.itself(sizes, beta) is None
    )
    if not lacking:
        return loss
    if not loss.source:
        raise ExperimentError(
            f"{loss.name} has to be audited, and its file is not there",
            where=how.where,
            expected=f"{loss.file}, of SHA-256 {loss.sha256[:12]}",
        )
    how.said(f"auditing {loss.name} at {counted(len(lacking), 'setting')}")
    found = _audits(loss, lacking, how)
    kinds = {auditing.kind_of(audit) for audit, _ in found}
    kinds |= {loss.reconstruction_loss} if loss.proofs or loss.ways else set()
    if len(kinds) > 1 or loss.sha256 != hashlib.sha256(loss.file.read_bytes()).hexdigest():
        raise UsageError(
            f"{loss.name} is not one loss: it changes from call to call",
            where=how.where,
            expected="one likelihood, and a file that stays as it is",
            received=joined(sorted(kinds)),
        )
    proofs = (
        Proof(sizes, beta, auditing.exactly(each, each.a), auditing.exactly(each, each.b))
        for (sizes, beta), (each, way) in zip(lacking, found, strict=True)
        if way is None
    )
    return replace(
        loss,
        proofs=(*loss.proofs, *proofs),
        ways=(*loss.ways, *(way for _, way in found if way)),
        reconstruction_loss=kinds.pop(),
    )


def _audits(
    loss: OwnLoss,
    asked: Iterable[tuple[Sizes, float | None]],
    how: _Asked,
) -> tuple[tuple[auditing.Audit, Way | None], ...]:
    """Return an audit for each of these, with how the loss itself is trained if it is not proved.

    ``AuditError`` where neither is to be had.
    """
    target = auditing.Target(loss.file, loss.function)
    options = [_options(target, sizes, beta, how.seconds) for sizes, beta in asked]
    try:
        audits = _of_any_shape(target, options, how)
    except AuditError as error:
        raise AuditError(
            f"{loss.name} cannot be trained: {error.problem}",
            where=how.where,
            expected=error.expected,
            received=error.received,
            remedy=f"mend it until this ends well: {_command(target, options[0])}",
        ) from None
    for (audit, way), option in zip(audits, options, strict=True):
        if isinstance(way, str) and (reason := auditing.unproved(audit)):
            raise AuditError(
                f"{loss.name} is not proved to be {FORM}, so it is not trained",
                where=how.where,
                expected=f"{FORM}, with numbers a > 0 and b >= 0, of {joined(auditing.TRAINED)}",
                received=f"{reason}\n    it is not trained itself either: {way}",
                remedy=f"{_command(target, option)} tells more",
            )
    return tuple((audit, way if isinstance(way, Way) else None) for audit, way in audits)


def _of_any_shape(
    target: auditing.Target, options: Sequence[auditing.Options], how: _Asked
) -> tuple[tuple[auditing.Audit, Way | str], ...]:
    """Return the audits with flat images, or where those are refused with the data's own shape."""
    try:
        return auditing.audit_to_train(target, options)
    except AuditError:
        shapes = [how.images(option.sizes.d or 1) for option in options]
        if not all(len(shape) > 1 for shape in shapes):
            raise
        shaped = [replace(o, shape=s) for o, s in zip(options, shapes, strict=True)]
        with suppress(AuditError):
            return auditing.audit_to_train(target, shaped)
        raise


def entry(text: str, sizes: Sizes) -> Entry:
    """Return a loss of the user's own as a row of the catalogue has one, proved at these sizes.

    Errors are those of ``proved``.
    """
    loss = read_own(text, "")
    target = auditing.Target(loss.file, loss.function)
    ((audit, way),) = _audits(loss, [(sizes, loss.given(1.0))], _Asked())
    if way:
        option = _options(target, sizes, way.beta, _MOST_SECONDS)
        raise AuditError(
            f"{loss.name} is not proved to be {FORM}, so there is nothing to explain",
            expected=f"{FORM}, with numbers a > 0 and b >= 0, of {joined(auditing.TRAINED)}",
            received=auditing.unproved(audit),
            remedy=f"{_command(target, option)} tells more",
        )
    a, b = auditing.exactly(audit, audit.a), auditing.exactly(audit, audit.b)
    if loss.takes_beta and evaluate(b, {**sizes.symbols(), "beta": 2}) != 2 * evaluate(
        b, {**sizes.symbols(), "beta": 1}
    ):
        raise UsageError(
            f"b of {loss.name} is not proportional to its beta",
            expected="a weight on the KL term",
            received=f"b = {b}",
            remedy=_command(target, _options(target, sizes, 1.0, _MOST_SECONDS)),
        )
    over_inputs = audit.over_inputs if a.endswith("/d") else None
    over_latents = audit.over_latents if b.endswith("/k") else None
    return Entry(
        convention=Convention(
            name=loss.name,
            title="your own",
            over_inputs=over_inputs or "sum",
            over_latents=over_latents or "sum",
            reconstruction_factor=a.removesuffix("/d") if over_inputs == "mean" else a,
            kl_factor=b.removesuffix("/k") if over_latents == "mean" else b,
        ),
        lineage="own",
        origin="your own",
        source=str(loss.file),
        citation="audited",
        date=f"SHA-256 {loss.sha256[:12]}",
        reconstruction=auditing.kind_of(audit),
        noise_std=1.0,
        a=a,
        b=b,
        beta_eff=audit.beta_eff.formula or f"{audit.beta_eff.value:.6g}",
        sizes=sizes,
        beta_at_defaults=None,
        reason="",
        own={},
        approximately="",
        note=f"Proved by an audit at these sizes; `lossbench audit {text}` tells all of it.",
    )


def _options(
    target: auditing.Target, sizes: Sizes, beta: float | None, seconds: float
) -> auditing.Options:
    """Return what a loss is asked at these sizes, with the weight that it takes."""
    return auditing.read_options(
        target,
        sizes.d,
        sizes.k,
        batch_size=sizes.batch_size or 1,
        n_images=sizes.n_images or 1,
        shape=None,
        latent_shape=None,
        args=(),
        settings=() if beta is None else (f"beta={beta!r}",),
        total=None,
        time_limit=seconds,
    )


def _command(target: auditing.Target, options: auditing.Options) -> str:
    sizes = options.sizes
    beta = f" --set beta={options.settings['beta']}" if options.settings else ""
    return (
        f"`lossbench audit {target} --d {sizes.d} --k {sizes.k} --batch-size {sizes.batch_size} "
        f"--n-images {sizes.n_images}{beta}`"
    )
