"""What expectation maximisation is refused for, in one line, before its first step."""

import math

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

from callbacks import GradientClip
from recipes.em.mixture import Mixture


def check_setup(trainer: Trainer, mixture: Mixture, data: LightningDataModule | None) -> None:
    """Refuses data, precisions and strategies that a mixture does not go with.

    Args:
        trainer: about to do anything
        mixture: its network
        data: set up, if there are such

    Raises:
        ValueError: naming the option
    """
    if trainer.precision not in ("32-true", "64-true"):
        raise ValueError(
            f"--trainer.precision={trainer.precision} rounds away the differences of densities: it "
            "needs 32-true or 64-true"
        )
    if isinstance(trainer.strategy, (FSDPStrategy, ModelParallelStrategy)):
        raise ValueError(
            f"--trainer.strategy={type(trainer.strategy).__name__}: an M-step needs whole "
            "parameters: --config=ddp"
        )
    shape = getattr(data, "input_shape", None)
    if shape is not None and (there := math.prod(shape)) != mixture.inputs:
        raise ValueError(f"--model.network.inputs={mixture.inputs}, but the data have {there}")
    if getattr(data, "vocabulary", None) is not None:
        raise ValueError(f"--data={type(data).__name__} is text: a mixture is of numbers")


def check_steps(trainer: Trainer, is_whole: bool) -> None:
    """Refuses steps by which expectation maximisation would be wrong.

    Args:
        trainer: about to take its first step
        is_whole: whether a step forgets what the steps before it have seen

    Raises:
        ValueError: naming the option
    """
    if trainer.gradient_clip_val or any(isinstance(c, GradientClip) for c in trainer.callbacks):
        raise ValueError(
            "--trainer.gradient_clip_val: here gradients are sums over rows, which clipping would "
            "falsify; there is no step too long to take"
        )
    batches, accumulated = trainer.num_training_batches, trainer.accumulate_grad_batches
    if is_whole and batches > accumulated:
        raise ValueError(
            f"--trainer.accumulate_grad_batches={accumulated} of {batches} batches an epoch: a "
            f"whole M-step needs all rows: {batches}, --data.batch_size=full of a table, or "
            "--model.stepwise=0.6"
        )
    loader = trainer.train_dataloader
    rows, used = len(getattr(loader, "table", ())), getattr(loader, "bounds", (0,))[-1]
    if is_whole and used < rows:
        raise ValueError(
            f"--data.batch_size: each epoch would be a random {used} of {rows} rows, and a whole "
            "M-step needs all: a size that divides them, or --model.stepwise=0.6"
        )
