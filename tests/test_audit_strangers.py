"""Losses of strangers that once were told wrongly, each by the command its author would try."""

from pathlib import Path

import pytest

from lossbench.auditing import Audit, Target, audit, read_options

STRANGERS = Path(__file__).parent / "audited" / "strangers.py"


def found(name: str, settings: tuple[str, ...] = (), args: tuple[str, ...] = ()) -> Audit:
    """Return the audit of one of the losses at d = 12 and k = 3."""
    target = Target(STRANGERS, name)
    options = read_options(target, 12, 3, 128, 60_000, None, None, args, settings, None, 60.0)
    return audit(target, options)


@pytest.mark.parametrize(
    ("settings", "args", "formulas"),
    [
        (("input_dim=d", "beta=0.5"), (), ("1/d", "beta")),
        (("input_dim=12", "beta=0.5"), (), ("1/input_dim", "beta")),
        ((), ("d=input_dim",), ("1/d", "self.beta")),
        ((), (), ("self.scale", "self.beta")),
    ],
)
def test_a_number_that_an_object_makes_of_a_size_goes_with_that_size(
    settings: tuple[str, ...], args: tuple[str, ...], formulas: tuple[str, str]
) -> None:
    """Only what nothing that it was made with moves is a number of its own."""
    told = found("Criterion", settings, args)
    assert (told.a.formula, told.b.formula) == formulas
    assert "outputs := (x_hat, z_mean, z_log_var)" in told.filled
    default = "input_dim = 12 by default: --args d=input_dim has it follow d"
    assert (default in told.filled) == (not settings and not args)
    hidden = [each.text for each in told.findings if each.code == "hard_coded"]
    assert len(hidden) == (formulas[0] == "self.scale")


def test_a_number_of_an_object_that_is_a_size_is_told_as_both() -> None:
    """It was made elsewhere, and may be one over d."""
    (told,) = found("criterion").findings
    assert told.text.startswith("self.scale is 0.08333, which is 1/d: if it is made of that size")
    assert not told.certain
