"""What each latent of a trained run carries, on a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossbench.trained import Carried
from lossbench.words import significant


def latents_table(found: Carried) -> RenderableType:
    """Return the latents of one run, those that carry most first, beside what theory gives them."""
    table = Table(box=None, pad_edge=False)
    headings = ["latent", "kl", *(["theory"] if found.theory else []), "signal / noise", "active"]
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "active" else "right")
    for place, latent in enumerate(found.latents):
        table.add_row(
            str(latent.latent),
            f"{latent.kl:.3f}",
            *([f"{found.theory[place]:.3f}"] if found.theory else []),
            significant(latent.signal, 3),
            "yes" if latent.active else "no",
        )
    beta_eff = significant(found.final_beta_eff)
    theory = f", by theory {sum(found.theory):.3f}" if found.theory else ""
    return Group(
        Text(found.run.run_id, style="bold"),
        Text(
            f"{found.active_units} of {found.run.k} latents active, KL {found.kl:.3f} nats on the "
            f"test split{theory}, beta_eff {beta_eff}"
        ),
        table,
        Text("theory: 1/2 ln(t_j / beta_eff) of the j-th largest threshold", style="dim")
        if found.theory
        else Text("no KL is told by theory for this likelihood or this noise", style="dim"),
    )
