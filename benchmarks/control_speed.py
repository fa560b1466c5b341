"""Steps a second of CartPole: PPO and a deep Q-network beside plain loops and Stable-Baselines3.

python benchmarks/control_speed.py [--methods ppo dqn] [--rounds 3]

All by CleanRL's hyperparameters on one thread, in turns, so that a busy machine slows all alike;
each round's number is environment steps by the process's own seconds, of training alone. `ours,
64 environments` is PPO by the default config, beside Stable-Baselines3 with 64, too.
"""

import argparse
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Adam

import control_plain
from callbacks import Threads
from datamodules.control import CartPole
from recipes.dqn import DQN
from recipes.parts.networks import MLP
from recipes.policy_gradient import PolicyGradient
from recipes.policy_gradient.networks import ActorCritic


class Clock(Callback):
    """Seconds of this process, from the first update's end to the last one's."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        now, steps = time.process_time(), pl_module.progress.acting.steps
        self.first = getattr(self, "first", (now, steps))
        self.last = (now, steps)


def ours(module: LightningModule, data: CartPole, clip: float | None) -> float:
    """Steps a second of a recipe, without its first iteration."""
    clock = Clock()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=clip,
        callbacks=[Threads(), clock],
    )
    trainer.fit(module, datamodule=data)
    return (clock.last[1] - clock.first[1]) / (clock.last[0] - clock.first[0])


def our_ppo(environments: int, steps: int, batch: int, passes: int, iterations: int) -> float:
    """PPO of this project."""
    module = PolicyGradient(
        ActorCritic(4, [64, 64], 2),
        steps=steps,
        passes=passes,
        value_clip=0.2,
        entropy_weight=0.01,
        optimizer=lambda params: Adam(params, 2.5e-4, eps=1e-5, fused=True),
    )
    updates = iterations * passes * environments * steps // batch
    return ours(module, CartPole(environments, batch, updates), 0.5)


def our_dqn(updates: int) -> float:
    """A deep Q-network of this project."""
    return ours(DQN(MLP(4, [120, 84], 2)), CartPole(1, 128, updates), None)


def timed(train: Callable[[], object], steps: int) -> float:
    """Steps a second of a function that takes so many."""
    start = time.process_time()
    train()
    return steps / (time.process_time() - start)


def their_ppo(environments: int, steps: int, batch: int, passes: int, iterations: int) -> float:
    """PPO of Stable-Baselines3."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    vector = make_vec_env("CartPole-v1", environments)
    how = {"n_steps": steps, "batch_size": batch, "n_epochs": passes, "ent_coef": 0.01}
    model = PPO("MlpPolicy", vector, learning_rate=2.5e-4, clip_range_vf=0.2, device="cpu", **how)
    total = environments * steps * iterations
    return timed(lambda: model.learn(total), total)


def their_dqn(steps: int) -> float:
    """The deep Q-network of Stable-Baselines3."""
    from stable_baselines3 import DQN as TheirDQN

    how = {"buffer_size": 10_000, "learning_starts": 0, "train_freq": 10, "batch_size": 128}
    how |= {"target_update_interval": 500, "policy_kwargs": {"net_arch": [120, 84]}}
    # As far as the first steps of 250,000 come down to: nearly all actions are random.
    how |= {"exploration_fraction": 1.0, "exploration_final_eps": 0.98}
    model = TheirDQN("MlpPolicy", "CartPole-v1", learning_rate=2.5e-4, device="cpu", **how)
    return timed(lambda: model.learn(steps), steps)


WAYS = {
    "ppo": {
        "ours, 4 environments": partial(our_ppo, 4, 128, 128, 4, 20),
        "plain loop, 4": lambda: timed(lambda: control_plain.ppo(5120), 5120),
        "Stable-Baselines3, 4": partial(their_ppo, 4, 128, 128, 4, 10),
        "ours, 64 environments": partial(our_ppo, 64, 32, 512, 5, 10),
        "Stable-Baselines3, 64": partial(their_ppo, 64, 32, 512, 5, 5),
    },
    "dqn": {
        "ours": partial(our_dqn, 800),
        "plain loop": lambda: timed(partial(control_plain.dqn, 5000, warmup=0), 5000),
        "Stable-Baselines3": partial(their_dqn, 5000),
    },
}


def main() -> None:
    """Prints a table for each method."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--methods", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if find_spec("stable_baselines3") is None:
        sys.exit("error: what is compared is not installed: pip install stable-baselines3")
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for method in given.methods:
        found: dict[str, list[float]] = {name: [] for name in WAYS[method]}
        for _ in range(given.rounds):
            for name, way in WAYS[method].items():
                found[name].append(way())
        print(f"| {method} | steps a second |\n| --- | --- |")
        for name, speeds in found.items():
            print(f"| {name} | {statistics.median(speeds):,.0f} |", flush=True)


if __name__ == "__main__":
    main()
