"""The terms of a training step: those that it minimises, and alarms that it only logs."""

from collections.abc import Iterable

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from recipes.parts.stepping import backward

SUMMED = ("train/generator", "train/discriminator", "train/penalty")


def summed(terms: dict[str, Tensor]) -> Tensor:
    """The loss: the sum of those terms that are minimised."""
    first, *others = (terms[name] for name in SUMMED if name in terms)
    return sum(others, start=first)


def refuse_closures(generator: Optimizer, discriminator: Optimizer) -> None:
    """Refuses L-BFGS, which evaluates a loss several times in a step: here the other network moves.

    Args:
        generator: its optimizer
        discriminator: its optimizer

    Raises:
        ValueError: naming the option
    """
    for name, optimizer in (("generator", generator), ("discriminator", discriminator)):
        if isinstance(optimizer, LBFGS):
            raise ValueError(
                f"--model.{name}_optimizer=LBFGS minimises one fixed loss, and a GAN's changes in "
                "every step: take a first-order one, such as Adam"
            )


def descend(
    module: LightningModule, optimizer: Optimizer, terms: Iterable[dict[str, Tensor]], batches: int
) -> dict[str, Tensor]:
    """One step of an optimizer, by the mean loss of the accumulated batches.

    Args:
        module: whose training step it is
        optimizer: of the network that learns
        terms: of each batch, log key to scalar; computed one after the other, so that only one
            batch's graph is kept
        batches: their number

    Returns:
        the last batch's terms, detached
    """
    optimizer.zero_grad()
    for of_batch in terms:
        backward(module, summed(of_batch), batches)
    optimizer.step()
    return {name: term.detach() for name, term in of_batch.items()}


def critic_alarms(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """How well the discriminator tells real from generated examples: always and never are alarms.

    Args:
        real: its scores for real examples, (packs,)
        fake: its scores for generated ones, (packs,)

    Returns:
        critic_accuracy: share of pairs in which the real example scores higher, 0 to 1, 0.5 by
            chance; critic_gap: mean score of the real examples minus that of the generated ones
    """
    real, fake = real.detach(), fake.detach()
    return {
        "train/critic_accuracy": (real > fake).float().mean(),
        "train/critic_gap": real.mean() - fake.mean(),
    }


def watch_gradient(fake: Tensor, terms: dict[str, Tensor], trainer: Trainer, batches: int) -> None:
    """Has the backward pass add `train/fake_gradient` to the generator's terms.

    It is the mean norm of the gradient of the generator's loss with respect to one generated
    example. Near 0, the generator learns nothing from the discriminator.

    Args:
        fake: (examples, ...), whose mean loss the generator minimises
        terms: of the generator's update
        trainer: its scaler (fp16) multiplies the gradient
        batches: of the step, by whose number the gradient is divided
    """
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    scale = batches / (scaler.get_scale() if scaler else 1)

    def note(gradient: Tensor) -> None:
        # The loss is a mean over the examples, so that the sum of these norms is a mean too.
        terms["train/fake_gradient"] = gradient.flatten(1).norm(dim=1).sum() * scale
        handle.remove()  # the terms hold the graph, whose hook holds them: nothing would free them

    handle = fake.register_hook(note)
