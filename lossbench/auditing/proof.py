"""Whether an audit proves that a loss is ``a*R + b*K``, and of which likelihood."""

import math

from lossbench.auditing.kl_term import KlForm
from lossbench.auditing.meaning import is_noisy, kind_of
from lossbench.auditing.result import Audit, Coefficient
from lossbench.errors import UsageError
from lossbench.loss import evaluate
from lossbench.words import joined

_CLOSE = 1e-4
_DIGITS = 6


def unproved(audit: Audit) -> str:
    """Return why a sweep cannot train a loss by its a and b; nothing where it can."""
    codes = ("kl_missing",) if audit.settings.get("beta") == 0 else ()  # as it should
    findings = [finding for finding in audit.findings if finding.code not in codes]
    changing = [each.text for each in findings if each.changes or each.code == "maximised"]
    if changing:
        return "\n    ".join(changing)
    if not kind_of(audit):
        return f"the reconstruction is {audit.words or 'of no known kind'}, which is not trained"
    form = KlForm(audit.kl_form)
    if form not in (KlForm.CLOSED, KlForm.ABSENT) or audit.kl_frame != "log_var":
        return f"its KL is {form.value.replace('_', ' ')}, of {audit.kl_frame.replace('_', ' ')}"
    if not audit.linear or audit.a.value <= 0 or audit.b.value < 0:
        return f"a is {audit.a}, b is {audit.b}"
    noisy = [n for n, x in (("a", audit.a), ("b", audit.b)) if is_noisy(x)]
    if noisy:
        return f"it is noisy: {joined(noisy)} are known to {audit.beta_eff.error:.2g} alone"
    return ""


def exactly(audit: Audit, found: Coefficient) -> str:
    """Return a or b as a formula in d, k, B, N and beta, or as a number to six digits.

    It is a formula where that gives the number that was measured.
    """
    symbols: dict[str, float] = {
        "d": audit.d,
        "k": audit.k,
        "B": audit.batch_size,
        "N": audit.n_images,
    }
    weight = audit.settings.get("beta")
    given: dict[str, float] = {"beta": weight} if isinstance(weight, int | float) else {}
    for text in filter(None, (found.formula, *found.either)):
        formula = text.replace("^", "**")
        try:
            value = float(evaluate(formula, symbols | given))
        except UsageError:
            continue
        if math.isclose(value, found.value, rel_tol=_CLOSE, abs_tol=_CLOSE * audit.a.value):
            return formula
    return f"{found.value:.{_DIGITS}g}"
