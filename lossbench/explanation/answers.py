"""The two answers that the seed question got: which is wrong, and what the other leaves out."""

from fractions import Fraction

from lossbench.explanation.step import Step
from lossbench.explanation.symbols import number
from lossbench.loss import Sizes, convention


def answers(sizes: Sizes) -> tuple[Step, ...]:
    """Return both answers at these sizes; d and k must be known."""
    beta_eff = convention("blog").coefficients(sizes, 1).beta_eff
    return _one_letter(sizes, beta_eff), _multiplied(sizes)


def _one_letter(sizes: Sizes, beta_eff: Fraction) -> Step:
    holds = (
        f"It holds here only because k = d = {sizes.d}."
        if sizes.d == sizes.k
        else f"It holds only where k = d; here, with d = {sizes.d} and k = {sizes.k}, the blog "
        f"weighs the KL {number(beta_eff)} times as much as the documentation does."
    )
    return Step(
        'Wrong on the web: "the first loss is the second divided by d"',
        (
            "docs(beta)/d = mean_d(bce or mse) + beta * K/d",
            "blog(beta)   = mean_d(bce or mse) + beta * K/k",
            f"blog(beta)   = docs(beta*d/k)/d = docs({number(beta_eff)}*beta)/{sizes.d}",
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
