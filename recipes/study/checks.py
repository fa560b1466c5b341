"""Refuses, in one line, what would silently make a study wrong."""

import json
from collections.abc import Iterable, Mapping

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor

from callbacks import Compile, LossDrivenLR, LRDecay
from recipes.regress.checks import alike, check_network, count_targets
from recipes.regress.lbfgs import check_lbfgs
from recipes.regress.losses import Loss
from recipes.study.members import Networks
from recipes.study.population import Population
from recipes.study.rounds import Rounds


def check_setup(trainer: Trainer, stage: str, rounds: Rounds) -> None:
    """Refuses data without streams, sharding, and a length of the run that the rounds do not fit.

    Args:
        trainer: of any command
        stage: fit, validate, test or predict
        rounds: of the search

    Raises:
        ValueError: with the option to change
    """
    if not hasattr(trainer.datamodule, "join"):
        raise ValueError("--data: a study needs tabular data, such as Diabetes or UCI")
    if count_targets(trainer.datamodule) > 1:
        raise ValueError("--data.target: a study is of one target")
    if isinstance(trainer.strategy, ModelParallelStrategy):
        raise ValueError("--trainer.strategy: a study's networks are small: ddp, not sharded")
    if stage != "fit":
        return
    epochs, count = trainer.max_epochs, rounds.search.rounds
    bounded = epochs is not None and epochs > 0
    if count > 1 and (not bounded or epochs % count):
        raise ValueError(f"--trainer.max_epochs={epochs} is not {count} rounds of equal length")
    if rounds.halves and not bounded:
        raise ValueError(f"--trainer.max_epochs={epochs}: halving needs to know the run's length")
    selection = rounds.selection
    if rounds.halves and not (trainer.fast_dev_run or selection.rung_epochs(epochs // count)):
        raise ValueError(
            f"--model.halving={selection.halving} drops nothing in a round of {epochs // count} "
            "epoch: --trainer.max_epochs"
        )


def check_definition(own: Mapping[str, object], saved: Mapping[str, object]) -> None:
    """Refuses a checkpoint of a study that was defined otherwise.

    Args:
        own: hyperparameters of this study
        saved: those in the checkpoint

    Raises:
        ValueError: with the first option that differs; only the target may
    """
    for name in own.keys() & saved.keys() - {"target"}:
        one, other = (json.dumps(v[name], sort_keys=True, default=str) for v in (own, saved))
        if not name.startswith("_") and one != other:
            raise ValueError(f"--model.{name} differs from that of the study in the checkpoint")


def check_length(rounds: Rounds, saved: int | None) -> None:
    """Refuses to resume in a run of another length, where it decides when members change.

    Args:
        rounds: of this run
        saved: epochs of a round in the run of the checkpoint

    Raises:
        ValueError: if they differ
    """
    if (rounds.halves or rounds.period) and rounds.epochs != saved:
        raise ValueError(
            "--trainer.max_epochs differs from that of the study in the checkpoint, whose halving "
            "and rounds it decides"
        )


def check_fit(
    trainer: Trainer,
    rounds: Rounds,
    networks: Iterable[Networks],
    loss: Loss,
    scheduled: bool,
) -> None:
    """Refuses options under which a member would not train as it does alone, and misfit networks.

    Args:
        trainer: about to fit
        rounds: of the search
        networks: of the members
        loss: knows how many outputs it needs
        scheduled: whether the members have schedules of their own

    Raises:
        ValueError: with the option to change
    """
    if "16" in trainer.precision and not trainer.precision.startswith("bf16"):
        raise ValueError(
            f"--trainer.precision={trainer.precision}: one member's overflow would skip the "
            "step of all; bf16-mixed has none"
        )
    if any(isinstance(callback, Compile) for callback in trainer.callbacks):
        raise ValueError("--trainer.callbacks: Compile does not reach the members of a study")
    _check_changes(trainer, rounds)
    _check_decays(trainer, rounds, scheduled)
    for network in networks:
        check_network(network.made(0), trainer.datamodule, loss)


def _check_changes(trainer: Trainer, rounds: Rounds) -> None:
    """Refuses options under which members cannot change, or change without an evaluation."""
    if trainer.world_size > 1 and (rounds.halves or rounds.period):
        raise ValueError("halving and rounds change the members: --trainer.devices=1")
    every = trainer.check_val_every_n_epoch
    if rounds.halves and every != 1:
        raise ValueError("halving looks at each epoch: --trainer.check_val_every_n_epoch=1")
    if rounds.period and every and rounds.period % every:
        raise ValueError(
            f"--trainer.check_val_every_n_epoch={every}: a round of {rounds.period} epochs would "
            "not end with a look at its members"
        )


def _check_decays(trainer: Trainer, rounds: Rounds, scheduled: bool) -> None:
    """Refuses a second owner of the rates, and a schedule that does not start anew in a round."""
    if any(isinstance(c, StochasticWeightAveraging) for c in trainer.callbacks):
        raise ValueError(
            "--trainer.callbacks: StochasticWeightAveraging sets rates, which the search gives"
        )
    decays = [c for c in trainer.callbacks if isinstance(c, (LRDecay, LossDrivenLR))]
    if decays and scheduled:
        name = type(decays[0]).__name__
        raise ValueError(f"--model.schedules and the callback {name} would both set the rates")
    if decays and rounds.period:
        raise ValueError(
            "--trainer.callbacks: a schedule over all rounds would give each another part of it; "
            "--model.schedules starts anew with each"
        )


def check_start(
    trainer: Trainer, population: Population, metric: str, target: float | None, scheduled: bool
) -> None:
    """Refuses what L-BFGS is wrong with, and a target of a metric that is not evaluated.

    Args:
        trainer: about to take its first step
        population: that it trains
        metric: that trials are compared by
        target: value of it that the members are to reach, or None
        scheduled: whether the members have schedules of their own

    Raises:
        ValueError: with the option to change
    """
    networks = [network.template for network in population.networks.values()]
    check_lbfgs(trainer, [part.stock for part in population.parts], networks, scheduled)
    if target is not None and metric != "loss" and not sum(trainer.num_val_batches):
        raise ValueError(
            f"--model.target={target:g} is of val/{metric}, and there is no validation: "
            "--data.val_size, or --model.metric=loss"
        )


def check_scale(scale: Tensor, trained: Tensor | None) -> None:
    """Refuses data whose target is standardised otherwise than the members were trained on.

    Args:
        scale: mean and standard deviation of the target of each of the data's streams, (streams, 2)
        trained: the same as a checkpoint has it, None without one

    Raises:
        ValueError: if they differ
    """
    if trained is not None and not alike(scale.T.tolist(), trained.T.tolist()):
        raise ValueError(
            "--data has another training target than the study was trained on: give it the file, "
            "columns and sizes of the fit, and --model.splits and --model.seeds"
        )


def check_evaluation(trainer: Trainer, scale: Tensor, trained: Tensor | None) -> None:
    """Refuses other data than the fit's, and several processes.

    Args:
        trainer: about to test or predict
        scale: as in `check_scale`
        trained: as in `check_scale`

    Raises:
        ValueError: with the option to change
    """
    check_scale(scale, trained)
    if trainer.world_size > 1:
        raise ValueError("a study is evaluated on one process: --trainer.devices=1")
