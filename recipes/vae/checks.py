"""What a variational autoencoder is refused for, in one line, before its first step."""

from collections.abc import Sequence

from lightning.pytorch import LightningDataModule
from torch import nn
from torch.distributed.tensor import DTensor

from recipes.parts.fitting import count_classes, outputs
from recipes.vae.likelihoods import Likelihood


def check_arguments(
    method: str, samples: int, beta: float, nll_samples: int, has_evaluation: bool
) -> None:
    """Checks that arguments can be used together.

    Raises:
        ValueError: naming the options
    """
    if method == "autoencoder":
        for name, given, plain in (("samples", samples, 1), ("nll_samples", nll_samples, 0)):
            if given != plain:
                raise ValueError(f"--model.{name}={given}: an autoencoder has one code an example")
        if has_evaluation:
            raise ValueError("--model.evaluation: an autoencoder has no prior to draw samples from")
    if method != "vae" and beta != 1:
        raise ValueError(f"--model.beta={beta:g} is of --model.method=vae, whose bound has a KL")
    if method == "iwae" and samples == 1:
        raise ValueError("--model.method=iwae weighs several codes: give --model.samples=5")


def check_data(data: LightningDataModule | None) -> None:
    """Refuses text.

    Raises:
        ValueError: naming the option
    """
    if getattr(data, "vocabulary", None) is not None:
        raise ValueError(f"--data={type(data).__name__} is text: a likelihood is of numbers")


def check_anomalies(anomalies: Sequence[int], data: LightningDataModule | None) -> None:
    """Refuses anomalies that training sees.

    Args:
        anomalies: classes that it must not see
        data: set up

    Raises:
        ValueError: naming the option
    """
    kind = type(data).__name__
    seen = trained_classes(data)
    option = "--data.train_classes" if hasattr(data, "train_classes") else "--data.classes"
    if seen is None:
        raise ValueError(
            f"--model.anomalies={list(anomalies)}: {option} must name those that training "
            f"sees, without them: {kind} has all"
        )
    if both := sorted(set(seen) & set(anomalies)):
        raise ValueError(f"--model.anomalies={list(anomalies)}: {option} has {both} too")
    there = count_classes(data)
    if strangers := [each for each in anomalies if there is not None and each >= there]:
        raise ValueError(f"--model.anomalies={list(anomalies)}: {kind} has no class {strangers[0]}")


def trained_classes(data: LightningDataModule | None) -> list[int] | None:
    """The numbers of the classes that training sees; None if it sees all."""
    return getattr(data, "trained_classes", None)


def check_networks(
    networks: tuple[nn.Module, nn.Module, Likelihood],
    latent: int,
    method: str,
    data: LightningDataModule | None,
) -> None:
    """Checks that networks fit each other and the data, by a pass of each.

    Args:
        networks: encoder, decoder and likelihood
        latent: units of a code
        method: of an autoencoder the encoder gives no variances
        data: set up; data that do not tell their `input_shape` are taken as they are

    Raises:
        ValueError: naming the option and both shapes
    """
    encoder, decoder, likelihood = networks
    shape, weights = getattr(data, "input_shape", None), [*nn.ModuleList(networks).parameters()]
    if shape is None or any(w.is_meta or isinstance(w, DTensor) for w in weights):
        return
    rows = weights[0].new_zeros(2, *shape)
    given = tuple(outputs(encoder, "--model.encoder", f"inputs {tuple(shape)}", rows).shape[1:])
    size, what = (latent, "code") if method == "autoencoder" else (2 * latent, "mean and variance")
    if given != (size,):
        raise ValueError(
            f"--model.encoder gives {given} for an example, not ({size},): the {what} of each unit "
            f"of --model.latent={latent}"
        )
    codes = rows.new_zeros(2, latent)
    given = tuple(outputs(decoder, "--model.decoder", f"codes ({latent},)", codes).shape[1:])
    each = likelihood.parameters_per_value
    if given != (each * shape[0], *shape[1:]):
        raise ValueError(
            f"--model.decoder gives {given}, but --model.likelihood={type(likelihood).__name__} "
            f"takes {each} for each of {tuple(shape)} values: --model.decoder.parameters={each}"
        )
