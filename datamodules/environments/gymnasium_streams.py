"""Environments of gymnasium side by side, which go on exactly where a killed run left them."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from datamodules.environments.environment import Spaces
from datamodules.environments.streams import Step, Streams
from datamodules.loading.loader import keyed_seed

if TYPE_CHECKING:  # an extra
    import gymnasium


def make(name: str, options: dict[str, Any]) -> "Callable[[], gymnasium.Env]":
    """A function that makes an environment of gymnasium.

    Args:
        name: its id, CartPole-v1; of a package that has to be imported, package:Name-v0
        options: of its constructor

    Raises:
        ValueError: if gymnasium is not installed, or knows no such environment
    """
    try:
        import gymnasium
    except ModuleNotFoundError as error:
        raise ValueError("--data=Gymnasium needs gymnasium: pip install -e '.[rl]'") from error

    def made() -> "gymnasium.Env":
        try:
            return gymnasium.make(name, **options)
        except (gymnasium.error.Error, ImportError, TypeError) as error:
            said = str(error).splitlines()[0]
            if lacking := re.findall(r"pip install ['\"]?([\w\[\]-]+)", said):
                said = f"it needs {' and then '.join(lacking)}, by pip"
            raise ValueError(f"--data.id={name}: {said}") from error

    return made


def spaces_of(env: "gymnasium.Env", name: str) -> Spaces:
    """What a policy sees and does in an environment of gymnasium.

    Args:
        env: made
        name: its id, for messages

    Raises:
        ValueError: if observations are no arrays of numbers, or actions neither choices nor such
    """
    from gymnasium.spaces import Box, Discrete

    seen, done = env.observation_space, env.action_space
    if not isinstance(seen, Box):
        raise ValueError(f"--data.id={name}: observations are {seen}, not an array of numbers")
    count = int(np.prod(seen.shape))
    if isinstance(done, Discrete):
        return Spaces(count, int(done.n))
    if isinstance(done, Box):
        low, high = (tuple(map(float, bound.flatten())) for bound in (done.low, done.high))
        return Spaces(count, len(low), low, high)
    raise ValueError(f"--data.id={name}: actions are {done}, neither choices nor an array")


class GymnasiumStreams(Streams):
    """Environments of gymnasium, by its vector API, with the true last observation of episodes.

    gymnasium begins the next episode by itself: by default in a step of its own, whose reward is 0
    and which is no transition; or in the same step, where the last observation is hidden. Here that
    is disabled, and episodes are begun by number, each with a seed of its own.

    What a simulator holds is not known. It goes on exactly all the same: an episode is a function
    of its seed and actions, so that these are kept, and taken again when a run is resumed.

    Args:
        made: makes an environment
        name: its id, for messages
        numbers: as in Streams
        seed: as in Streams
    """

    def __init__(
        self, made: "Callable[[], gymnasium.Env]", name: str, numbers: Tensor, seed: int
    ) -> None:
        from gymnasium.vector import AutoresetMode, SyncVectorEnv

        modes = {"autoreset_mode": AutoresetMode.DISABLED}
        self.vector = SyncVectorEnv([made] * len(numbers), **modes)
        super().__init__(spaces_of(self.vector.envs[0], name), numbers, seed)
        self.first_choice = getattr(self.vector.single_action_space, "start", 0)
        self.begin_all()

    def step(self, actions: Tensor) -> Step:
        seen, rewards, terminated, truncated, _ = self.vector.step(self._taken(actions))
        for history, action in zip(self.histories, actions.cpu(), strict=True):
            history.append(action)
        self.returns += torch.from_numpy(rewards)
        self.observations = found = self._seen(seen)
        over = torch.from_numpy(terminated | truncated)
        returns = torch.where(over, self.returns, torch.nan)
        if over.any():
            self._begin(over)
        device = self.numbers.device
        ends = (
            torch.from_numpy(flags).to(device) for flags in (terminated, truncated & ~terminated)
        )
        return Step(found, torch.from_numpy(rewards).float().to(device), *ends, returns.to(device))

    def begin_all(self, episode: int = 0) -> None:
        self.episodes = torch.full((len(self.numbers),), episode - 1)
        count = len(self.numbers)
        self.histories: list[list[Tensor]] = [[] for _ in range(count)]
        self.returns = torch.zeros(count, dtype=torch.double)
        self.observations = torch.zeros(count, self.spaces.observation, device=self.numbers.device)
        self._begin(torch.ones(count, dtype=torch.bool))

    def _begin(self, where: Tensor) -> None:
        """Begins the next episodes, where a mask (batch,) is true."""
        self.episodes = self.episodes + where
        options = {"reset_mask": where.numpy()}
        seen, _ = self.vector.reset(seed=self._seeds(), options=options)
        self.returns = self.returns.masked_fill(where, 0.0)
        for number in where.nonzero().flatten().tolist():
            self.histories[number] = []
        mask = where.to(self.numbers.device).unsqueeze(1)
        self.observations = torch.where(mask, self._seen(seen), self.observations)

    def _seeds(self) -> list[int]:
        keys = zip(self.numbers.tolist(), self.episodes.tolist(), strict=True)
        return [keyed_seed(self.seed, *key) % 2**31 for key in keys]

    def _seen(self, observations: np.ndarray) -> Tensor:
        flat = torch.from_numpy(np.array(observations, dtype=np.float32)).flatten(1)
        return flat.to(self.numbers.device)

    def _taken(self, actions: Tensor) -> np.ndarray:
        """Actions as gymnasium takes them."""
        space = self.vector.single_action_space
        given = actions.cpu().numpy()
        if self.spaces.is_discrete:
            return given + self.first_choice
        return given.reshape(-1, *space.shape).clip(space.low, space.high).astype(space.dtype)

    def state(self) -> dict[str, Tensor]:
        longest = max(map(len, self.histories))
        lengths = torch.tensor([len(history) for history in self.histories])
        tail = () if self.spaces.is_discrete else (self.spaces.actions,)
        kind = torch.int64 if self.spaces.is_discrete else torch.float32
        actions = torch.zeros(len(self.histories), longest, *tail, dtype=kind)
        for row, history in zip(actions, self.histories, strict=True):
            if history:
                row[: len(history)] = torch.stack(history)
        return {"episodes": self.episodes, "elapsed": lengths, "actions": actions}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.begin_all()
        self.episodes = state["episodes"].cpu() - 1
        self._begin(torch.ones(len(self.numbers), dtype=torch.bool))
        for number, length in enumerate(state["elapsed"].tolist()):
            self.histories[number] = list(state["actions"][number, :length].cpu())
            for action in self.histories[number]:
                seen, reward = self._again(number, action)
                self.returns[number] += reward
            if length:
                self.observations[number] = self._seen(seen[None])[0]

    def _again(self, number: int, action: Tensor) -> tuple[np.ndarray, float]:
        """Takes a step of one environment again."""
        taken = self._taken(action.unsqueeze(0))[0]
        seen, reward, *_ = self.vector.envs[number].step(taken)
        return seen, float(reward)

    def __del__(self) -> None:
        with suppress(AttributeError):  # it could not be made
            self.vector.close()
