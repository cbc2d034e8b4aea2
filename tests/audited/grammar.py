"""Random losses from a grammar, each with its truth; NumPy.

A loss has a kind of reconstruction, reductions, a frame of the spread, perhaps a bug, a clamp, a
floor or a capacity, a weight that may follow a schedule, and what it returns.
"""

import math
import random
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
Named = namedtuple("Named", "rec kld loss")

KINDS: dict[str, Callable[[Array, Array], Array]] = {
    "bce": lambda x, p: -(x * np.log(p) + (1 - x) * np.log(1 - p)),
    "bce_logits": lambda x, y: np.maximum(y, 0) - x * y + np.log1p(np.exp(-np.abs(y))),
    "mse": lambda x, y: (x - y) ** 2,
    "l1": lambda x, y: np.abs(x - y),
    "huber": lambda x, y: np.where(
        np.abs(x - y) <= 0.3, 0.5 * (x - y) ** 2, 0.3 * (np.abs(x - y) - 0.15)
    ),
    "log_cosh": lambda x, y: np.logaddexp(x - y, y - x) - np.log(2),
    "poisson_log": lambda x, y: np.exp(y) - x * y,
    "mse_centred": lambda x, y: (2 * x - 1 - y) ** 2,
    "multinomial": lambda x, y: -x * (y - np.log(np.exp(y).sum(-1, keepdims=True))),
}
FRAMES: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "log_var": ("log_var", np.exp),
    "log_std": ("log_std", lambda u: np.exp(2 * u)),
    "std": ("sigma", np.square),
    "var": ("variance", lambda u: u),
    "softplus_std": ("log_var", lambda u: np.log1p(np.exp(u)) ** 2),
}
FORMS = ("closed", "closed", "closed", "floor", "capacity", "cap")
OVERS = {
    "each latent's mean over the batch": (True, False),
    "every latent of every image": (False, False),
    "the batch's mean KL": (True, True),
    "the KL of every image": (False, True),
}
PARTS = ("mean^2", "variance", "log")
RETURNS = ("scalar", "samples", "tuple", "dict", "named", "parts", "weighed parts")


@dataclass(frozen=True)
class Case:
    """A loss of the grammar: what it is made of."""

    kind: str
    over_inputs: str
    over_latents: str
    over_batch: str
    factor: float
    beta: float
    by_argument: bool
    schedule: str
    frame: str
    form: str
    over: str
    bound: float
    clamp: tuple[float, float] | None
    missing: str
    returns: str
    d: int
    k: int
    batch_size: int

    @property
    def clamps(self) -> tuple[str, ...]:
        """The clamp in the words of an audit; one beyond what a loss can feel is none."""
        if self.clamp is None:
            return ()
        low, high = self.clamp
        sides = [f"at least {low:g}"]
        sides += [f"at most {high:g}"] if high < 30 else []
        return (f"log_var to {' and '.join(sides)}",)

    @property
    def same_as_over(self) -> set[str]:
        """What the bound is on, in words; with one latent two of them are the same."""
        of_batch, _ = OVERS[self.over]
        same = {name for name, (batch, _) in OVERS.items() if batch == of_batch}
        return same if self.k == 1 else {self.over}

    @property
    def a(self) -> float:
        """The weight of R."""
        batch = self.batch_size if self.over_batch == "sum" else 1
        return self.factor * batch / (self.d if self.over_inputs == "mean" else 1)

    @property
    def weight(self) -> float:
        """The weight that is written on the KL, at step 700 of a schedule."""
        return (
            self.beta * {"": 1.0, "linear": 0.7, "logistic": 1 / (1 + math.exp(-2))}[self.schedule]
        )

    @property
    def b(self) -> float:
        """The weight of K."""
        batch = self.batch_size if self.over_batch == "sum" else 1
        return self.weight * batch / (self.k if self.over_latents == "mean" else 1)


