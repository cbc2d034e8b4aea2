"""An audit on a screen: what a loss trains, what is wrong, what to change; and many in a list."""

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossbench.auditing import Audit, Coefficient, Listed, Options, Unread
from lossbench.console.screen import Indented
from lossbench.words import joined

_ROUNDING = 1e-9
_OBJECTIVES = {
    "floor": "a*R + b*max(f, K)",
    "cap": "a*R + b*min(c, K)",
    "capacity": "a*R + b*|K - C|",
    "squared_capacity": "a*R + b*(K - C)^2",
    "absent": "a*R",
    "unknown": "a*R and something else",
}
_FORMS = {
    "closed": "",
    "parts": "with wrong parts",
    "floor": "with a floor",
    "capacity": "with a capacity",
    "squared_capacity": "with a capacity",
    "cap": "with a cap",
}
_NO_FORM = {"unknown": "no KL of a known form", "absent": "none"}
_FRAMES = {
    "log_var": "",
    "log_std": "of the log std",
    "std": "of the std",
    "var": "of the variance",
    "softplus_std": "of a std through softplus",
    "softplus_var": "of a variance through softplus",
    "log_precision": "of the log precision",
}


def audit_report(audit: Audit) -> RenderableType:
    """Return the whole report; fits 80 columns."""
    sizes = f"d {audit.d}, k {audit.k}, B {audit.batch_size}"
    settings = "".join(f", {name} {_set(value)}" for name, value in audit.settings.items())
    objective = _OBJECTIVES.get(audit.kl_form, "a*R + b*K")
    return Group(
        Text(f"{audit.name}: {objective}", style="bold"),
        Text(f"at {sizes}{settings}; {audit.framework}, {audit.returns}", style="dim"),
        Text(f"total = {audit.total}"),
        *_filled(audit),
        Text(),
        _terms(audit),
        Text(),
        _coefficients(audit),
        *_notes(audit),
        *_paragraphs("What it means", [*audit.meaning, *_collapse(audit)]),
        *_findings(audit),
        *_paragraphs("What to change", [audit.change[:1].upper() + audit.change[1:]]),
    )


def _filled(audit: Audit) -> Iterator[Indented]:
    """Yield how arguments got their values, but for those that stand among the settings."""
    for line in audit.filled:
        if line.partition(" := ")[0] not in audit.settings:
            yield Indented(line, style="dim")


def _set(value: object) -> str:
    return str(value).removeprefix("=")


def _terms(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "kind", "reduced over", "batch"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "kind")
    kind = audit.words or "none known"
    over = {"inputs": audit.over_inputs, "latents": audit.over_latents}
    told = {what: f"{what}: {how}" if how else "" for what, how in over.items()}
    table.add_row("R", kind, told["inputs"], audit.over_batch or "")
    table.add_row("K", _kl(audit), told["latents"], audit.kl_over_batch or "")
    return table


def _kl(audit: Audit) -> str:
    """Return the form of the KL in words, with its bound and what is clamped."""
    if audit.kl_form in _NO_FORM:
        return _NO_FORM[audit.kl_form]
    bound = f"of {audit.kl_bound:.4g} nats" if audit.kl_bound is not None else ""
    frame = _FRAMES.get(audit.kl_frame, "")
    words = [" ".join(filter(None, ("closed form", frame, _FORMS[audit.kl_form], bound)))]
    words += ["clamped"] if audit.clamps else []
    return ", ".join(words)


def _coefficients(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for name, found in (("a", audit.a), ("b", audit.b), ("beta_eff = b/a", audit.beta_eff)):
        table.add_row(name, *_told(found))
    return table


def _told(found: Coefficient) -> tuple[str, str]:
    """Return a coefficient's number, and its formula or those that it may have."""
    if found.either:
        formula = f"= {' or '.join(found.either)} (one size cannot tell)"
    else:
        formula = f"= {found.formula}" if found.formula else ""
    if math.isnan(found.value):
        return "varies" if formula else "none", formula
    error = f" ±{2 * found.error:.2g}" if _is_noisy(found) else ""
    return f"{found.value:.6g}{error}", formula


def _is_noisy(found: Coefficient) -> bool:
    return found.error > _ROUNDING * abs(found.value)


def _notes(audit: Audit) -> Iterator[Text]:
    if audit.stochastic:
        noisy = any(map(_is_noisy, (audit.a, audit.b, audit.beta_eff)))
        error = ", ± two standard errors" if noisy else ""
        yield Text(f"Stochastic: means over fixed seeds{error}.", "dim")
    if audit.fixed:
        sizes = joined(audit.fixed)
        yield Text(f"{sizes} cannot be varied: formulas are read at one size.", "dim")


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


def listing_report(
    listed: Sequence[Listed], unread: Sequence[Unread], options: Options
) -> RenderableType:
    """Return every loss of a file or a folder, a line each, and below it what is to be seen to."""
    if not listed:
        what = "Nothing here looks like the loss of a VAE."
        return Group(Text(what), *_unread(unread))
    rows = [_row(each) for each in listed]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    n_audited = sum(each.audit is not None for each in listed)
    sizes = f"d {options.sizes.d}, k {options.sizes.k}, B {options.sizes.batch_size}"
    parts: list[RenderableType] = [_line(_HEADINGS, widths, "dim")]
    for each, row in zip(listed, rows, strict=True):
        parts.append(_line(row, widths, ""))
        parts += [Indented(text, style) for text, style in _seen_to(each)]
    told = f"{n_audited} of {len(listed)} audited at {sizes}; FILE.py:NAME has the whole of one"
    return Group(*parts, *_unread(unread), Text(), Text(told, style="dim"))


_HEADINGS = ("place", "name", "R", "K", "beta_eff")


def _row(each: Listed) -> tuple[str, ...]:
    audit, target = each.audit, each.candidate.target
    place = f"{target.path}:{each.candidate.line}", target.name
    if audit is None:
        return (*place, "", "", "")
    eff = audit.beta_eff
    formula = " or ".join(eff.either) or eff.formula or ""
    value = "none" if math.isnan(eff.value) else f"{eff.value:.4g}"
    return (*place, audit.reconstruction or "?", audit.kl_form, formula or value)


def _line(cells: Sequence[str], widths: Sequence[int], style: str) -> Text:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    return Text("  ".join(padded).rstrip(), style=style)


def _seen_to(each: Listed) -> Iterator[tuple[str, str]]:
    """Yield the gravest finding, or why there is no audit."""
    if each.audit is None:
        yield f"not audited: {each.reason}", "dim"
    elif each.audit.findings:
        first, *others = each.audit.findings
        more = f" (and {len(others)} more)" if others else ""
        yield f"{first.clause}{more}", "yellow" if first.certain else ""


def _unread(unread: Sequence[Unread]) -> Iterator[Text]:
    for each in unread:
        yield Text(f"{each.path}: cannot be read: {each.reason}")


def listing_facts(listed: Sequence[Listed], unread: Sequence[Unread]) -> dict[str, object]:
    """Return the list as plain values, each loss with its whole audit or with why there is none."""
    return {
        "losses": [
            {
                "target": str(each.candidate.target),
                "file": str(each.candidate.target.path),
                "line": each.candidate.line,
                "name": each.candidate.target.name,
                "audit": each.audit,
                "refused": each.reason or None,
            }
            for each in listed
        ],
        "unread": [{"file": str(each.path), "reason": each.reason} for each in unread],
    }


def _paragraphs(title: str, texts: list[str]) -> Iterator[RenderableType]:
    if any(texts):
        yield Text()
        yield Text(title, style="bold")
        yield from (Indented(text) for text in texts if text)
