"""A recommendation on a terminal: the weight, what to write for it, and how far theory holds."""

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossbench.columns import MODEL_COLUMNS, belongs, goes_without_saying
from lossbench.console.screen import Indented
from lossbench.recommendation import Confirmed, Recommendation, Recommended, Weight
from lossbench.settings import FIXED
from lossbench.words import counted, setting, significant

_HOLDS = {
    "exact": "Exact: the optimum of a linear model, trained to its end.",
    "guess": "A guess: theory is exact for a linear model with mse or gaussian.",
    "no verdict": "No verdict: theory says less than usual of these images.",
}


def recommendation_of(found: Recommendation) -> RenderableType:
    """Return the whole recommendation, case by case; formulas wrap and are never cut."""
    return Group(
        *(part for case in found.cases for part in _case(str(found.goal), case)),
        Text(
            "r (B, d) is what each input adds to the reconstruction term, kl (B, k) what each "
            "latent adds to the KL, -0.5 * (1 + log_var - mean**2 - exp(log_var)).",
            style="dim",
        ),
    )


def _case(goal: str, case: Recommended) -> Iterator[RenderableType]:
    run, known = case.predicted.run, case.predicted
    facts = [run.dataset, f"d {run.d}", run.reconstruction_loss, f"k {run.k}"]
    for name in MODEL_COLUMNS:
        value = getattr(run, name)
        plain = value == FIXED.get(name) or goes_without_saying(name, value)
        if not plain and name != "eval_every" and belongs(name, vars(run)):
            facts.append(f"{name} {setting(value)}")
    yield Text(f"{', '.join(facts)}: {goal}", style="bold")
    share, threshold = known.beta_eff_over_threshold, known.threshold
    if share is not None and threshold is not None:
        yield Text(
            f"beta_eff = {significant(case.beta_eff)}, {significant(share, 3)} of t_1 = "
            f"{significant(threshold, 4)}"
        )
    if case.lowest is not None and case.highest is not None:
        yield Text(
            f"It holds from {significant(case.lowest, 4)} on and below "
            f"{significant(case.highest, 4)}"
        )
    yield Text(", ".join(_followed(case)))
    if case.confirmed is None:
        yield from _weights(case.weights)
        yield from map(Text, (_HOLDS[case.holds], *case.notes))
    else:
        yield Text(f"{case.weights[0].loss}: beta = {significant(case.weights[0].beta)} by theory")
        yield from _confirmed(case.confirmed, goal, run.k)
    yield Text()


def _weights(weights: Iterable[Weight]) -> Iterator[RenderableType]:
    for weight in weights:
        own = ""
        if abs(weight.written - weight.beta) > 0:
            own = f", in its own code a weight of {significant(weight.written)}"
        yield Text(f"{weight.loss}: beta = {significant(weight.beta)}{own}", style="bold green")
        yield Indented(weight.code, style="cyan")


def _confirmed(found: Confirmed, goal: str, k: int) -> Iterator[RenderableType]:
    """Yield what was trained, a line a weight, and the answer."""
    yield Text()
    table = Table(box=None, pad_edge=False)
    for heading in ("trained at beta_eff", "kl" if "KL" in goal else "active units"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("run", overflow="fold")
    for each in found.tried:
        style = "bold green" if each == found.best and found.met else ""
        table.add_row(
            significant(each.beta_eff), f"{each.reached:.3f}", "\n".join(each.runs), style=style
        )
    yield table
    rounds = f"{counted(found.n_rounds, 'round')} of {counted(found.epochs, 'epoch')}"
    yield Text(f"{rounds}; the runs are in {found.folder}", style="dim")
    best = found.best
    beside = "" if found.predicted_kl is None else f", where theory says {found.predicted_kl:.3f}"
    reached = f"a KL of {best.reached:.3f} nats on the test split{beside}, " if "KL" in goal else ""
    active = f"{significant(best.active_units, 3)} of {k} latents active"
    seeds = f"mean over {counted(len(best.runs), 'seed')}"
    if found.met:
        yield Text(
            f"Confirmed at beta_eff = {significant(best.beta_eff)}: {reached}{active} ({seeds})",
            style="bold",
        )
        yield from _weights(found.weights)
    else:
        yield Text(f"Not reached: {found.reason}", style="yellow")
        yield Text(
            f"Nearest at beta_eff = {significant(best.beta_eff)}: {reached}{active} ({seeds})"
        )


def _followed(case: Recommended) -> Iterator[str]:
    """Yield what else follows from the weight, each in a few words."""
    known = case.predicted
    yield f"{known.predicted_active_units} of {known.run.k} latents active"
    if known.kl is not None:
        yield f"KL {known.kl:.3f}"
    if known.kl_guess is not None:
        yield f"KL ~{known.kl_guess:.3f}"
    if known.reconstruction is not None and known.elbo is not None:
        yield f"reconstruction {known.reconstruction:.3f}, elbo {known.elbo:.3f}"
    if known.sigma is not None and known.beta_eff_as_mse is not None:
        guess = "~" if known.kl is None else ""
        yield (
            f"sigma {guess}{significant(known.sigma, 3)}, which amounts to mse at beta_eff "
            f"{guess}{significant(known.beta_eff_as_mse, 3)}"
        )
    yield f"a k above {case.useful_k} adds nothing"
