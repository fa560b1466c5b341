"""Policy gradients: REINFORCE, A2C and PPO are one method with other arguments."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jsonargparse import Namespace
from jsonargparse.typing import ClosedUnitInterval, PositiveInt
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from datamodules.loading.keyed import uniforms
from recipes.parts.episodes import evaluate, in_words, spaces_of
from recipes.parts.groups import Groups, make_optimizer
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import filled, full, mean_of_known
from recipes.parts.logs import is_logging_step, log_terms
from recipes.parts.networks import evaluating
from recipes.parts.noise import global_seed
from recipes.parts.numbers import NonNegativeFinite, PositiveFinite
from recipes.parts.weights import Patterns, Start
from recipes.policy_gradient.checks import check_network, check_setup, minibatches
from recipes.policy_gradient.distributions import Distribution, distribution_of
from recipes.policy_gradient.losses import generalized_advantages, policy_loss, value_loss
from recipes.policy_gradient.progress import Progress
from recipes.policy_gradient.rollout import Experience, Rollout, draws, experience

ACTIONS, EVALUATION = 1, 2  # in the keys of random numbers


class PolicyGradient(LightningModule):
    """Trains a policy to collect rewards, and a value network as its baseline.

    Args:
        network: ActorCritic, GaussianActorCritic for continuous actions, or any class_path: maps
            observations (batch, inputs) to the policy's outputs (batch, outputs) and values
            (batch,); a part of it called `policy` may give the outputs alone
        steps: of each environment that an iteration learns from; null: a whole episode of each
        passes: over these steps, in an iteration
        discount: gamma, by which a reward counts less for each step that it is later
        gae_lambda: of generalized advantage estimates; 0: one step and a value; 1: all rewards
        clip: e of PPO: an action's probability may change by a factor of 1 - e to 1 + e in an
            iteration, then its gradient is 0; null: without a limit, which is A2C's loss
        value_clip: the same of values, in their unit
        value_weight: of the value loss
        entropy_weight: of the entropy, which the loss takes off
        normalize: each minibatch's advantages, to mean 0 and deviation 1
        evaluation: greedy: by the most probable actions; sampled: as in training
        optimizer: of the network's parameters; any class_path; default: fused Adam at 0.0003
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
        steps: PositiveInt | None = 128,
        passes: PositiveInt = 4,
        discount: ClosedUnitInterval = 0.99,
        gae_lambda: ClosedUnitInterval = 0.95,
        clip: PositiveFinite | None = 0.2,
        value_clip: PositiveFinite | None = None,
        value_weight: NonNegativeFinite = 0.5,
        entropy_weight: NonNegativeFinite = 0.0,
        normalize: bool = True,
        evaluation: Literal["greedy", "sampled"] = "greedy",
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, 3e-4, fused=True),
        weights: str | None = None,
        weights_except: Patterns = None,
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.network, self.optimizer, self.evaluation = network, optimizer, evaluation
        self.groups = groups
        self.steps, self.passes, self.normalize = steps, passes, normalize
        self.discount, self.gae_lambda = float(discount), float(gae_lambda)
        self.clip, self.value_clip = clip and float(clip), value_clip and float(value_clip)
        self.value_weight, self.entropy_weight = float(value_weight), float(entropy_weight)
        self.start = Start(weights_except, weights=weights)
        self.progress: Progress | None = None  # of the environments
        self.saved: dict[str, Any] | None = None  # of the checkpoint that is gone on from

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, int]:
        """The sizes of a network that the data need, where they are not given."""
        spaces = spaces_of(data)
        return {"outputs": distribution_of(spaces).outputs(spaces)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.optimizer, self.groups, network=self.network)

    # The method.

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        if self.progress.is_iteration_over:
            self.progress.begin_iteration(*self.collect())
        rows, mean, deviation = self.progress.next_minibatch()
        outputs, values = map(full, self.network(rows.observations))
        log_probs = self.distribution.log_prob(outputs, rows.actions)
        advantages = rows.advantages
        if self.normalize:
            advantages = (advantages - mean) / (deviation + 1e-8)
        each = torch.stack(
            (
                policy_loss(log_probs, rows.log_probs, advantages, self.clip),
                value_loss(values, rows.values, filled(rows.targets), self.value_clip),
                self.distribution.entropy(outputs),
            )
        )
        policy, value, entropy = mean_of_known(self, each, rows.targets)
        loss = policy + self.value_weight * value - self.entropy_weight * entropy
        terms = {"loss": loss, "policy": policy, "value": value, "entropy": entropy}
        if is_logging_step(self.trainer):
            terms |= self.diagnoses(log_probs.detach() - rows.log_probs, rows.targets)
        terms = {f"train/{name}": term for name, term in terms.items()}
        log_terms(self, terms | self.progress.acting.totals(), len(batch[0]))
        return loss

    def diagnoses(self, log_ratio: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """How far the policy is from the one that acted: nats, and the share that is clipped.

        r - 1 - log r is Schulman's estimate (2020) of the KL divergence, unbiased and never
        negative.

        Args:
            log_ratio: log r, (batch,)
            targets: (batch,); NaN where no action was taken
        """
        ratio = log_ratio.exp()
        outside = (ratio - 1).abs() > (self.clip or torch.inf)
        each = torch.stack((ratio - 1 - log_ratio, outside.to(ratio.dtype)))
        kl, clipped = mean_of_known(self, each, targets)
        return {"kl": kl} | ({"clipped": clipped} if self.clip else {})

    @torch.no_grad()
    def collect(self) -> tuple[Rollout, Tensor]:
        """Has the policy act, and judges its actions.

        Returns:
            what the iteration learns from, and the returns of the episodes that ended, as
            `experience` has them
        """
        progress, data = self.progress, self.trainer.datamodule
        steps = self.steps or data.limit
        key = (data.seed, ACTIONS, progress.iterations)
        uniform = draws(progress.acting.streams.numbers, steps, data.spaces.actions, *key)
        noise = self.distribution.noise(uniform).to(self.dtype)
        policy = getattr(self.network, "policy", lambda seen: self.network(seen)[0])

        def choose(observations: Tensor, noise: Tensor) -> Tensor:
            return self.distribution.sample(full(policy(observations.to(self.dtype))), noise)

        whole = None if self.steps else progress.iterations
        with evaluating(self.network):
            found, returns = experience(progress.acting.streams, choose, noise, whole)
            return self.judged(found), returns

    def judged(self, found: Experience) -> Rollout:
        """Advantages of what was done, and the probabilities that it was done by."""
        flat = found.observations.flatten(0, 1).to(self.dtype)
        outputs, values = map(full, self.network(flat))
        _, following = map(full, self.network(found.following.flatten(0, 1).to(self.dtype)))
        values, following = (v.view_as(found.rewards) for v in (values, following))
        log_probs = self.distribution.log_prob(outputs, found.actions.flatten(0, 1))
        ends = found.terminated, found.over
        how = self.discount, self.gae_lambda
        rewards = found.rewards.to(values.dtype)
        advantages = generalized_advantages(rewards, values, following, *ends, *how)
        return Rollout(
            flat.view_as(found.observations),
            found.actions,
            log_probs.view_as(values),
            values,
            advantages,
            (advantages + values).masked_fill(~found.known, torch.nan),
        )

    # Evaluation.

    def act(self, observations: Tensor, numbers: Tensor, step: int) -> Tensor:
        """Actions of an evaluation: the most probable ones, or samples.

        Args:
            observations: (batch, observation)
            numbers: of the episodes, (batch,)
            step: of the episodes
        """
        outputs = full(self.network(observations.to(self.dtype))[0])
        if self.evaluation == "greedy":
            return self.distribution.mode(outputs)
        actions = self.trainer.datamodule.spaces.actions
        seed = global_seed()
        uniform = uniforms(numbers, actions, seed, EVALUATION, step).double() + 2.0**-25
        return self.distribution.sample(outputs, self.distribution.noise(uniform).to(outputs.dtype))

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        evaluate(self, batch[0])

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        if self.progress is not None and self.trainer.state.fn == "fit":
            self.progress.acting.log_steps()

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        return evaluate(self, batch[0])

    # Start and end of a fit, and checkpoints.

    @property
    def distribution(self) -> type[Distribution]:
        """Of actions."""
        return distribution_of(self.trainer.datamodule.spaces)

    def setup(self, stage: str) -> None:
        check_setup(self.trainer)
        check_network(self.network, self.distribution, self.trainer.datamodule, self.device)

    def on_fit_start(self) -> None:
        self.start.give(self, weights=self.network)

    def on_train_start(self) -> None:
        parts = minibatches(self.trainer, self.steps, self.passes)
        self.progress = Progress(self, parts, self.passes)
        if self.saved is not None:
            self.progress.restore(self.saved)
        self.saved = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.progress is not None:
            checkpoint["progress"] = self.progress.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.saved = checkpoint.get("progress")

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """What the policy collects at the end."""
        return in_words(metrics, self.progress and self.progress.acting)
