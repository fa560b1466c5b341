"""What a variational autoencoder is refused for, in one line, before its first step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningDataModule
from torch.distributed.tensor import DTensor

from recipes.parts.fitting import outputs

if TYPE_CHECKING:
    from recipes.vae.module import VAE


def check_arguments(method: str, samples: int, beta: float, nll_samples: int) -> None:
    """Checks that arguments can be used together.

    Raises:
        ValueError: naming the options
    """
    if method == "autoencoder":
        for name, given, plain in (("samples", samples, 1), ("nll_samples", nll_samples, 0)):
            if given != plain:
                raise ValueError(f"--model.{name}={given}: an autoencoder has one code an example")
    if method != "vae" and beta != 1:
        raise ValueError(f"--model.beta={beta:g} is of --model.method=vae, whose bound has a KL")
    if method == "iwae" and samples == 1:
        raise ValueError("--model.method=iwae weighs several codes: give --model.samples=5")


def check_setup(data: LightningDataModule | None, anomalies: Sequence[int] | None) -> None:
    """Refuses text, and anomalies that training would see.

    Args:
        data: set up, if there are such; may have `classes`, those that training sees
        anomalies: classes that it must not see

    Raises:
        ValueError: naming the option
    """
    kind = type(data).__name__
    if getattr(data, "vocabulary", None) is not None:
        raise ValueError(f"--data={kind} is text: a likelihood is of numbers")
    if not anomalies:
        return
    seen = getattr(data, "classes", None)
    if not isinstance(seen, list):
        raise ValueError(
            f"--model.anomalies={list(anomalies)}: --data.classes must name those that training "
            f"sees, without them: {kind} has all"
        )
    if both := sorted(set(seen) & set(anomalies)):
        raise ValueError(f"--model.anomalies={list(anomalies)}: --data.classes has {both} too")


def check_networks(module: "VAE", data: LightningDataModule | None) -> None:
    """Checks that encoder, decoder and likelihood fit each other and the data, by a pass of each.

    Args:
        module: of the networks
        data: set up; data that do not tell their `input_shape` are taken as they are

    Raises:
        ValueError: naming the option and both shapes
    """
    shape = getattr(data, "input_shape", None)
    weights = (*module.encoder.parameters(), *module.decoder.parameters())
    if shape is None or any(weight.is_meta or isinstance(weight, DTensor) for weight in weights):
        return
    rows = torch.zeros(2, *shape, dtype=module.dtype, device=module.device)
    found = outputs(module.encoder, "--model.encoder", f"inputs {tuple(shape)}", rows)
    wanted = module.latent * (1 if module.method == "autoencoder" else 2)
    if tuple(found.shape[1:]) != (wanted,):
        raise ValueError(
            f"--model.encoder gives {tuple(found.shape[1:])} for an example, not ({wanted},): the "
            f"means and log variances of --model.latent={module.latent}"
            if module.method != "autoencoder"
            else f"--model.encoder gives {tuple(found.shape[1:])} for an example, not ({wanted},): "
            f"--model.latent={module.latent}"
        )
    codes = rows.new_zeros(2, module.latent)
    made = tuple(
        outputs(module.decoder, "--model.decoder", f"codes ({module.latent},)", codes)[0].shape
    )
    each = module.likelihood.parameters_per_value
    if made != (each * shape[0], *shape[1:]):
        kind = type(module.likelihood).__name__
        raise ValueError(
            f"--model.decoder gives {made}, but --model.likelihood={kind} takes {each} numbers for "
            f"each of {tuple(shape)} values: --model.decoder.parameters={each}"
        )
