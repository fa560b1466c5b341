"""Deep Q-networks: the values of actions are fitted to what comes of them."""

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from jsonargparse import Namespace
from jsonargparse.typing import ClosedUnitInterval, NonNegativeInt, PositiveInt
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.loading.keyed import uniforms
from recipes.dqn.checks import check_network, check_setup, check_warmup
from recipes.dqn.losses import epsilon, next_values
from recipes.dqn.progress import Progress
from recipes.parts.episodes import evaluate, in_words, spaces_of
from recipes.parts.groups import Groups, make_optimizer
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import full
from recipes.parts.logs import log_terms
from recipes.parts.networks import Frozen, evaluating
from recipes.parts.weights import Patterns, Start

ACTIONS = 1  # in the key of random actions
LOSSES = {"squared": F.mse_loss, "huber": F.smooth_l1_loss}


class DQN(LightningModule):
    """Trains a network to tell what each action is worth.

    A step is an update, and the steps of the environments that belong to it.

    Args:
        network: MLP, DuellingMLP, or any class_path: maps observations (batch, inputs) to the
            values of actions (batch, outputs)
        steps: of each environment between two updates
        warmup: steps of all environments together, by random actions, before the first update
        memory: transitions that are remembered, the latest ones
        discount: gamma, by which a reward counts less for each step that it is later
        n_steps: rewards of an update, before the value of what follows
        double: whether the network chooses the action that the target network judges
        loss: squared: of the temporal difference; huber: linear beyond an error of 1
        exploration: steps of all environments together over which epsilon falls linearly
        epsilon_start: probability of a random action at first
        epsilon_end: at the end of exploration
        target_interval: updates from one change of the target network to the next
        target_rate: share of the network that the target network takes then (Polyak); 1: a copy
        optimizer: of the network's parameters; any class_path; default: fused Adam at 0.00025
        weights: file of the weights to start from: a state_dict of anyone, by torch.save or
            safetensors, or a checkpoint; not read when a run is resumed or tested
        weights_except: layers, or patterns of names, that stay as initialised
        groups: parameter groups: rates and weight decay by patterns of names, and layer-wise
            decay; by default none
    """

    monitor = ("val/return", "max")  # by which a state is the best

    def __init__(
        self,
        network: nn.Module,
        steps: PositiveInt = 10,
        warmup: NonNegativeInt = 10_000,
        memory: PositiveInt = 10_000,
        discount: ClosedUnitInterval = 0.99,
        n_steps: PositiveInt = 1,
        double: bool = False,
        loss: Literal["squared", "huber"] = "squared",
        exploration: PositiveInt = 250_000,
        epsilon_start: ClosedUnitInterval = 1.0,
        epsilon_end: ClosedUnitInterval = 0.05,
        target_interval: PositiveInt = 50,
        target_rate: ClosedUnitInterval = 1.0,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, 2.5e-4, fused=True),
        weights: str | None = None,
        weights_except: Patterns = None,
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.network, self.optimizer = network, optimizer
        self.groups = groups
        self.target = Frozen(copy.deepcopy(network))
        self.steps, self.warmup, self.loss = steps, warmup, LOSSES[loss]
        self.is_double = double  # `double` is a method of every module
        self.remembered = (int(memory), float(discount), int(n_steps))
        self.explored = (float(epsilon_start), float(epsilon_end), int(exploration))
        self.target_interval, self.target_rate = target_interval, float(target_rate)
        self.start = Start(weights_except, weights=weights)
        self.progress: Progress | None = None  # of the environments
        self.saved: dict[str, Any] | None = None  # of the checkpoint that is gone on from

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, int]:
        """The sizes of a network that the data need, where they are not given."""
        return {"outputs": spaces_of(data).actions}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.optimizer, self.groups, network=self.network)

    # The method.

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        progress = self.progress
        if progress.updates % self.target_interval == 0 and progress.updates:
            self.move_target()
        if not progress.updates and self.warmup:
            self.collect(-(-self.warmup // progress.acting.count))
        self.collect(self.steps)
        rows = progress.sample(len(batch[0]))
        with torch.no_grad():
            following = rows.following.to(self.dtype)
            online = full(self.network(following)) if self.is_double else None
            later = next_values(full(self.target(following)), online)
            targets = rows.rewards + rows.discounts * later
        values = full(self.network(rows.observations.to(self.dtype)))
        chosen = values.gather(1, rows.actions.unsqueeze(1)).squeeze(1)
        loss = self.loss(chosen, targets)
        terms = {"train/loss": loss, "train/value": chosen.mean()}
        terms["train/epsilon"] = torch.tensor(self.epsilon(progress.acting.steps))
        log_terms(self, terms | progress.acting.totals(), len(batch[0]))
        return loss

    @torch.no_grad()
    def collect(self, steps: int) -> None:
        """Acts, at random with probability epsilon, and remembers what comes of it."""
        progress, streams = self.progress, self.progress.acting.streams
        key = (progress.acting.seed, ACTIONS, progress.acting.steps)
        uniform = uniforms(streams.numbers, 2 * steps, *key).view(-1, steps, 2)
        chances, choices = uniform.transpose(0, 1).unbind(2)
        choices = (choices * streams.spaces.actions).long()
        before, count = progress.acting.steps, progress.acting.count
        rates = [self.epsilon(before + step * count) for step in range(steps)]
        is_random = chances < chances.new_tensor(rates).unsqueeze(1)
        found = []
        steps_of = zip(is_random, choices, is_random.all(1).tolist(), strict=True)
        with evaluating(self.network):
            for explores, choice, all_explore in steps_of:
                seen, actions = streams.observations, choice
                if not all_explore:
                    best = self.network(seen.to(self.dtype)).argmax(1)
                    actions = torch.where(explores, choice, best)
                step = streams.step(actions)
                over = step.terminated | step.truncated
                row = (step.rewards, step.observations, step.terminated, over, step.returns)
                found.append((seen, actions, *row))
        *columns, returns = map(torch.stack, zip(*found, strict=True))
        names = ("observations", "actions", "rewards", "following", "terminated", "over")
        columns = (column.transpose(0, 1) for column in columns)
        progress.add(dict(zip(names, columns, strict=True)), returns)

    def epsilon(self, step: int) -> float:
        """The probability of a random action after so many steps of all environments."""
        return epsilon(step, *self.explored)

    @torch.no_grad()
    def move_target(self) -> None:
        """Moves the target network towards the network: Q' <- (1 - rate) Q' + rate Q."""
        ours, theirs = (n.state_dict().values() for n in (self.network, self.target.network))
        for mine, other in zip(ours, theirs, strict=True):
            if self.target_rate < 1 and mine.is_floating_point():
                other.lerp_(mine, self.target_rate)
            else:
                other.copy_(mine)

    # Evaluation.

    def act(self, observations: Tensor, numbers: Tensor, step: int) -> Tensor:
        """The best actions, (batch,), of observations (batch, observation)."""
        return self.network(observations.to(self.dtype)).argmax(1)

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        evaluate(self, batch[0])

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        if self.progress is not None and self.trainer.state.fn == "fit":
            self.progress.acting.log_steps()

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        return evaluate(self, batch[0])

    # Start and end of a fit, and checkpoints.

    def setup(self, stage: str) -> None:
        check_setup(self.trainer)
        check_network(self.network, self.trainer.datamodule, self.device)

    def on_fit_start(self) -> None:
        environments = self.trainer.datamodule.total
        check_warmup(self.warmup, self.steps, self.remembered[2], environments)
        self.start.give(self, weights=self.network)

    def on_train_start(self) -> None:
        self.progress = Progress(self, *self.remembered)
        weights = self.network.state_dict()
        if self.saved is not None:
            weights = self.saved["target"]
            self.progress.restore(self.saved)
        self.target.network.load_state_dict(weights)
        self.saved = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.progress is not None:
            target = {n: w.cpu().clone() for n, w in self.target.network.state_dict().items()}
            checkpoint["progress"] = self.progress.state() | {"target": target}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.saved = checkpoint.get("progress")

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """What the policy collects at the end."""
        return in_words(metrics, self.progress and self.progress.acting)
