"""One trained run whose weights were kept: which it is, and what each of its latents carries."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossbench import comparison, data, theory, worker
from lossbench.errors import ResultsError, UsageError
from lossbench.measurement import Latent, latents_of
from lossbench.prediction import key_of, spectra
from lossbench.settings import RunSettings
from lossbench.store import Store
from lossbench.words import Told

_MOST_SHOWN = 3


@dataclass(frozen=True)
class Kept:
    """A run with its weights: kernel and bias of every layer."""

    run: RunSettings
    folder: Path
    weights: Sequence[NDArray[np.floating]]


@dataclass(frozen=True)
class Carried(Told):
    """What each latent of a run carries on the test split, those with the largest KL first.

    ``theory`` has 1/2 ln(t_j / beta_eff) for the j-th of them, 0 where t_j is below; it is empty
    where no KL is told: without thresholds, or at another noise than unit noise.
    """

    run: RunSettings
    folder: Path
    final_beta_eff: float
    latents: tuple[Latent, ...]
    theory: tuple[float, ...]

    @property
    def kl(self) -> float:
        """The KL of all latents, in nats."""
        return sum(latent.kl for latent in self.latents)

    @property
    def active_units(self) -> int:
        """How many latents are active."""
        return sum(latent.active for latent in self.latents)

    def facts(self) -> dict[str, object]:
        """Return the latents as JSON has them."""
        return {
            "run_id": self.run.run_id,
            "folder": self.folder,
            "final_beta_eff": self.final_beta_eff,
            "kl": self.kl,
            "active_units": self.active_units,
            "latents": [
                {**vars(latent), "theory": self.theory[place] if self.theory else None}
                for place, latent in enumerate(self.latents)
            ],
        }


def kept(text: str) -> Kept:
    """Return the one run that ``text`` selects.

    ``UsageError`` if it selects several, ``ResultsError`` if their weights were not kept.
    """
    chosen = comparison.select(text)
    ids = [str(run_id) for run_id in chosen["run_id"]]
    if len(ids) > 1:
        raise UsageError(
            f"{len(ids)} runs are selected",
            where=repr(text),
            expected="one run",
            received=", ".join(ids[:_MOST_SHOWN]) + (" and more" if len(ids) > _MOST_SHOWN else ""),
            remedy="add columns, as in loss=docs,beta=1,d=64,k=2,seed=0",
        )
    folder = Path(str(chosen["folder"].iloc[0]))
    store = Store(folder)
    weights, frozen = store.weights(ids[0]), store.frozen()
    settings = {known.run_id: known for known in frozen.runs()} if frozen else {}
    if not weights or ids[0] not in settings:
        raise ResultsError(
            "the weights of this run are not there",
            where=str(folder),
            expected=f"runs/{ids[0]}.weights.npz, as `sweep --save-weights` leaves it",
            remedy=f"lossbench sweep {folder}/experiment.toml --out {folder} --save-weights",
        )
    return Kept(settings[ids[0]], folder, weights)


def carried(known: Kept, data_dir: Path | None = None) -> Carried:
    """Return what each latent of a run carries; ``DataError`` if its data is missing."""
    run = known.run
    name, d, scale = run.data
    images = data.load(name, d, data_dir, scale)
    z_mean, z_log_var = worker.encode(run, known.weights, images.test)
    latents = latents_of(z_mean, z_log_var + 2 * np.log(run.noise_std))
    thresholds = spectra([run], data_dir)[key_of(run)].thresholds
    final_beta_eff = run.final_beta_eff(len(images.train))
    told = len(thresholds) > 0 and run.noise_std == 1 and final_beta_eff > 0
    return Carried(
        run,
        known.folder,
        final_beta_eff,
        latents,
        theory.carried(thresholds, final_beta_eff, run.k) if told else (),
    )
