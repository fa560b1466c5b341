"""Races of reinforcement learning: CartPole-v1 by gymnasium, without Lightning."""

import time
from collections import deque
from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

import control_plain
from beside.race import Average, Marks, Side
from recipes.parts.networks import MLP

EPISODES = 20  # of an evaluation
CLEANRL_STEPS, CLEANRL_LOOKS = 500_000, 50
DQN_STEPS, DQN_LOOKS = 49_000, 8  # of the default, and how often it is evaluated
PPO_STEPS, PPO_LOOKS = 245_760, 6


def returned(act: Callable[[np.ndarray], np.ndarray], seed: int) -> float:
    """Mean return of `EPISODES` episodes.

    Args:
        act: maps observations (episodes, 4) to actions (episodes,)
        seed: of how they begin
    """
    vector = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * EPISODES)
    seen, _ = vector.reset(seed=1000 + seed)
    lives, total = np.ones(EPISODES, bool), np.zeros(EPISODES)
    while lives.any():
        seen, rewards, terminated, truncated, _ = vector.step(act(seen))
        total += lives * rewards
        lives &= ~(terminated | truncated)
    return float(total.mean())


def judged(network: nn.Module, seed: int) -> float:
    """Mean return of a network whose outputs are the values, or the logits, of the actions."""

    @torch.no_grad()
    def act(seen: np.ndarray) -> np.ndarray:
        found = network(torch.as_tensor(seen, dtype=torch.float32))
        outputs = found[0] if isinstance(found, tuple) else found
        return outputs.argmax(1).numpy()

    return returned(act, seed)


def looks(seed: int, mark: Marks, every: int) -> control_plain.Look:
    """Marks the return of a network after every so many steps, without the seconds of judging."""
    done = 0

    def look(step: int, network: nn.Module) -> None:
        nonlocal done
        if step // every > done:
            done, start = step // every, time.perf_counter()
            found = judged(network, seed)
            mark(found, time.perf_counter() - start)

    return look


