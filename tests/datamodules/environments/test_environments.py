"""Environments as tensors: gymnasium's, step by step, and episodes that follow each other."""

import gymnasium
import numpy as np
import pytest
import torch

from datamodules.control import Acrobot, CartPole, Gymnasium, MountainCar, Pendulum
from datamodules.environments.streams import TensorStreams

KINDS = {
    "CartPole-v1": CartPole.environment,
    "Acrobot-v1": Acrobot.environment,
    "MountainCar-v0": MountainCar.environment,
    "Pendulum-v1": Pendulum.environment,
}
TOLERANCE = 1e-12  # of a step, in float64: sines and cosines of numpy and torch differ in a digit


def actions_of(environment, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if environment.spaces.is_discrete:
        return torch.randint(environment.spaces.actions, shape, generator=generator)
    return 6 * torch.rand(*shape, 1, generator=generator) - 3  # beyond the bounds too


def in_gymnasium(env, state, action, name):
    """One step from a state: the next one, the observation, the reward, and whether it ends."""
    env.state, env.steps_beyond_terminated = state.numpy().copy(), None
    # Of float32 actions gymnasium's pendulum computes the torque in float32.
    given = action.double().numpy() if name == "Pendulum-v1" else int(action)
    seen, reward, terminated, _, _ = env.step(given)
    return np.array(env.state, dtype=np.float64), seen, reward, terminated


@pytest.mark.parametrize("name", KINDS)
def test_a_step_is_gymnasiums(name):
    """From states all along episodes of random actions, and from far ones, where speeds are cut."""
    environment, env = KINDS[name], gymnasium.make(name).unwrapped
    env.reset(seed=0)
    streams = TensorStreams(environment, torch.arange(3), 0)
    states, actions = [], actions_of(environment, (60, 3))
    for of_step in actions:
        states.append(streams.states)
        streams.step(of_step)
    states, actions = torch.cat(states), actions.flatten(0, 1)
    states, actions = (
        torch.cat((states, 6 * states, -states)),
        actions.repeat(3, *[1] * (actions.ndim - 1)),
    )
    found, rewards, terminated = environment.step(states, actions)
    theirs = [in_gymnasium(env, *row, name) for row in zip(states, actions, strict=True)]
    their_states, their_observations, their_rewards, their_ends = map(
        np.array, zip(*theirs, strict=True)
    )
    np.testing.assert_allclose(found, their_states, rtol=TOLERANCE, atol=TOLERANCE)
    seen = environment.observe(found).float()
    np.testing.assert_allclose(seen, their_observations, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(rewards, their_rewards, rtol=TOLERANCE)
    assert terminated.tolist() == their_ends.tolist()
    assert terminated.any() or name == "Pendulum-v1", "ends are compared, too"


@pytest.mark.parametrize("name", KINDS)
def test_episodes_begin_where_gymnasiums_do_and_are_as_long(name):
    environment, env = KINDS[name], gymnasium.make(name)
    assert environment.limit == env.spec.max_episode_steps
    begun = environment.begin(torch.rand(4000, environment.draws, dtype=torch.double))
    env.reset(seed=0)
    theirs = []
    for _ in range(400):
        env.reset()
        theirs.append(np.array(env.unwrapped.state, dtype=np.float64))
    theirs = np.stack(theirs)
    span = np.ptp(theirs, 0)
    np.testing.assert_allclose(begun.amin(0), theirs.min(0), atol=0.03 * span.max())
    np.testing.assert_allclose(begun.amax(0), theirs.max(0), atol=0.03 * span.max())
    np.testing.assert_allclose(begun.mean(0), theirs.mean(0), atol=0.15 * span.max())


@pytest.mark.parametrize("name", KINDS)
def test_a_batch_is_its_rows(name):
    environment = KINDS[name]
    states = environment.begin(torch.rand(5, environment.draws, dtype=torch.double)) * 2
    actions = actions_of(environment, (5,))
    together = environment.step(states, actions)
    for row in range(5):
        alone = environment.step(states[row : row + 1], actions[row : row + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_of_them[row], rtol=1e-14, atol=1e-14)


def run(streams, steps, seed=0):
    """What streams of choices bring by random actions that belong to an environment's number."""
    found = []
    for step in range(steps):
        choices = (streams.numbers * 7 + step * step * 3 + seed) % 11 % streams.spaces.actions
        found.append((streams.observations.clone(), *streams.step(choices)))
    return [torch.stack(column) for column in zip(*found, strict=True)]


def made(kind, numbers, seed=0):
    data = CartPole() if kind == "tensors" else Gymnasium("CartPole-v1")
    data.seed = seed
    return data.streams(torch.tensor(numbers))


@pytest.mark.parametrize("kind", ["tensors", "gymnasium"])
def test_an_environment_does_not_depend_on_its_neighbours(kind):
    together = run(made(kind, [0, 1, 2, 3]), 60)
    apart = run(made(kind, [3, 1]), 60)
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one[:, [3, 1]], other, equal_nan=True)
    assert not torch.equal(together[0], run(made(kind, [0, 1, 2, 3], seed=1), 60)[0])


@pytest.mark.parametrize("kind", ["tensors", "gymnasium"])
def test_streams_go_on_from_their_state(kind):
    streams = made(kind, [0, 1, 2])
    run(streams, 37)
    state = {name: value.clone() for name, value in streams.state().items()}
    assert all(isinstance(value, torch.Tensor) and len(value) == 3 for value in state.values())
    expected = run(streams, 50, seed=1)
    other = made(kind, [0, 1, 2])
    other.restore(state)
    for one, two in zip(expected, run(other, 50, seed=1), strict=True):
        assert torch.equal(one.nan_to_num(-1), two.nan_to_num(-1))


@pytest.mark.parametrize("kind", ["tensors", "gymnasium"])
def test_the_last_observation_of_an_episode_is_the_true_one(kind):
    """It is out of bounds, where the first observation of the next episode is not."""
    seen, following, rewards, terminated, truncated, returns = run(made(kind, [0, 1]), 80)
    assert terminated.any() and not truncated.any()
    last = following[terminated]
    assert ((last[:, 0].abs() > 2.4) | (last[:, 2].abs() > 0.2094)).all()
    begun = seen[1:][terminated[:-1]]
    assert (begun.abs() <= 0.05).all()
    assert torch.equal(following[:-1][~terminated[:-1]], seen[1:][~terminated[:-1]])
    assert (rewards == 1).all(), "no row is without a reward"
    ends = terminated.nonzero()[:, 0][terminated.nonzero()[:, 1] == 0]
    lengths = torch.diff(ends, prepend=torch.tensor([-1]))
    assert returns[:, 0][terminated[:, 0]].tolist() == lengths.tolist()
    assert returns[~terminated].isnan().all()


def test_gymnasiums_own_resets_would_be_rows_of_nothing_or_hide_the_last_observation():
    """Why its autoreset is disabled: the traps, in the version that is installed."""
    from gymnasium.vector import AutoresetMode, SyncVectorEnv

    make = [lambda: gymnasium.make("CartPole-v1")]
    following = SyncVectorEnv(make)
    following.reset(seed=0)
    while not following.step(np.array([0]))[2].any():
        pass
    seen, rewards, *_ = following.step(np.array([0]))
    assert rewards[0] == 0 and np.abs(seen).max() <= 0.05, "a row that is no transition"
    same = SyncVectorEnv(make, autoreset_mode=AutoresetMode.SAME_STEP)
    same.reset(seed=0)
    while True:
        seen, _, terminated, _, infos = same.step(np.array([0]))
        if terminated.any():
            break
    assert np.abs(seen).max() <= 0.05 and abs(infos["final_obs"][0][2]) > 0.2094


def test_a_limit_truncates_and_does_not_terminate():
    streams = Pendulum().streams(torch.arange(2))
    for step in range(1, 201):
        found = streams.step(torch.zeros(2, 1))
        assert not found.terminated.any()
        assert found.truncated.all() == (step == 200)
    assert (found.returns < 0).all()
    assert streams.elapsed.tolist() == [0, 0] and streams.episodes.tolist() == [1, 1]


def test_an_episode_that_terminates_at_its_limit_is_not_truncated():
    streams = CartPole().streams(torch.arange(1))
    streams.elapsed += 499
    streams.states[:, 2] = 0.3
    found = streams.step(torch.tensor([0]))
    assert found.terminated.all() and not found.truncated.any()


def test_continuous_actions_of_gymnasium_are_clipped_and_taken_again():
    ours, theirs = (
        Pendulum().streams(torch.arange(2)),
        Gymnasium("Pendulum-v1").streams(torch.arange(2)),
    )
    assert ours.spaces == theirs.spaces
    actions = torch.tensor([[5.0], [-0.5]])
    for _ in range(5):
        theirs.step(actions)
    other = Gymnasium("Pendulum-v1").streams(torch.arange(2))
    other.restore(theirs.state())
    for one, two in zip(theirs.step(actions), other.step(actions), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0, equal_nan=True)
