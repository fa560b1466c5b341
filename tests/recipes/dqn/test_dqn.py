"""Deep Q-networks: the equations, the fixed point, the replay, and runs of the command line."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from datamodules.control import CartPole, Control
from datamodules.environments.environment import Environment, Spaces
from marks import slow
from recipes.dqn import DQN
from recipes.dqn.checks import check_setup
from recipes.dqn.losses import epsilon, n_step, next_values
from recipes.dqn.networks import DuellingMLP
from recipes.dqn.replay import Replay, Transitions, check_size
from recipes.parts.networks import MLP, LinearModel
from trains import fit, interrupt_after, middle_of_epoch, rows

FOLDER = Path("runs/dqn")
SHORT = (
    *("--model.warmup=30", "--model.memory=150", "--model.steps=3", "--model.exploration=200"),
    *("--model.epsilon_end=0.05", "--model.n_steps=1", "--model.target_interval=4"),
    *("--data.environments=2", "--data.batch_size=16", "--data.batches=24", "--data.episodes=2"),
    "--model.network.widths=[16,16]",
    "--trainer.max_epochs=1",
    "--trainer.log_every_n_steps=1",
    "--trainer.callbacks=[]",
)


def test_what_other_processes_have_trained_is_told_by_its_evaluation():
    assert DQN(MLP(4, [8], 2)).summary({"val/return": torch.tensor(9.0)}) == (
        "return: evaluation 9.0"
    )


# The equations.


def test_the_next_value_is_the_best_and_a_double_one_is_chosen_by_the_other_network():
    target, online = torch.tensor([[1.0, 5.0], [3.0, 2.0]]), torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    assert next_values(target).tolist() == [5.0, 3.0]
    assert next_values(target, online).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_returns_of_n_steps_are_their_sum(count):
    generator = torch.Generator().manual_seed(count)
    rewards = torch.randn(2, 9, generator=generator)
    following = torch.randn(2, 9, 3, generator=generator)
    terminated, truncated = torch.zeros(2, 2, 9, dtype=torch.bool)
    terminated[0, 3] = truncated[0, 6] = truncated[1, 0] = terminated[1, 8] = True
    over = terminated | truncated
    total, last, factor = n_step(rewards, following, terminated, over, 0.9, count)
    assert total.shape == (2, 10 - count)
    for env in range(2):
        for start in range(10 - count):
            wanted, step = 0.0, start
            for step in range(start, start + count):
                wanted += 0.9 ** (step - start) * rewards[env, step]
                if over[env, step]:
                    break
            after = 0.0 if terminated[env, step] else 0.9 ** (step - start + 1)
            torch.testing.assert_close(total[env, start], wanted)
            assert torch.equal(last[env, start], following[env, step])
            assert float(factor[env, start]) == pytest.approx(after)


def test_epsilon_falls_linearly_and_stays():
    found = [epsilon(step, 1.0, 0.2, 100) for step in (0, 25, 50, 100, 1000)]
    assert found == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2])


def test_a_duelling_network_is_a_value_and_advantages_without_their_mean():
    network = DuellingMLP(4, [8, 6], 3)
    seen = torch.randn(5, 4)
    hidden = (seen @ network.features[0].weight.T + network.features[0].bias).relu()
    value, advantage = (
        (hidden @ s[0].weight.T + s[0].bias).relu() @ s[2].weight.T + s[2].bias
        for s in (network.value, network.advantage)
    )
    torch.testing.assert_close(network(seen), value + advantage - advantage.mean(1, keepdim=True))
    torch.testing.assert_close(network(seen).mean(1), value[:, 0])
    with pytest.raises(ValueError, match="two layers at least"):
        DuellingMLP(4, [8], 3)


# The replay.


def transitions(first, count):
    numbers = torch.arange(first, first + count)
    seen = numbers.unsqueeze(1).float()
    return Transitions(seen, numbers, numbers.float(), seen + 1, numbers.float())


def test_the_newest_take_the_place_of_the_oldest():
    replay = Replay(5, 1, torch.device("cpu"))
    replay.add(transitions(0, 3))
    assert len(replay) == 3
    drawn = replay.sample(200, torch.Generator().manual_seed(0))
    assert set(drawn.actions.tolist()) == {0, 1, 2}, "and no empty row"
    replay.add(transitions(3, 4))
    assert sorted(replay.rows.actions.tolist()) == [2, 3, 4, 5, 6]
    replay.add(transitions(7, 12))  # more than it holds
    assert sorted(replay.rows.actions.tolist()) == [14, 15, 16, 17, 18]
    drawn = replay.sample(50, torch.Generator().manual_seed(0))
    assert torch.equal(drawn.following, drawn.observations + 1)
    other = Replay(5, 1, torch.device("cpu"))
    other.restore(replay.state())
    for each in (replay, other):
        each.add(transitions(19, 2))
    assert torch.equal(other.rows.actions, replay.rows.actions)


def test_a_replay_too_large_is_told_before_training(capsys, recipe):
    with pytest.raises(ValueError, match=r"--model\.memory=1000000000000 transitions are .* half"):
        check_size(10**12, 4)
    with pytest.raises(ValueError, match=r"--model\.memory"):
        recipe("dqn", "fit", *SHORT, "--model.memory=1000000000000")
    assert not list(FOLDER.glob("*/metrics.jsonl"))


# The fixed point.


class Chain(Environment):
    """Five states in a row: right of the last one a reward of 1, and the end; on the left 0.1."""

    spaces = Spaces(observation=5, actions=2)
    limit, draws = 4, 1

    def begin(self, uniforms):
        return (uniforms * 5).floor().double()

    def step(self, states, actions):
        place = states[:, 0] + 2 * actions - 1
        terminated, left = place > 4, place < 0
        rewards = terminated.double() + 0.1 * left.double()
        return place.clamp(0, 4).unsqueeze(1), rewards, terminated

    def observe(self, states):
        return torch.nn.functional.one_hot(states[:, 0].long(), 5).double()


class ChainData(Control):
    environment = Chain()


def value_iteration(discount):
    """Values of endless episodes, (states, actions)."""
    values = torch.zeros(5, 2, dtype=torch.double)
    for _ in range(2000):
        best = values.amax(1)
        values = torch.stack(
            (
                torch.tensor([0.1, 0, 0, 0, 0]) + discount * best[[0, 0, 1, 2, 3]],
                torch.tensor([0.0, 0, 0, 0, 1])
                + discount * best[[1, 2, 3, 4, 4]]
                - torch.tensor([0, 0, 0, 0, 1]) * discount * best[4],
            ),
            1,
        )
    return values


@pytest.mark.parametrize("double", [False, slow(True)])
def test_the_fixed_point_is_that_of_value_iteration(tmp_path, double):
    """Although every episode is truncated after four steps, and although some terminate."""
    module = DQN(
        LinearModel(5, 2, bias=False),
        steps=1,
        warmup=600,
        memory=1200,
        discount=0.9,
        double=double,
        exploration=10**9,
        epsilon_end=1.0,
        target_interval=4,
        optimizer=lambda params: torch.optim.SGD(params, 2.0),
    )
    data = ChainData(environments=4, batch_size=64, batches=350, episodes=1)
    fit(module, data, tmp_path, precision="64-true", limit_val_batches=0)
    found = module.network.weight.detach().T
    torch.testing.assert_close(found, value_iteration(0.9), rtol=0, atol=2e-3)


def test_the_target_network_follows(tmp_path):
    """By a share of the way every second update, as far as the weights before it."""
    seen = []

    class Watched(DQN):
        def move_target(self):
            before = self.target.network.weight.clone()
            super().move_target()
            moved = self.target.network.weight.clone()
            seen.append((self.progress.updates, before, self.network.weight.clone(), moved))

    module = Watched(
        LinearModel(5, 2), warmup=20, memory=50, steps=1, target_interval=2, target_rate=0.25
    )
    fit(module, ChainData(2, 8, 7, 1), tmp_path, limit_val_batches=0)
    assert [updates for updates, *_ in seen] == [2, 4, 6]
    for _, before, weights, moved in seen:
        torch.testing.assert_close(moved, 0.75 * before + 0.25 * weights)
        assert not torch.equal(before, weights)
    assert not any(name.startswith("target") for name in module.state_dict())
    assert len(list(module.parameters())) == 2


# Runs.


def saved(name, file="last"):
    return torch.load(FOLDER / name / f"checkpoints/{file}.ckpt", weights_only=True)


def tensors(state):
    for value in state.values():
        yield from tensors(value) if isinstance(value, dict) else [value]


KINDS = {
    "plain": (),
    "all": (
        *("--model.network=DuellingMLP", "--model.double=true", "--model.n_steps=5"),
        *("--model.target_interval=1", "--model.target_rate=0.1", "--model.loss=huber"),
    ),
    "gymnasium": ("--data=Gymnasium", "--data.id=CartPole-v1"),
}


@pytest.mark.parametrize("kind", [slow("plain"), "all", slow("gymnasium")])
def test_an_interrupted_run_resumes_exactly(recipe, monkeypatch, kind):
    """With the replay, the transitions whose return is not known yet, and the target network."""
    flags = [*KINDS[kind][:1], *SHORT, *KINDS[kind][1:]]
    recipe("dqn", "fit", *flags, "--name=whole")
    with monkeypatch.context() as patch:
        interrupt_after(14, patch)
        with pytest.raises(MemoryError):
            recipe("dqn", "fit", *flags, *middle_of_epoch(FOLDER / "cut"), "--name=cut")
    middle = saved("cut", "middle")["progress"]
    assert middle["updates"] == 10 and middle["replay"]["added"] > 0
    recipe("dqn", "fit", f"--ckpt_path={FOLDER}/cut/checkpoints/middle.ckpt")
    one, two = saved("whole"), saved("cut")
    assert one["global_step"] == 24
    for part in ("state_dict", "progress"):
        pairs = zip(tensors(one[part]), tensors(two[part]), strict=True)
        assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in pairs)
    assert rows(FOLDER / "whole") == rows(FOLDER / "cut")


def test_what_is_logged_and_remembered(recipe):
    recipe("dqn", "fit", *SHORT, "--model.n_steps=3", "--name=a")
    training = [row for row in rows(FOLDER / "a") if "train/loss" in row]
    assert [row["environment_steps"] for row in training] == [30 + 6 * n for n in range(1, 25)]
    assert [row["samples"] for row in training] == [16 * n for n in range(1, 25)]
    for row in training:
        wanted = epsilon(int(row["environment_steps"]), 1.0, 0.05, 200)
        assert row["train/epsilon"] == pytest.approx(wanted)
    state = saved("a")["progress"]
    # All steps but the last two of each environment, whose return is not known.
    assert state["replay"]["added"] == 30 + 24 * 6 - 2 * 2
    assert state["waiting"]["rewards"].shape == (2, 2)
    (last,) = [row for row in rows(FOLDER / "a") if "val/return" in row]
    assert last["val/return"] == last["val/length"] == -last["val/loss"]
    assert last["environment_steps"] == 30 + 24 * 6


def test_a_network_of_other_outputs_is_refused(recipe):
    with pytest.raises(ValueError, match="outputs=3, but the environment has 2 actions"):
        recipe("dqn", "fit", *SHORT, "--model.network.outputs=3")
    assert not list(FOLDER.glob("*/metrics.jsonl"))


def test_continuous_actions_are_refused(recipe):
    with pytest.raises(ValueError, match="--data=Pendulum has continuous actions"):
        recipe("dqn", "fit", "--data=Pendulum", *SHORT)


def test_several_processes_are_refused():
    trainer = SimpleNamespace(datamodule=CartPole(), strategy=None, world_size=2)
    with pytest.raises(ValueError, match=r"--trainer\.devices=2: the replay is of one process"):
        check_setup(trainer)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--model.warmup=0", "--model.n_steps=5"), r"warmup=0: .* give 4 or more"),
        (("--trainer.accumulate_grad_batches=2",), r"=2: rows are drawn .* --data.batch_size=32"),
    ],
)
def test_a_first_update_of_nothing_and_accumulation_are_refused(recipe, flags, said):
    with pytest.raises(ValueError, match=said):
        recipe("dqn", "fit", *SHORT, *flags)


def test_the_least_warmup_that_is_named_is_enough(recipe):
    recipe("dqn", "fit", *SHORT, "--model.warmup=4", "--model.n_steps=5", "--trainer.max_steps=2")


def test_an_mlp_of_the_house_is_a_q_network(recipe):
    recipe("dqn", "fit", *SHORT, "--name=a")
    network = MLP(4, [16, 16], 2)
    weights = saved("a")["state_dict"]
    network.load_state_dict({k.removeprefix("network."): v for k, v in weights.items()})
    assert set(weights) == {f"network.{name}" for name in network.state_dict()}


def test_a_run_that_ends_before_its_first_validation_ends_well(recipe):
    recipe("dqn", "fit", *SHORT, "--trainer.max_steps=1", "--trainer.num_sanity_val_steps=0")
