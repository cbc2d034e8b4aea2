"""From the loss as it is written to what it is after, step by step, in the question's symbols."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from lossbench.explanation.listing import (
    Listed,
    equation,
    listed,
    shown,
    weighted,
)
from lossbench.loss import (
    FORM,
    LIKELIHOODS,
    OWN,
    Entry,
    Gaussian,
    Objective,
    Sizes,
    convention,
    entry,
)
from lossbench.words import Told, joined, setting, significant

if TYPE_CHECKING:
    from lossbench.explanation.on_data import OnData

EITHER = "bce or mse"  # blog and docs: the seed question writes them with either
KIND_OF = {  # the likelihood of every name that the catalogue has for a term
    name: likelihood.name for likelihood in LIKELIHOODS.values() for name in likelihood.names
}
_TERMS = {name: LIKELIHOODS[kind].term for name, kind in KIND_OF.items()} | {
    EITHER: EITHER,
    "l1": "|x - x_hat|",
    "nb": "-log p(counts)",
    "categorical": "-log p(tokens)",
}
_ANSWERED = ("seed", "keras")


@dataclass(frozen=True)
class Step:
    """A heading, the formulas under it (a line each) and a paragraph that follows from them."""

    title: str
    formulas: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Optimum:
    """What ``R + beta_eff*K`` is after.

    ``beta_norm`` is Higgins' normalised beta, ``beta_eff*k/d``; ``implied_sigma`` is the
    standard deviation of the pixel noise that a squared error implies, ``None`` for another
    reconstruction term; ``meaning`` is one sentence.
    """

    reconstruction_loss: str
    beta_eff: Fraction
    beta_norm: Fraction
    implied_sigma: float | None
    meaning: str


def optimum(beta_eff: Fraction, d: int, k: int, reconstruction_loss: str) -> Optimum:
    """Return what an objective with this ``beta_eff`` is after.

    >>> optimum(Fraction(392), 784, 2, "mse").implied_sigma
    14.0
    """
    beta_norm = beta_eff * k / d
    sigmas = {
        name: LIKELIHOODS[name].implied_sigma(float(beta_eff)) if name in LIKELIHOODS else None
        for name in reconstruction_loss.split(" or ")
    }
    with_sigma, sigma = next((pair for pair in sigmas.items() if pair[1] is not None), ("", None))
    return Optimum(
        reconstruction_loss=reconstruction_loss,
        beta_eff=beta_eff,
        beta_norm=beta_norm,
        implied_sigma=sigma,
        meaning=_meaning(beta_eff, beta_norm, sigma, with_sigma, others=None in sigmas.values()),
    )


def _meaning(
    beta_eff: Fraction, beta_norm: Fraction, sigma: float | None, with_sigma: str, *, others: bool
) -> str:
    """Return one sentence; ``others`` is whether a likelihood without a sigma is meant, too."""
    if beta_eff == 0:
        return (
            "The KL has no weight: it trains an autoencoder whose noise costs nothing to shrink, "
            "and nothing draws the codes to the prior."
        )
    norm = f"Higgins' beta_norm = beta_eff*k/d = {significant(beta_norm)}"
    if beta_eff == 1:
        sentence = f"It trains the ELBO itself, a VAE with beta 1 ({norm})"
    else:
        sentence = f"It trains a beta-VAE with beta {significant(beta_eff)} ({norm})"
    if others and beta_eff != 1:
        weight = significant(beta_eff)
        sentence += f": a nat of KL has to save more than {weight} nats of reconstruction"
    if sigma is not None:
        decoder = f", and for {with_sigma} that of" if others and beta_eff == 1 else ":"
        decoder = f"; for {with_sigma} this is" if others and beta_eff != 1 else decoder
        sentence += (
            f"{decoder} a decoder that believes in pixel noise of sigma {significant(sigma)} on a "
            "scale of 0 to 1"
        )
    return f"{sentence}."


def answers(sizes: Sizes) -> tuple[Step, ...]:
    """Return both answers at these sizes; d and k must be known."""
    beta_eff = convention("blog").coefficients(sizes, 1).beta_eff
    return _one_letter(sizes, beta_eff), _multiplied(sizes)


def _one_letter(sizes: Sizes, beta_eff: Fraction) -> Step:
    holds = (
        f"It holds here only because k = d = {sizes.d}."
        if sizes.d == sizes.k
        else f"It holds only where k = d; here, with d = {sizes.d} and k = {sizes.k}, the blog "
        f"weighs the KL {significant(beta_eff)} times as much as the documentation does."
    )
    return Step(
        'Wrong on the web: "the first loss is the second divided by d"',
        (
            "docs(beta)/d = mean_d(bce or mse) + beta * K/d",
            "blog(beta)   = mean_d(bce or mse) + beta * K/k",
            f"blog(beta)   = docs(beta*d/k)/d = docs({significant(beta_eff)}*beta)/{sizes.d}",
        ),
        "It writes one d for two sizes: the inputs that the reconstruction is averaged over "
        f"(d) and the latents that the KL is averaged over (k). {holds}",
    )


def _multiplied(sizes: Sizes) -> Step:
    return Step(
        'Right up to what it leaves out: "multiply the MSE by m", the number of pixels',
        (
            "-ln N(x; x_hat, sigma^2*I) = m*MSE/(2*sigma^2) + (m/2)*ln(2*pi*sigma^2)",
            f"m = d = {sizes.d}, and m*MSE = R, the sum of squared errors",
        ),
        "A Gaussian decoder gives m*MSE times the 1/(2*sigma^2) that the answer leaves out, so "
        "m*MSE + KL has decided on sigma^2 = 1/2. That is docs at beta 1; any other sigma is "
        "docs at beta = 2*sigma^2.",
    )


@dataclass(frozen=True)
class Derivation(Told):
    """How a loss turns into ``a*R + b*K`` at given sizes, and what it is after.

    ``optimum`` is ``None`` where d or k is not known; ``surprises`` are sentences; ``answers``
    discuss the answers that the seed question got. ``on_data`` is what it shows on a data set, for
    each likelihood, where one was given.
    """

    listed: Listed
    steps: tuple[Step, ...]
    optimum: Optimum | None
    surprises: tuple[str, ...]
    answers: tuple[Step, ...]
    on_data: "tuple[OnData, ...]" = ()

    @property
    def coefficients(self) -> Objective[Fraction]:
        """The trained objective."""
        return self.listed.coefficients

    def facts(self) -> dict[str, object]:
        """Return the derivation as JSON has it, its steps as text."""
        best = self.optimum
        return {
            **self.listed.facts(),
            "reconstruction_loss": best.reconstruction_loss if best else None,
            "beta_norm": best.beta_norm if best else None,
            "implied_sigma": best.implied_sigma if best else None,
            "meaning": best.meaning if best else None,
            "surprises": self.surprises,
            "steps": [{"title": step.title, "formulas": step.formulas} for step in self.steps],
            "answers": self.answers,
            "on_data": self.on_data,
        }


def derivation(
    loss: str | Entry,
    sizes: Sizes,
    beta: Fraction,
    reconstruction_loss: str | None = None,
    dataset: str | None = None,
    data_dir: Path | None = None,
) -> Derivation:
    """Return the derivation of a loss, by default with the reconstruction term of its own code.

    The default of ``blog`` and ``docs`` is either, bce or mse.

    ``UsageError`` names the nearest losses, or says which size a formula lacks; ``DataError`` says
    why the ``dataset`` cannot be had.
    """
    row = listed(entry(loss) if isinstance(loss, str) else loss, sizes, beta)
    own = EITHER if row.entry.lineage == "seed" else row.entry.reconstruction
    kind = reconstruction_loss or own
    kind = KIND_OF.get(kind, kind)
    d, k = sizes.d, sizes.k
    best = None
    if d is not None and k is not None:
        best = optimum(row.beta_eff, d, k, kind)
    shown: tuple[OnData, ...] = ()
    if dataset is not None and d is not None:
        from lossbench.explanation.on_data import on_data  # noqa: PLC0415 - the algebra needs none

        shown = on_data(dataset, d, tuple(kind.split(" or ")), row.coefficients, data_dir)
    return Derivation(
        listed=row,
        steps=_steps(row, kind, best),
        optimum=best,
        surprises=tuple(_surprises(row, kind)),
        answers=answers(sizes) if row.entry.lineage in _ANSWERED else (),
        on_data=shown,
    )


def _steps(row: Listed, kind: str, best: Optimum | None) -> tuple[Step, ...]:
    term = _TERMS[kind]
    formula = weighted(row.entry.beta_eff, row.entry)
    steps = [
        _written(row.entry, term),
        _sums(row, term),
        _collected(row),
        Step(
            "Dividing by a moves no optimum: R + beta_eff*K",
            (equation("beta_eff = b/a", formula, _symbols(row), row.beta_eff),),
        ),
    ]
    if best is not None and best.implied_sigma is not None:
        half = f"sqrt({significant(best.beta_eff)}/2)"
        steps.append(
            Step(
                "For squared errors: a Gaussian decoder of variance sigma^2",
                (
                    "-ln p(x|z) = R/(2*sigma^2) + (d/2)*ln(2*pi*sigma^2)",
                    "2*sigma^2 * (-ELBO) = R + 2*sigma^2*K + constant",
                    f"sigma = sqrt(beta_eff/2) = {half} = {significant(best.implied_sigma)}",
                ),
            )
        )
    if isinstance(LIKELIHOODS.get(kind), Gaussian):
        steps.append(
            Step(
                "For gaussian: it is mse at another weight, but for a constant",
                (
                    "R = R(mse)/(2*sigma^2) + (d/2)*ln(2*pi*sigma^2)",
                    "beta_eff(mse) = 2*sigma^2 * beta_eff",
                ),
            )
        )
    return tuple(steps)


def _written(row: Entry, term: str) -> Step:
    loss = row.convention
    kl = shown(weighted(loss.kl_factor, row))
    factor = shown(loss.reconstruction_factor)
    before = "" if factor == "1" else f"{factor} * "
    batch = "averaged over" if loss.over_batch == "mean" else "summed over"
    legend = " (d is Keras' original_dim)" if loss.reconstruction_factor == "d" else ""
    return Step(
        f"As it is written, {batch} the batch{legend}",
        (
            f"loss = {before}{loss.over_inputs}_d({term})",
            f"     + {kl} * -0.5 * {loss.over_latents}_k(1 + log_var - mean^2 - exp(log_var))",
        ),
    )


def _sums(row: Listed, term: str) -> Step:
    loss = row.entry.convention
    inputs = "R/d" if loss.over_inputs == "mean" else "R"
    latents = "K/k" if loss.over_latents == "mean" else "K"
    lines = [
        f"{loss.over_inputs}_d({term}) = {inputs:<5} R: summed over the d = {row.sizes.d} inputs",
        f"-0.5 * {loss.over_latents}_k(...) = {latents:<5} "
        f"K: KL, summed over the k = {row.sizes.k} latents",
    ]
    left, right = zip(*(line.split(" = ", 1) for line in lines), strict=True)
    width = max(map(len, left))
    lines = [f"{text:<{width}} = {rest}" for text, rest in zip(left, right, strict=True)]
    if loss.over_batch == "sum":
        lines.append(f"a sum over the batch is B = {row.sizes.batch_size} times its mean")
    return Step("A mean is a sum divided by its size; R and K are sums", tuple(lines))


def _collected(row: Listed) -> Step:
    loss = row.entry.convention
    over_batch = "B" if loss.over_batch == "sum" else ""
    factor = shown(loss.reconstruction_factor)
    weight = shown(weighted(loss.kl_factor, row.entry))
    a = shown(row.entry.a)
    b = shown(weighted(row.entry.b, row.entry))
    left_a = _product("a", a, factor, "1/d" if loss.over_inputs == "mean" else "", over_batch)
    left_b = _product("b", b, weight, "1/k" if loss.over_latents == "mean" else "", over_batch)
    symbols = _symbols(row)
    formulas = (
        equation(left_a, a, symbols, row.coefficients.a),
        equation(left_b, b, symbols, row.coefficients.b),
    )
    return Step(f"Together: {FORM}", formulas)


def _product(name: str, simplified: str, *factors: str) -> str:
    """Return ``name = x * y``, the factors of a coefficient; the name where they say no more."""
    named = [factor for factor in factors if factor not in ("", "1")]
    product = " * ".join(named)
    repeats = len(named) < 2 or product.replace(" ", "") == simplified
    return name if repeats else f"{name} = {product}"


def _symbols(row: Listed) -> dict[str, Fraction | int]:
    return {**row.sizes.symbols(), "beta": row.beta}


def _surprises(row: Listed, kind: str) -> Iterator[str]:
    """Yield a sentence for everything that a user of this loss may not expect."""
    code = row.entry
    if not code.trainable:
        yield f"No sweep trains it: {code.reason}."
    if code.own:
        own = joined(f"{name} {shown(text)}" for name, text in code.own.items())
        yield f"A sweep trains it with {own}, as its code does: no other value is taken."
    if code.approximately:
        yield f"A sweep trains it approximately: {code.approximately}."
    if code.is_scaling_alone:
        yield (
            f"With bce or mse a sweep trains its scaling alone, with reconstruction_loss {OWN} its "
            f"own likelihood, {code.likelihood}."
        )
    if row.depends_on_batch or row.depends_on_data:
        what = {"batch": row.depends_on_batch, "data set": row.depends_on_data}
        sizes = " and of the ".join(name for name, holds in what.items() if holds)
        yield f"beta_eff depends on the size of the {sizes}: another size is another objective."
    elif row.scale_depends_on_batch:
        yield "The scale a depends on the batch size: SGD feels that, Adam only in its epsilon."
    if code.noise_std != 1:
        factor = significant(Fraction(str(code.noise_std)) ** -2)
        yield (
            f"Its code multiplies the sampling noise by {setting(code.noise_std)}, so that it "
            f"collapses only at {factor} times the threshold; a sweep takes the scaling alone, "
            "with unit noise."
        )
    if code.convention.default_beta != 1:
        published = significant(Fraction(code.convention.default_beta))
        yield f"beta multiplies the weight that the code has by default, {published}."
    if _TERMS[kind] != _TERMS[code.reconstruction] and code.lineage != "seed":
        yield f"Its own code has {code.reconstruction} for the reconstruction; this is {kind}."
