"""Plain loops of PPO and of a deep Q-network, without Lightning, which ours are compared with.

Written as CleanRL's single files are: gymnasium's environments one by one, tensors made of NumPy
arrays, one optimizer. By default the same hyperparameters as recipes/*/cleanrl.yaml.
"""

from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from recipes.parts.networks import MLP
from recipes.policy_gradient.networks import ActorCritic

Look = Callable[[int, nn.Module], None]  # takes the steps so far, and the network


def look_away(step: int, network: nn.Module) -> None:
    """Looks at nothing."""


def ppo(
    steps: int,
    environments: int = 4,
    length: int = 128,
    minibatch: int = 128,
    passes: int = 4,
    lr: float = 2.5e-4,
    entropy_weight: float = 0.01,
    value_clip: float | None = 0.2,
    eps: float = 1e-5,
    seed: int = 0,
    look: Look = look_away,
) -> list[float]:
    """Trains CartPole-v1 for so many steps; returns the episodes' returns.

    Args:
        steps: of all environments together
        environments: that run at once
        length: steps of each between two updates
        minibatch: transitions in a step of the optimizer
        passes: over what was collected
        lr: at first; it falls linearly to 0
        entropy_weight: of the entropy, which the loss takes off
        value_clip: most that a value may change in an iteration; None: without a limit
        eps: of Adam
        seed: of the environments
        look: is called after each update
    """
    vector = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make("CartPole-v1")] * environments,
        autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP,  # as CleanRL's version has it
    )
    network = ActorCritic(4, [64, 64], 2)
    optimizer = torch.optim.Adam(network.parameters(), lr, eps=eps, fused=True)
    seen, _ = vector.reset(seed=seed)
    running, returns, iterations = np.zeros(environments), [], steps // (environments * length)
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = lr * (1 - iteration / iterations)
        rows = []
        for _ in range(length):
            observation = torch.as_tensor(seen, dtype=torch.float32)
            with torch.no_grad():
                logits, value = network(observation)
                actions = torch.distributions.Categorical(logits=logits).sample()
                log_prob = logits.log_softmax(1).gather(1, actions[:, None])[:, 0]
            seen, reward, terminated, truncated, _ = vector.step(actions.numpy())
            over = terminated | truncated
            running += reward
            returns += running[over].tolist()
            running[over] = 0
            done = torch.as_tensor(over, dtype=torch.float32)
            reward = torch.as_tensor(reward, dtype=torch.float32)
            rows.append((observation, actions, log_prob, value, reward, done))
        observations, actions, old, values, rewards, dones = map(
            torch.stack, zip(*rows, strict=True)
        )
        with torch.no_grad():
            _, following = network(torch.as_tensor(seen, dtype=torch.float32))
        advantages, carried = torch.zeros_like(rewards), torch.zeros(environments)
        for step in reversed(range(length)):
            delta = rewards[step] + 0.99 * following * (1 - dones[step]) - values[step]
            carried = delta + 0.99 * 0.95 * (1 - dones[step]) * carried
            advantages[step], following = carried, values[step]
        targets = (advantages + values).flatten()
        collected = (observations, actions, old, advantages, values)
        flat = [*(t.flatten(0, 1) for t in collected), targets]
        for _ in range(passes):
            for chosen in torch.randperm(len(targets)).split(minibatch):
                observation, action, before, advantage, worth, target = (t[chosen] for t in flat)
                logits, value = network(observation)
                log_probs = logits.log_softmax(1)
                ratio = (log_probs.gather(1, action[:, None])[:, 0] - before).exp()
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                clipped = ratio.clamp(0.8, 1.2) * advantage
                policy = -torch.minimum(ratio * advantage, clipped).mean()
                entropy = -(log_probs.exp() * log_probs).sum(1).mean()
                errors = (value - target).square()
                if value_clip is not None:
                    near = worth + (value - worth).clamp(-value_clip, value_clip)
                    errors = torch.maximum(errors, (near - target).square())
                loss = policy + 0.25 * errors.mean() - entropy_weight * entropy
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 0.5)
                optimizer.step()
        look((iteration + 1) * environments * length, network)
    return returns


def dqn(
    steps: int,
    warmup: int = 10_000,
    interval: int = 10,
    memory: int = 10_000,
    batch: int = 128,
    target_interval: int = 500,
    exploration: int = 250_000,
    lr: float = 2.5e-4,
    seed: int = 0,
    look: Look = look_away,
) -> tuple[list[float], list[float]]:
    """Trains CartPole-v1 for so many steps; returns the episodes' returns, and mean values.

    Args:
        steps: of the environment
        warmup: steps before the first update
        interval: steps between two updates
        memory: transitions that are remembered
        batch: transitions of an update
        target_interval: steps between two changes of the target network
        exploration: steps over which the share of random actions falls to 5 %
        lr: of Adam
        seed: of the environment and of what is random
        look: is called after each step behind the warm-up
    """
    env = gymnasium.make("CartPole-v1")
    network, target = (MLP(4, [120, 84], 2) for _ in range(2))
    target.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr, fused=True)
    held = [
        np.zeros((memory, *shape), kind)
        for shape, kind in (
            ((4,), np.float32),
            ((), np.int64),
            ((), np.float32),
            ((4,), np.float32),
            ((), np.float32),
        )
    ]
    seen, _ = env.reset(seed=seed)
    generator, running, returns, means = np.random.default_rng(seed), 0.0, [], []
    for step in range(steps):
        if generator.random() < max(0.05, 1 - 0.95 * step / exploration):
            action = int(generator.integers(2))
        else:
            with torch.no_grad():
                action = int(network(torch.as_tensor(seen)[None]).argmax())
        following, reward, terminated, truncated, _ = env.step(action)
        row = (seen, action, reward, following, float(terminated))
        for column, value in zip(held, row, strict=True):
            column[step % memory] = value
        running += reward
        seen = following
        if terminated or truncated:
            returns.append(running)
            running, (seen, _) = 0.0, env.reset()
        if step < warmup:
            continue
        if step % interval == 0:
            chosen = generator.integers(0, min(step + 1, memory), batch)
            rows = (torch.as_tensor(column[chosen]) for column in held)
            observation, action, reward, after, dead = rows
            with torch.no_grad():
                wanted = reward + 0.99 * (1 - dead) * target(after).amax(1)
            values = network(observation).gather(1, action[:, None])[:, 0]
            loss = F.mse_loss(values, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            means.append(float(values.detach().mean()))
        if step % target_interval == 0:
            target.load_state_dict(network.state_dict())
        look(step, network)
    return returns, means
