"""Tasks of reinforcement learning: environments in place of examples."""

from typing import Any, ClassVar, Literal

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.environments.acrobot import AcrobotEnvironment
from datamodules.environments.cart_pole import CartPoleEnvironment
from datamodules.environments.environment import Environment, Spaces
from datamodules.environments.gymnasium_streams import GymnasiumStreams, make, spaces_of
from datamodules.environments.mountain_car import MountainCarEnvironment
from datamodules.environments.pendulum import PendulumEnvironment
from datamodules.environments.streams import Streams, TensorStreams
from datamodules.loading.data_module import DataModule
from datamodules.loading.loader import Loader, data_rank, keyed_seed
from datamodules.loading.numbers import Numbers

__all__ = ["Acrobot", "CartPole", "Gymnasium", "MountainCar", "Pendulum"]
SPLITS = {"train": 0, "val": 1, "test": 2, "predict": 3}  # the keys of their beginnings
BLOCK = 1024  # episodes of an evaluation at a time


class Control(DataModule):
    """A task of reinforcement learning: environments that a recipe acts in.

    A batch is numbers alone: how many transitions an update learns from. The transitions
    themselves are what the recipe's own policy experiences. Episodes of training, validation, test
    and prediction begin differently.

    Args:
        environments: that run at once, on each process
        batch_size: transitions that an update learns from, on each process; full: of all that have
            been collected for it
        batches: updates in an epoch, after which the policy is evaluated
        episodes: of an evaluation, on all processes together
        seed: of how episodes begin; follows seed_everything

    Attributes:
        environment: the task as pure functions; None of gymnasium's
    """

    environment: Environment | None = None
    headings: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        environments: PositiveInt = 8,
        batch_size: PositiveInt | Literal["full"] = 256,
        batches: PositiveInt = 1000,
        episodes: PositiveInt = 20,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.environments, self.batch_size, self.batches = environments, batch_size, batches
        self.episodes, self.seed = episodes, seed

    @property
    def spaces(self) -> Spaces:
        """Of observations and actions."""
        return self.environment.spaces

    @property
    def limit(self) -> int | None:
        """Steps after which an episode is truncated, if there are such."""
        return self.environment.limit

    @property
    def input_shape(self) -> torch.Size:
        """Of an observation."""
        return torch.Size([self.spaces.observation])

    @property
    def total(self) -> int:
        """Environments on all processes."""
        return self.environments * data_rank(self.trainer)[1]

    def numbers(self, device: torch.device) -> Tensor:
        """The numbers of this process's environments, among those of all, (environments,)."""
        rank, processes = data_rank(self.trainer)
        return torch.arange(rank, self.total, processes, device=device)

    def streams(self, numbers: Tensor, split: str = "train") -> Streams:
        """Environments side by side.

        Args:
            numbers: of the environments, or of an evaluation's episodes, (batch,) int64
            split: that they are for, of SPLITS
        """
        return self.begun(numbers, keyed_seed(self.seed, SPLITS[split]))

    def begun(self, numbers: Tensor, seed: int) -> Streams:
        """Environments side by side, as `Streams` has them."""
        return TensorStreams(self.environment, numbers, seed)

    def train_dataloader(self) -> Loader:
        rank, processes = data_rank(self.trainer)
        size = self.environments if self.batch_size == "full" else self.batch_size
        rows = Numbers(self.batches * size * processes)
        return Loader(rows, size, drop_last=True, rank=rank, world_size=processes)

    def val_dataloader(self) -> Loader:
        rank, processes = data_rank(self.trainer)
        if self.episodes < processes:
            raise ValueError(
                f"--data.episodes={self.episodes} on {processes} processes: give one each, at least"
            )
        block = min(BLOCK, -(-self.episodes // processes))
        return Loader(Numbers(self.episodes), block, rank=rank, world_size=processes)

    test_dataloader = predict_dataloader = val_dataloader


class CartPole(Control):
    """A pole on a cart is kept upright: CartPole-v1, a reward of 1 a step, 500 at most."""

    environment = CartPoleEnvironment()


class Acrobot(Control):
    """Two links are swung up: Acrobot-v1, a reward of -1 a step, -500 at least."""

    environment = AcrobotEnvironment()


class MountainCar(Control):
    """A weak car swings up a hill: MountainCar-v0, a reward of -1 a step, -200 at least."""

    environment = MountainCarEnvironment()


class Pendulum(Control):
    """A pendulum is swung up by a continuous torque: Pendulum-v1, 200 steps of rewards below 0."""

    environment = PendulumEnvironment()


class Gymnasium(Control):
    """Any environment of gymnasium, or your own, by its id.

    Observations are arrays of numbers, actions choices or arrays. An environment has to be a
    function of its seed and the actions, as gymnasium asks for: a resumed run repeats the episodes
    that were under way.

    Args:
        id: LunarLander-v3; of a package that has to be imported, my_package:Mine-v0
        options: of the environment's constructor
        kwargs: as in Control
    """

    def __init__(
        self,
        id: str,
        options: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401 - the further ones of Control
    ) -> None:
        super().__init__(**kwargs)
        self.id, self.options = id, options or {}
        self._known: tuple[Spaces, int | None] | None = None  # it takes a moment to make one

    def _look(self) -> tuple[Spaces, int | None]:
        if self._known is None:
            env = make(self.id, self.options)()
            self._known = spaces_of(env, self.id), env.spec and env.spec.max_episode_steps
            env.close()
        return self._known

    @property
    def spaces(self) -> Spaces:
        return self._look()[0]

    @property
    def limit(self) -> int | None:
        return self._look()[1]

    def begun(self, numbers: Tensor, seed: int) -> Streams:
        return GymnasiumStreams(make(self.id, self.options), self.id, numbers, seed)