def plain_ppo(seed: int, mark: Marks) -> None:
    """The default of recipes.policy_gradient."""
    given = {"environments": 64, "length": 32, "minibatch": 512, "passes": 5}
    given |= {"lr": 0.003, "entropy_weight": 0.0, "eps": 1e-8, "value_clip": None, "seed": seed}
    control_plain.ppo(PPO_STEPS, look=looks(seed, mark, PPO_STEPS // PPO_LOOKS), **given)


def cleanrl_ppo(seed: int, mark: Marks) -> None:
    """CleanRL's hyperparameters."""
    look = looks(seed, mark, CLEANRL_STEPS // CLEANRL_LOOKS)
    control_plain.ppo(CLEANRL_STEPS // 512 * 512, seed=seed, look=look)


def cleanrl_dqn(seed: int, mark: Marks) -> None:
    """CleanRL's hyperparameters."""
    look = looks(seed, mark, CLEANRL_STEPS // CLEANRL_LOOKS)
    control_plain.dqn(CLEANRL_STEPS, seed=seed, look=look)


def plain_dqn(seed: int, mark: Marks) -> None:
    """The default of recipes.dqn: double, with returns of three steps, judged by an average."""
    vector = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 4)
    network, target = (MLP(4, [256, 256], 2) for _ in range(2))
    target.load_state_dict(network.state_dict())
    average = Average(network, 300)
    optimizer = torch.optim.Adam(network.parameters(), 0.0023, fused=True)
    generator, replay = np.random.default_rng(seed), Replay(100_000)
    look, updates = looks(seed, mark, DQN_STEPS // DQN_LOOKS), 0
    seen, _ = vector.reset(seed=seed)
    latest: list[deque] = [deque(maxlen=3) for _ in range(4)]  # of each environment
    begins = np.zeros(4, bool)  # whether gymnasium's step only begins a new episode
    for step in range(0, DQN_STEPS, 4):
        with torch.no_grad():
            greedy = network(torch.as_tensor(seen)).argmax(1).numpy()
        explores = generator.random(4) < max(0.04, 1 - 0.96 * step / 8000)
        actions = np.where(explores, generator.integers(0, 2, 4), greedy)
        following, rewards, terminated, truncated, _ = vector.step(actions)
        for number, steps in enumerate(latest):
            if begins[number]:
                continue
            steps.append((seen[number], actions[number], rewards[number]))
            over = terminated[number] or truncated[number]
            while len(steps) == 3 or (over and steps):
                replay.add(steps, following[number], dead=terminated[number])
                steps.popleft()
        seen, begins = following, terminated | truncated
        if step < 1000:
            continue
        if updates and updates % 64 == 0:
            target.load_state_dict(network.state_dict())
        observation, action, total, after, factor = replay.drawn(generator, 64)
        with torch.no_grad():
            best = network(after).argmax(1, keepdim=True)
            wanted = total + factor * target(after).gather(1, best)[:, 0]
        values = network(observation).gather(1, action[:, None])[:, 0]
        optimizer.zero_grad()
        smooth_l1_loss(values, wanted).backward()
        optimizer.step()
        updates += 1
        average.follow()
        look(step + 4, average.network)


class Replay:
    """The latest transitions of some steps each."""

    def __init__(self, memory: int) -> None:
        self.memory, self.count = memory, 0
        kinds = [((4,), np.float32), ((), np.int64), ((), np.float32), ((4,), np.float32)]
        self.columns = [np.zeros((memory, *s), k) for s, k in [*kinds, ((), np.float32)]]

    def add(self, steps: deque, following: np.ndarray, dead: bool) -> None:
        """Takes the first of some steps, their discounted rewards, and what followed the last."""
        total = sum(0.99**k * reward for k, (_, _, reward) in enumerate(steps))
        observation, action, _ = steps[0]
        row = (observation, action, total, following, 0.0 if dead else 0.99 ** len(steps))
        for column, value in zip(self.columns, row, strict=True):
            column[self.count % self.memory] = value
        self.count += 1

    def drawn(self, generator: np.random.Generator, size: int) -> list[Tensor]:
        """Transitions, at random."""
        rows = generator.integers(0, min(self.count, self.memory), size)
        return [torch.as_tensor(column[rows]) for column in self.columns]


def stable_baselines(name: str, steps: int, every: int, **given: object) -> Side:
    """Stable-Baselines3, by the hyperparameters of its zoo.

    Args:
        name: of the algorithm
        steps: that it trains
        every: steps between two evaluations
        given: its hyperparameters

    https://github.com/DLR-RM/rl-baselines3-zoo, hyperparams/dqn.yml and ppo.yml
    """

    def side(seed: int, mark: Marks) -> None:
        import stable_baselines3
        from stable_baselines3.common.callbacks import EventCallback, EveryNTimesteps
        from stable_baselines3.common.env_util import make_vec_env

        class Judge(EventCallback):
            def _on_step(self) -> bool:
                start = time.perf_counter()
                found = returned(lambda o: self.model.predict(o, deterministic=True)[0], seed)
                mark(found, time.perf_counter() - start)
                return True

        environments = make_vec_env("CartPole-v1", 8 if name == "PPO" else 1, seed=seed)
        made = getattr(stable_baselines3, name)
        model = made("MlpPolicy", environments, seed=seed, device="cpu", **given)
        model.learn(steps, callback=EveryNTimesteps(every, Judge()))

    return side


ZOO_DQN = stable_baselines(
    "DQN",
    50_000,
    5000,
    learning_rate=2.3e-3,
    batch_size=64,
    buffer_size=100_000,
    learning_starts=1000,
    gamma=0.99,
    target_update_interval=10,
    train_freq=256,
    gradient_steps=128,
    exploration_fraction=0.16,
    exploration_final_eps=0.04,
    policy_kwargs={"net_arch": [256, 256]},
)
ZOO_PPO = stable_baselines(
    "PPO",
    100_000,
    10_000,
    n_steps=32,
    batch_size=256,
    gae_lambda=0.8,
    gamma=0.98,
    n_epochs=20,
    ent_coef=0.0,
    learning_rate=lambda left: 0.001 * left,
    clip_range=lambda left: 0.2 * left,
)
