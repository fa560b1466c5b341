"""What a fit says at its end."""

from collections.abc import Mapping

from torch import Tensor

from recipes.parts.evaluation.report import with_floors
from recipes.vae.units import in_words

# Told in words; an evaluation's values follow them.
OWN = {"loss", "reconstruction", "kl", "active_units", "auroc_loss", "auroc_reconstruction", "nll"}


def in_a_line(metrics: Mapping[str, Tensor], latent: int) -> str:
    """The bound at the end, its parts, how many units are active, and how good samples are.

    Args:
        metrics: of the last validation
        latent: units of a code
    """
    last = {key.removeprefix("val/"): float(value) for key, value in metrics.items()}
    line = f"validation: loss {last['loss']:.4g} nats an example"
    if "kl" in last:
        line += f" (reconstruction {last['reconstruction']:.4g}, KL {last['kl']:.4g})"
        line += f", {in_words(last['active_units'], latent)}"
    if "auroc_loss" in last:
        line += f", AUROC {last['auroc_loss']:.3f}"
    others = {key: value for key, value in metrics.items() if key.removeprefix("val/") not in OWN}
    return ", ".join([line, with_floors(others)]) if others else line