def case(number: int) -> Case:
    """Return the case of a number, always the same."""
    draw = random.Random(number)
    form = draw.choice(FORMS)
    frame = draw.choice([*FRAMES, "log_var", "log_var"])
    returns = draw.choice(RETURNS)
    clamp = None
    if frame == "log_var" and form == "closed" and draw.random() < 0.3:
        clamp = draw.choice([(-4.5, 3.0), (-10.0, 10.0), (0.0, 50.0), (-2.0, 90.0), (-30.0, 20.0)])
    missing = ""
    if form == "closed" and clamp is None and draw.random() < 0.15:
        missing = draw.choice(PARTS)
    over_batch = draw.choice(["sum", "mean"])
    schedule = draw.choice(["", "", "", "linear", "logistic"])
    if returns == "samples" or form != "closed":
        over_batch = "mean"
    return Case(
        kind=draw.choice([*KINDS]),
        over_inputs=draw.choice(["sum", "mean"]),
        over_latents="sum" if form != "closed" else draw.choice(["sum", "mean"]),
        over_batch=over_batch,
        factor=draw.choice([1.0, 0.5, 0.013, 30.5]),
        beta=float(f"{10 ** draw.uniform(-3, 3):.3g}") + 0.0001,
        by_argument=draw.random() < 0.5,
        schedule=schedule,
        frame=frame,
        form=form,
        over=draw.choice([*OVERS]),
        bound=float(
            f"{10 ** (draw.uniform(1, 1.6) if form == 'cap' else draw.uniform(-1, 1.3)):.3g}"
        ),
        clamp=clamp,
        missing=missing,
        returns="scalar" if returns == "samples" and form != "closed" else returns,
        d=draw.randint(2, 40),
        k=draw.randint(1, 12),
        batch_size=draw.randint(1, 40),
    )


def _terms(this: Case, mu: Array, u: Array) -> Array:
    """Return the KL of every image and latent, with the case's clamp and missing part."""
    if this.clamp is not None:
        u = np.clip(u, *this.clamp)
    variance = FRAMES[this.frame][1](u)
    parts = {"mean^2": mu**2, "variance": variance, "log": -np.log(variance)}
    return 0.5 * (sum(part for name, part in parts.items() if name != this.missing) - 1)


def _kl(this: Case, mu: Array, u: Array) -> Array:
    """Return the KL term: one value an image, or one in all where the form needs the batch."""
    terms = _terms(this, mu, u)
    if this.form == "closed":
        return getattr(terms, this.over_latents)(1)
    of_batch, in_all = OVERS[this.over]
    if of_batch:
        terms = terms.mean(0, keepdims=True)
    if in_all:
        terms = terms.sum(1, keepdims=True)
    match this.form:
        case "floor":
            terms = np.maximum(terms, this.bound)
        case "capacity":
            terms = np.abs(terms - this.bound)
        case _:
            terms = np.minimum(terms, this.bound)
    return terms.sum(1)


def loss_of(this: Case) -> Callable[..., Any]:
    """Return the case as a function; its step, where it has one, is 700 by default."""

    def at(step: float) -> float:
        match this.schedule:
            case "linear":
                return min(1.0, step / 1000)
            case "logistic":
                return 1 / (1 + math.exp(-0.01 * (step - 500)))
        return 1.0

    def whole(x: Array, x_hat: Array, mu: Array, u: Array, weight: float) -> Any:
        r = getattr(KINDS[this.kind](x, x_hat), this.over_inputs)(1)
        kl = _kl(this, mu, u)
        if this.returns == "samples":
            return this.factor * r + weight * kl
        r, kl = (getattr(term, this.over_batch)() for term in (this.factor * r, kl))
        total = r + weight * kl
        returned = {
            "scalar": total,
            "tuple": (total, r, kl),
            "dict": {"kl": kl, "recon": r, "loss": total},
            "named": Named(r, kl, total),
            "parts": (r, weight * kl),
            "weighed parts": (r, kl, weight),
        }
        return returned[this.returns]

    name = FRAMES[this.frame][0]
    argument = f", beta={this.beta!r}" if this.by_argument else ""
    step = ", step=700.0" if this.schedule else ""
    beta = "beta" if this.by_argument else repr(this.beta)
    weight = f"{beta} * at({'step' if this.schedule else '0.0'})"
    text = f"def loss(x, x_hat, mu, {name}{argument}{step}):\n"
    text += f"    return whole(x, x_hat, mu, {name}, {weight})\n"
    scope: dict[str, Any] = {"whole": whole, "at": at, "np": np}
    exec(text, scope)  # noqa: S102 - the text above
    return scope["loss"]  # type: ignore[no-any-return]
