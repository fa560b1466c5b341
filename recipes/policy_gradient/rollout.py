"""What a policy experiences between two of its iterations, and how minibatches share it out."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from datamodules.environments.streams import Streams
from datamodules.loading.keyed import uniforms
from datamodules.loading.missing import is_known

Choose = Callable[[Tensor, Tensor], Tensor]  # observations, noise of a step: actions


@dataclass
class Experience:
    """Steps of environments, in order: (environments, steps, ...) each.

    Attributes:
        observations: that actions answered to
        actions: that were taken
        rewards: of the steps
        following: observations behind the steps, at an episode's end the true last one
        terminated: whether nothing follows
        over: whether the episode ends, terminated or truncated
        known: whether the step was taken; of whole episodes, those behind the end are not
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    following: Tensor
    terminated: Tensor
    over: Tensor
    known: Tensor


@dataclass
class Rollout:
    """What updates learn from: (environments, steps, ...) each.

    Attributes:
        observations: that actions answered to
        actions: that were taken
        log_probs: of these actions, by the policy that took them, nats
        values: of the observations, by the value network of then
        advantages: of the actions
        targets: that values are fitted to; NaN where no step was taken
    """

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    targets: Tensor

    def until_the_last_known(self) -> "Rollout":
        """Without steps behind the last one that any environment has taken."""
        taken = int(is_known(self.targets).any(0).nonzero().max()) + 1
        return Rollout(**{name: value[:, :taken] for name, value in self.state().items()})

    def state(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        names = [field.name for field in fields(self)]
        return {name: getattr(self, name) for name in names}

    def at(self, steps: Tensor) -> "Rollout":
        """Some steps of each environment, flat: (environments * count, ...).

        Args:
            steps: numbers of them, (environments, count)
        """
        rows = torch.arange(len(steps), device=steps.device).unsqueeze(1)
        parts = {name: value[rows, steps] for name, value in self.state().items()}
        return Rollout(**{name: part.flatten(0, 1) for name, part in parts.items()})


def experience(
    streams: Streams, choose: Choose, noise: Tensor, episode: int | None = None
) -> tuple[Experience, Tensor]:
    """Has a policy act.

    Args:
        streams: that it acts in
        choose: the policy
        noise: of each step, (steps, environments, ...)
        episode: number of the episode that each environment's experience is the whole of, as far as
            there are steps; by default episodes go on, and follow each other

    Returns:
        the experience, and the returns of episodes that ended, (steps, environments), elsewhere NaN
    """
    rows: list[tuple[Tensor, ...]] = []
    known = torch.ones_like(streams.numbers, dtype=torch.bool)
    if episode is not None:
        streams.begin_all(episode)
    for of_step in noise.unbind():
        seen = streams.observations
        actions = choose(seen, of_step)
        step = streams.step(actions)
        over = step.terminated | step.truncated
        returns = torch.where(known, step.returns, torch.nan)
        row = (seen, actions, step.rewards, step.observations, step.terminated, over, known)
        rows.append((*row, returns))
        if episode is not None:
            known = known & ~over
            if not known.any():
                break
    *columns, returns = map(torch.stack, zip(*rows, strict=True))
    missing = returns.new_full((len(noise) - len(rows), len(streams.numbers)), torch.nan)
    returns = torch.cat((returns, missing))
    return Experience(*(column.transpose(0, 1).contiguous() for column in columns)), returns


def draws(numbers: Tensor, steps: int, count: int, *key: int) -> Tensor:
    """Random numbers of each step of each environment, (steps, environments, count) float64.

    A pure function of the environment's number and the key; above 0 and below 1.

    Args:
        numbers: of the environments, (environments,)
        steps: how many
        count: of numbers in a step
        key: such as a seed and an iteration
    """
    found = uniforms(numbers, steps * count, *key).double() + 2.0**-25
    return found.view(len(numbers), steps, count).transpose(0, 1)


def orders(numbers: Tensor, steps: int, passes: int, *key: int) -> Tensor:
    """The order of each environment's steps in each pass, (passes, environments, steps).

    It does not depend on how environments are shared out among processes: minibatch j takes the
    j-th part of every environment's order.

    Args:
        numbers: of the environments, (environments,)
        steps: of each
        passes: over them
        key: such as a seed and an iteration
    """
    keys = [uniforms(numbers, steps, *key, number) for number in range(passes)]
    return torch.stack(keys).argsort(dim=-1, stable=True)
