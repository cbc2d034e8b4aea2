"""An audit on a screen: what the loss trains, what it means, what is wrong, what to change."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossbench.audit import Audit, Coefficient
from lossbench.console.explanation import Indented

_KINDS = {
    "bce": "bce, binary cross-entropy of probabilities",
    "bce_logits": "bce, binary cross-entropy of logits",
    "mse": "mse, squared error",
    "l1": "l1, absolute error",
    "categorical": "categorical, -x*log(x_hat) alone",
    "bce_swapped": "bce with its arguments swapped",
}
_FORMS = {
    "closed": "closed form",
    "log_std": "closed form, of the log of the standard deviation",
    "floor": "closed form with a floor",
    "cap": "closed form, cut off",
    "clipped": "closed form, clipped",
    "parts": "not the closed form",
    "unknown": "not the closed form",
    "absent": "none",
}


def audit_report(audit: Audit) -> RenderableType:
    """Return the whole report; fits 80 columns."""
    sizes = f"d {audit.d}, k {audit.k}, B {audit.batch_size}"
    settings = "".join(f", {name} {value}" for name, value in audit.settings.items())
    return Group(
        Text(f"{audit.name}: a*R + b*K", style="bold"),
        Text(f"at {sizes}{settings}; {audit.framework}, {audit.returns}", style="dim"),
        Text(),
        _terms(audit),
        Text(),
        _coefficients(audit),
        *_notes(audit),
        *_paragraphs("What it means", [*audit.meaning, *_collapse(audit)]),
        *_findings(audit),
        *_paragraphs("What to change", [audit.change[:1].upper() + audit.change[1:]]),
    )


def _terms(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "kind", "reduced over", "batch"):
        table.add_column(heading, overflow="fold")
    kind = _KINDS.get(audit.reconstruction or "", f"none known; {audit.nearest} is nearest")
    if audit.reconstruction == "mse" and (audit.a.formula or "").endswith("1/2"):
        kind = "half squared error"
    table.add_row("R", kind, f"inputs: {audit.over_inputs or '?'}", audit.over_batch or "?")
    form = _FORMS[audit.kl_form]
    table.add_row("K", form, f"latents: {audit.over_latents or '?'}", audit.kl_over_batch or "?")
    return table


def _coefficients(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for justify in ("left", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    for name, found in (("a", audit.a), ("b", audit.b), ("beta_eff = b/a", audit.beta_eff)):
        table.add_row(name, _number(found), f"= {found.formula}" if found.formula else "")
    return table


def _number(found: Coefficient) -> str:
    if found.value != found.value:
        return "none"
    error = f" ±{2 * found.error:.2g}" if found.error else ""
    return f"{found.value:.6g}{error}"


def _notes(audit: Audit) -> Iterator[Text]:
    if audit.stochastic:
        yield Text("The loss is stochastic: means over fixed seeds, ± two standard errors.", "dim")
    if audit.fixed:
        sizes = " and ".join(audit.fixed)
        yield Text(f"{sizes} cannot be varied: formulas are read at one size.", style="dim")


def _collapse(audit: Audit) -> Iterator[str]:
    found = audit.collapse
    if found is None:
        return
    on = f"On {found.dataset} with {found.reconstruction_loss} (t_1 = {found.threshold:.4g}) it"
    if found.critical_k:
        yield f"{on} collapses for every k up to {found.critical_k}."
    elif found.collapses:
        yield f"{on} collapses: beta_eff is {audit.beta_eff.value:.4g}."
    else:
        yield f"{on} does not collapse."
    if found.predicted_active_units is not None:
        yield f"Predicted active units: {found.predicted_active_units} of {audit.k}."


def _findings(audit: Audit) -> Iterator[RenderableType]:
    certain = [finding.text for finding in audit.findings if finding.certain]
    others = [finding.text for finding in audit.findings if not finding.certain]
    yield from _paragraphs("What is wrong", certain or ["Nothing was found."])
    if others:
        yield from _paragraphs("What to make sure of", others)


def _paragraphs(title: str, texts: list[str]) -> Iterator[RenderableType]:
    if any(texts):
        yield Text()
        yield Text(title, style="bold")
        yield from (Indented(text) for text in texts if text)
