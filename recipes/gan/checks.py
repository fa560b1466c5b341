"""Checks that refuse a run in one line that names the option, most before its first step."""

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor, nn

from callbacks import Compile
from datamodules.reading.classes import Classes, check_class_numbers
from recipes.gan.examples import packed
from recipes.gan.gradients import Method
from recipes.gan.penalties import Penalty, refuse_batch_norm, refuse_dropout
from recipes.parts.fitting import outputs
from recipes.parts.manual_ddp import ManualDDP


def check_arguments(
    discriminator: nn.Module,
    penalties: list[Penalty] | None,
    penalty_interval: int,
    classes: int | None,
    pack: int,
) -> None:
    """Checks that a GAN's arguments can be used together.

    Args:
        discriminator: without batch-norm, if there are penalties
        penalties: on its gradient
        penalty_interval: updates from one with penalties to the next
        classes: number of labels, if the networks are conditional
        pack: examples that the discriminator sees at a time

    Raises:
        ValueError: naming the options
    """
    if penalties:
        refuse_batch_norm(discriminator)
    elif penalty_interval > 1:
        raise ValueError(f"--model.penalty_interval={penalty_interval}: there are no penalties")
    if classes and pack > 1:
        raise ValueError("--model.classes with --model.pack: a pack has no one label")


def check_networks(
    generator: nn.Module,
    discriminator: nn.Module,
    latents: Tensor,
    real: Tensor,
    labels: Tensor | None,
    classes: int | None,
    pack: int,
) -> None:
    """Checks that the networks fit each other and the data, by a pass of each.

    Args:
        generator: maps latents, and labels, to examples
        discriminator: maps packs of examples, and labels, to one number each
        latents: (batch, latent)
        real: examples, (batch, ...), as the networks see them
        labels: (batch,), if the networks are conditional
        classes: number of labels that they know
        pack: examples that the discriminator sees at a time

    Raises:
        ValueError: naming the option and both shapes, or a label that is no class
    """
    if labels is not None:
        check_class_numbers(
            labels, Classes(classes, f"--model.classes={classes}"), "batch row {}".format
        )
    few = len(real) // pack * pack
    packs, given = packed(real[:few], pack), () if labels is None else (labels,)
    also = "" if labels is None else " and labels"

    what = f"latents ({latents.shape[1]},), --model.latent={latents.shape[1]}{also}"
    made = outputs(generator, "--model.generator", what, latents[:few], *given)
    if shape(made) != shape(real):
        raise ValueError(f"--model.generator makes {shape(made)}, the data are {shape(real)}")

    packing = f", --model.pack={pack} of {shape(real)}" if pack > 1 else ""
    what = f"{shape(packs)}{packing}{also}"
    scores = outputs(discriminator, "--model.discriminator", what, packs, *given)
    if scores.numel() != len(packs):
        raise ValueError(
            f"--model.discriminator gives {shape(scores)} for an example, not one number"
        )


def shape(batch: Tensor) -> tuple[int, ...]:
    """The shape of one example of a batch."""
    return tuple(batch.shape[1:])


def check_batch(rows: int, steps: int, pack: int) -> None:
    """Checks that the discriminator's updates can share a batch, each a whole number of packs.

    Args:
        rows: of the batch
        steps: updates of the discriminator in a step
        pack: examples that the discriminator sees at a time

    Raises:
        ValueError: naming the options
    """
    if rows % (steps * pack):
        raise ValueError(
            f"a batch of {rows} (--data.batch_size) is not a multiple of {steps * pack}: "
            f"--model.discriminator_steps={steps} times --model.pack={pack}"
        )


def check_fit(
    trainer: Trainer, discriminator: nn.Module, penalties: list[Penalty], given: Method | None
) -> Method | None:
    """Checks that a fit that begins can train two networks, and differentiate the penalties.

    Args:
        trainer: of the fit
        discriminator: as penalties differentiate it
        penalties: on its gradient, possibly none
        given: the user's choice of how, if there is one

    Returns:
        how penalties are differentiated

    Raises:
        ValueError: naming the option
    """
    check_strategy(trainer.strategy)
    if not penalties:
        return given
    method = method_for(trainer, given)
    if method == "finite_difference":
        refuse_dropout(discriminator)
    return method


def check_strategy(strategy: Strategy) -> None:
    """Refuses a DDP that waits for gradients of both networks: a backward pass has those of one.

    Raises:
        ValueError: naming the strategies that do not wait
    """
    if not isinstance(strategy, DDPStrategy) or isinstance(strategy, ManualDDP):
        return
    if not strategy._ddp_kwargs.get("find_unused_parameters"):
        raise ValueError(
            "--trainer.strategy=DDPStrategy waits for gradients of both networks at once: ddp on "
            "the command line, ManualDDP of recipes.parts.manual_ddp in Python"
        )


def method_for(trainer: Trainer, given: Method | None) -> Method:
    """How to differentiate penalties: exactly, but for sharded or compiled networks.

    Neither FSDP2 nor torch.compile can differentiate a network twice.

    Args:
        trainer: of the run
        given: the user's choice, if there is one

    Raises:
        ValueError: if it is exact, and the network is sharded or compiled
    """
    hindrance = None
    if isinstance(trainer.strategy, ModelParallelStrategy):
        hindrance = "sharded"
    elif any(isinstance(callback, Compile) for callback in trainer.callbacks):
        hindrance = "compiled"
    if given == "exact" and hindrance:
        raise ValueError(
            f"--model.penalty_method=exact differentiates a discriminator twice, which a "
            f"{hindrance} one cannot: finite_difference"
        )
    return given or ("finite_difference" if hindrance else "exact")
