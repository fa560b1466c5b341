"""L-BFGS: what would silently change its result is refused."""

from collections.abc import Iterable

from lightning.pytorch import Trainer
from torch import nn
from torch.optim import LBFGS, Optimizer

from callbacks import GradientClip, LRDecay
from recipes.parts.dropout import dropouts

FULL_BATCH = "L-BFGS needs the same full batch in every step: --data.batch_size=full"


def check_lbfgs(
    trainer: Trainer,
    optimizers: Iterable[Optimizer],
    networks: Iterable[nn.Module],
    scheduled: bool = False,
) -> None:
    """Refuses what L-BFGS is wrong with; to be called in `on_train_start`. Others may do anything.

    It compares losses and gradients of several evaluations, in one step and between steps, so
    these must be of one function, to full precision.

    Args:
        trainer: about to take its first step
        optimizers: those in use
        networks: that they train
        scheduled: whether their rates decay by other means than a callback

    Raises:
        ValueError: for the first thing that is wrong
    """
    found = [optimizer for optimizer in optimizers if isinstance(optimizer, LBFGS)]
    if not found:
        return
    decays = scheduled or any(isinstance(c, LRDecay) for c in trainer.callbacks)
    if decays and any(group["line_search_fn"] for o in found for group in o.param_groups):
        raise ValueError(
            "LRDecay: L-BFGS's line search chooses the step, and fails at a rate of 0: without "
            "decay, as in --config=lbfgs"
        )
    for reason in refusals(trainer, networks):
        raise ValueError(reason)


def refusals(trainer: Trainer, networks: Iterable[nn.Module]) -> Iterable[str]:
    """What is wrong, and which option or file it is; arguments as in `check_lbfgs`."""
    if trainer.accumulate_grad_batches > 1:
        yield (
            f"--trainer.accumulate_grad_batches={trainer.accumulate_grad_batches}: Lightning would "
            "add up the gradients of L-BFGS's line search; it needs 1"
        )
    if trainer.precision not in ("32-true", "64-true"):
        name = {"16": "fp16", "bf": "bf16"}.get(trainer.precision[:2], "it")
        yield (
            f"--trainer.precision={trainer.precision}: {name} rounds away the differences of "
            "gradients that L-BFGS lives on; it needs 32-true or 64-true"
        )
    if any(map(dropouts, networks)):
        yield "dropout in the network: L-BFGS's line search would compare different networks"
    if trainer.world_size > 1:
        yield f"L-BFGS needs one process, not {trainer.world_size}: --trainer.devices=1"
    clips = [c for c in trainer.callbacks if isinstance(c, GradientClip)]
    if trainer.gradient_clip_val or clips:
        yield (
            "--trainer.gradient_clip_val: L-BFGS takes the curvature from gradients, which "
            "clipping changes; it needs none"
        )
    loader = trainer.train_dataloader
    # limit_train_batches=1 would be another batch in each epoch.
    batches = max(trainer.num_training_batches, batches_of(loader))
    if batches > 1:
        yield f"{FULL_BATCH}, not {batches} batches an epoch"
    table, bounds = getattr(loader, "table", ()), getattr(loader, "bounds", (0,))
    if len(table) > bounds[-1]:
        yield f"{FULL_BATCH}, not a random {bounds[-1]} of {len(table)} rows"


def batches_of(loader: object) -> int:
    """Batches of a loader in an epoch; 0 where it does not know."""
    try:
        return len(loader)
    except TypeError:
        return 0
