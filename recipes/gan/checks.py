"""What is refused before the first step, in one line each."""

from textwrap import shorten

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor, nn

from callbacks import Compile
from recipes.gan.gradients import Method
from recipes.parts.manual_ddp import ManualDDP
from recipes.parts.networks import evaluating


def shape(tensor: Tensor) -> tuple[int, ...]:
    """Of one example."""
    return tuple(tensor.shape[1:])


@torch.no_grad()
def answer(network: nn.Module, option: str, of: str, *inputs: Tensor) -> Tensor:
    """What a network gives in evaluation mode, which leaves its statistics as they are.

    Raises:
        ValueError: if it does not take these inputs
    """
    try:
        with evaluating(network):
            return network(*inputs)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = shorten(str(error), 160)
        raise ValueError(f"{option} does not take {of}: {reason}") from error


def check_networks(
    generator: nn.Module,
    discriminator: nn.Module,
    latents: Tensor,
    packed: Tensor,
    pack: int,
    labels: Tensor | None,
) -> None:
    """Refuses networks that fit neither each other nor the data.

    Args:
        generator: from latents to examples
        discriminator: from packs of examples to one number each
        latents: (batch, latent)
        packed: real examples as the discriminator is shown them, (batch / pack, ...)
        pack: examples that the discriminator is shown at a time
        labels: (batch,), with networks that are conditional on them

    Raises:
        ValueError: naming the network's option and both shapes
    """
    given = () if labels is None else (labels,)
    of = f"latents ({latents.shape[1]},), --model.latent={latents.shape[1]}"
    of += "" if labels is None else " and labels"
    made = answer(generator, "--model.generator", of, latents, *given)
    one = (packed.shape[1] // pack, *packed.shape[2:])
    if shape(made) != one:
        raise ValueError(f"--model.generator makes {shape(made)}, the data are {one}")
    of = f"{shape(packed)}" + (f", --model.pack={pack} of {one}" if pack > 1 else "")
    of += "" if labels is None else " and labels"
    scores = answer(discriminator, "--model.discriminator", of, packed, *given)
    if scores.numel() != len(packed):
        raise ValueError(
            f"--model.discriminator gives {shape(scores)} for an example, not one number"
        )


def check_batch(rows: int, steps: int, pack: int) -> None:
    """Refuses a batch that the discriminator's updates and packs do not divide.

    Args:
        rows: of the batch
        steps: updates of the discriminator that share it
        pack: examples that the discriminator is shown at a time

    Raises:
        ValueError: naming the options
    """
    if rows % (steps * pack):
        raise ValueError(
            f"a batch of {rows} (--data.batch_size) is not a multiple of {steps * pack}: "
            f"--model.discriminator_steps={steps} times --model.pack={pack}"
        )


def check_labels(labels: Tensor, classes: int) -> None:
    """Refuses labels beyond the classes.

    Raises:
        ValueError: naming the option
    """
    if labels.max() >= classes:
        raise ValueError(f"--model.classes={classes}: the data have a label {labels.max()}")


def check_strategy(strategy: Strategy) -> None:
    """Refuses torch's own data parallelism, unless it can do with one network's gradients.

    Raises:
        ValueError: naming what can
    """
    if not isinstance(strategy, DDPStrategy) or isinstance(strategy, ManualDDP):
        return
    if not strategy._ddp_kwargs.get("find_unused_parameters"):
        raise ValueError(
            "--trainer.strategy=DDPStrategy waits for gradients of both networks at once: ddp on "
            "the command line, ManualDDP of recipes.parts.manual_ddp in Python"
        )


def method_for(trainer: Trainer, given: Method | None) -> Method:
    """How penalties are differentiated: neither FSDP2 nor compiled networks can do it twice.

    Args:
        trainer: of the run
        given: by the user, if at all

    Raises:
        ValueError: if it cannot be
    """
    compiles = any(isinstance(callback, Compile) for callback in trainer.callbacks)
    why = {
        "sharded": isinstance(trainer.strategy, ModelParallelStrategy),
        "compiled": compiles,
    }
    hindrance = next((name for name, hinders in why.items() if hinders), None)
    if given == "exact" and hindrance:
        raise ValueError(
            f"--model.penalty_method=exact differentiates a discriminator twice, which a "
            f"{hindrance} one cannot: finite_difference"
        )
    return given or ("finite_difference" if hindrance else "exact")
