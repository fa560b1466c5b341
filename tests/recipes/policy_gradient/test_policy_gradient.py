"""Policy gradients from the command line: interruptions, processes, tasks, refusals."""

import csv
import shutil
from itertools import combinations
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageSequence

from callbacks.film_episode import drawn, some
from datamodules.control import Acrobot, CartPole, Control, MountainCar, Pendulum
from forks import ended_well, ranks
from marks import slow
from recipes.parts.keys import wandb_definition
from trains import interrupt_after, middle_of_epoch, rows

LAST = "checkpoints/last.ckpt"
FOLDER = Path("runs/policy_gradient")
# Iterations of 4 environments x 8 steps, in 2 passes of 2 minibatches: 4 updates.
SHORT = (
    "--model.steps=8",
    "--model.passes=2",
    "--data.environments=4",
    "--data.batch_size=16",
    "--data.batches=24",
    "--data.episodes=2",
    "--trainer.max_epochs=1",
    "--trainer.log_every_n_steps=1",
    "--trainer.callbacks=[]",
)
A2C = ("--model.clip=null", "--model.passes=1", "--data.batch_size=32")
REINFORCE = (
    *("--model.clip=null", "--model.passes=1", "--model.steps=null", "--model.gae_lambda=1"),
    "--data.batch_size=full",
)
PENDULUM = ("--data=Pendulum", "--model.network=GaussianActorCritic", "--model.network.widths=[8]")
GYMNASIUM = ("--data=Gymnasium", "--data.id=CartPole-v1")
DDP = ("--config=ddp", "--trainer.devices=2")


def saved(name, file="last"):
    return torch.load(FOLDER / name / f"checkpoints/{file}.ckpt", weights_only=True)


def without_length(flags):
    return [flag for flag in flags if flag != "--data.batches=24"]


def tensors(state):
    for value in state.values():
        yield from tensors(value) if isinstance(value, dict) else [value]


KINDS = {
    "ppo": (),
    "reinforce": REINFORCE,
    "pendulum": PENDULUM,
    "gymnasium": GYMNASIUM,
}


@pytest.mark.parametrize("kind", ["ppo", *map(slow, ("reinforce", "pendulum", "gymnasium"))])
def test_an_interrupted_run_resumes_exactly(recipe, monkeypatch, kind):
    """After 10 updates, in the middle of an iteration, whose rollout goes on."""
    given = KINDS[kind]
    flags = [*given[:1], *SHORT, *given[1:]]
    recipe("policy_gradient", "fit", *flags, "--name=whole")
    with monkeypatch.context() as patch:
        interrupt_after(14, patch)
        with pytest.raises(MemoryError):
            recipe("policy_gradient", "fit", *flags, *middle_of_epoch(FOLDER / "cut"), "--name=cut")
    middle = saved("cut", "middle")["progress"]
    assert middle["updates"] == 10
    assert bool(middle["rollout"]) == (kind != "reinforce"), "its iterations are one update"
    recipe("policy_gradient", "fit", f"--ckpt_path={FOLDER}/cut/checkpoints/middle.ckpt")
    one, two = saved("whole"), saved("cut")
    assert one["global_step"] == 24
    for part in ("state_dict", "progress"):
        pairs = zip(tensors(one[part]), tensors(two[part]), strict=True)
        assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in pairs)
    assert rows(FOLDER / "whole") == rows(FOLDER / "cut")


PROCESSES = {  # flags of both, of one process, and of two
    "ppo": (
        (),
        ("--data.environments=4", "--data.batch_size=16"),
        ("--data.environments=2", "--data.batch_size=8"),
    ),
    "reinforce": (REINFORCE, ("--data.environments=4",), ("--data.environments=2",)),
    "pendulum": (
        PENDULUM,
        ("--data.environments=4", "--data.batch_size=16"),
        ("--data.environments=2", "--data.batch_size=8"),
    ),
}


@pytest.mark.parametrize("kind", ["ppo", slow("reinforce"), slow("pendulum")])
def test_two_processes_own_half_of_the_environments_each(recipe, kind):
    """They train what one process with all of them trains."""
    both, one, two = PROCESSES[kind]
    flags = [*both[:1], *SHORT, "--trainer.precision=64-true", *both[1:]]
    recipe("policy_gradient", "fit", *flags, *one, "--name=one")
    ended_well(*ranks(2, "recipes.policy_gradient", "fit", *flags, *two, *DDP, "--name=two"))
    first, second = saved("one"), saved("two")
    for key, value in first["state_dict"].items():
        torch.testing.assert_close(second["state_dict"][key], value, rtol=1e-7, atol=1e-9)
    progress = [each["progress"]["acting"] for each in (first, second)]
    torch.testing.assert_close(progress[0]["returns"], progress[1]["returns"])
    assert progress[0]["steps"] == progress[1]["steps"]
    if kind != "reinforce":  # whose next episodes begin anew
        for key, value in progress[0]["environments"].items():
            torch.testing.assert_close(progress[1]["environments"][key], value)
    found = [rows(FOLDER / name) for name in ("one", "two")]
    for key in ("train/return", "environment_steps", "samples", "val/return"):
        of_each = [[row[key] for row in log if key in row] for log in found]
        assert of_each[0] == pytest.approx(of_each[1], rel=1e-6), key


@pytest.mark.slow
def test_two_processes_go_on_within_an_iteration_of_whole_episodes():
    """One's longest episode is shorter than the other's, and its rollout stays as it was."""
    given = (*REINFORCE, "--model.clip=0.2", "--model.passes=3", "--data.batches=15", *DDP)
    short = [flag for flag in SHORT if not flag.startswith(("--model", "--data.batch"))]
    flags = (*short, *given, *middle_of_epoch(FOLDER / "whole"), "--name=whole")
    ended_well(*ranks(2, "recipes.policy_gradient", "fit", *flags))
    shutil.copytree(FOLDER / "whole", FOLDER / "uncut")
    lengths = (~saved("whole", "middle")["progress"]["rollout"]["targets"].isnan()).sum(1)
    assert lengths[0::2].max() != lengths[1::2].max(), "else nothing had to be filled up"
    middle = f"--ckpt_path={FOLDER}/whole/checkpoints/middle.ckpt"
    ended_well(*ranks(2, "recipes.policy_gradient", "fit", middle))
    one, two = saved("uncut"), saved("whole")
    assert one["global_step"] == two["global_step"] == 15
    pairs = zip(tensors(one["state_dict"]), tensors(two["state_dict"]), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert rows(FOLDER / "uncut") == rows(FOLDER / "whole")


def test_what_is_logged(recipe):
    recipe("policy_gradient", "fit", *SHORT, "--name=a")
    found = rows(FOLDER / "a")
    training = [row for row in found if "train/loss" in row]
    assert len(training) == 24
    for row in training:
        iteration, update = divmod(row["step"], 4)
        assert row["environment_steps"] == 32 * (iteration + 1)
        assert row["samples"] == 16 * (row["step"] + 1)
        if update == 0:  # the policy is the one that acted: its ratio is 1
            assert abs(row["train/kl"]) < 1e-12 and row["train/clipped"] == 0
        total = row["train/policy"] + 0.5 * row["train/value"]
        assert row["train/loss"] == pytest.approx(total, rel=1e-5, abs=1e-7)
    assert max(row["train/kl"] for row in training) > 1e-6
    (last,) = [row for row in found if "val/return" in row]
    assert last["val/return"] == last["val/length"] == -last["val/loss"]
    assert last["environment_steps"] == 32 * 6


def test_train_return_is_of_the_latest_episodes(recipe):
    """All episodes that ended, by a replay of the environments' own account."""
    recipe("policy_gradient", "fit", *SHORT, *A2C, "--name=a", "--data.batches=40")
    returns = saved("a")["progress"]["acting"]["returns"]
    found = [row for row in rows(FOLDER / "a") if "train/return" in row][-1]
    assert found["train/return"] == pytest.approx(float(returns.mean()), rel=1e-6)
    environments = saved("a")["progress"]["acting"]["environments"]
    assert len(returns) == int(environments["episodes"].sum()) > 10
    under_way = environments["elapsed"].sum()
    assert int(returns.sum() + under_way) == 40 * 32, "of each step one reward"


def test_whole_episodes_are_all_that_reinforce_learns_from(recipe):
    recipe("policy_gradient", "fit", *SHORT, *REINFORCE, "--name=a", "--data.batches=3")
    progress = saved("a")["progress"]["acting"]
    assert len(progress["returns"]) == 3 * 4
    assert progress["steps"] == int(progress["returns"].sum())


def test_a_network_of_ones_own_and_predictions(recipe, tmp_path):
    Path("mine.py").write_text(
        "import torch\n"
        "class Mine(torch.nn.Module):\n"
        "    def __init__(self, inputs: int, outputs: int) -> None:\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(inputs, outputs + 1)\n"
        "    def forward(self, observations):\n"
        "        found = self.layer(observations)\n"
        "        return found[:, 1:], found[:, 0]\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        recipe("policy_gradient", "fit", *SHORT, "--model.network=mine.Mine", "--name=a")
        recipe("policy_gradient", "predict", f"--ckpt_path={FOLDER}/a/{LAST}", "--data.episodes=7")
    with (FOLDER / "a/predictions.csv").open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == 7
    assert all(float(row["return"]) == float(row["length"]) > 0 for row in found)


@pytest.mark.slow
def test_evaluation_by_samples_and_by_the_most_probable_actions(recipe):
    recipe("policy_gradient", "fit", *SHORT, "--name=a")
    found = []
    for how in ("greedy", "sampled", "sampled"):
        flags = f"--ckpt_path={FOLDER}/a/{LAST}", f"--model.evaluation={how}"
        recipe("policy_gradient", "test", *flags, "--data.episodes=50")
        found.append(rows(FOLDER / "a", "test")[-1]["test/return"])
    assert found[0] != found[1] == found[2]


REFUSED = {  # more in tests/bad_input.txt
    "--data.batch_size=24": r"--data\.batch_size=24 of 4 environments x 8 steps",
    "--data.batch_size=64": r"--data\.batch_size=64 of 4 environments x 8 steps",
    "--model.network.inputs=3": r"--model\.network",
    "--model.network=MLP --model.network.widths=[8]": "--model.network gives no pair",
    "--trainer.accumulate_grad_batches=3": "a step would be of several passes",
    "--data.batch_size=full --trainer.accumulate_grad_batches=2": "give 1, or --model.passes=1",
    "--data.batches=21 --trainer.max_epochs=2 --trainer.accumulate_grad_batches=2": (
        "an epoch of 21 batches ends within a step"
    ),
    "--data=Gymnasium --data.id=Blackjack-v1": r"--data\.id=Blackjack-v1: observations are Tuple",
}


@pytest.mark.parametrize("flags", REFUSED)
def test_what_would_be_wrong_is_refused(recipe, flags):
    with pytest.raises((ValueError, SystemExit), match=REFUSED[flags]) as caught:
        recipe("policy_gradient", "fit", *SHORT, *flags.split())
    assert "\n" not in str(caught.value).strip()
    assert not list(FOLDER.glob("*/metrics.jsonl"))


def test_accumulated_minibatches_are_one(recipe):
    """Two of 16 are one of 32: advantages as they are, as each minibatch has its own mean."""
    same = ("--model.normalize=false", "--model.passes=1", "--trainer.precision=64-true")
    recipe(
        "policy_gradient",
        "fit",
        *SHORT,
        *same,
        "--data.batch_size=32",
        "--data.batches=6",
        "--name=one",
    )
    two = ("--data.batches=12", "--trainer.accumulate_grad_batches=2")
    recipe("policy_gradient", "fit", *SHORT, *same, *two, "--name=two")
    one, two = saved("one"), saved("two")
    assert one["global_step"] == two["global_step"] == 6
    for key, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][key], value, rtol=1e-9, atol=1e-12)


# The film.


@pytest.mark.parametrize("kind", [CartPole, Acrobot, MountainCar, Pendulum])
def test_every_environment_is_drawn_and_moves(kind):
    environment = kind.environment
    states = environment.begin(torch.rand(1, environment.draws))
    first = drawn(environment.outline(states[0]))
    action = torch.zeros(1, 1) if kind is Pendulum else torch.zeros(1, dtype=torch.int64)
    for _ in range(8):
        states, _, _ = environment.step(states, action)
    later = drawn(environment.outline(states[0]))
    assert max(first.size) == 280 and first.size == later.size
    assert len(set(first.get_flattened_data())) > 2, "not of one colour"
    assert list(first.get_flattened_data()) != list(later.get_flattened_data())


@pytest.mark.slow
def test_a_film_is_of_an_evaluation_episode_and_changes_nothing(recipe):
    flags = [flag for flag in SHORT if "callbacks" not in flag]
    filmed = ("--trainer.callbacks=FilmEpisode", "--data.episodes=1")
    recipe("policy_gradient", "fit", *flags, *filmed, "--name=a")
    recipe("policy_gradient", "fit", *SHORT, "--data.episodes=1", "--name=b")
    one, two = (saved(name)["state_dict"] for name in "ab")
    assert all(torch.equal(one[key], two[key]) for key in one)
    (length,) = [row["val/length"] for row in rows(FOLDER / "a") if "val/length" in row]
    with Image.open(FOLDER / "a/episode.gif") as film:
        size, frames = film.size, film.n_frames
        seconds = sum(frame.info["duration"] for frame in ImageSequence.Iterator(film)) / 1000
    assert 2 < frames <= length <= 250, "pictures that are the same are one, for longer"
    assert seconds == pytest.approx(length / 50), "as fast as it happens"
    with Image.open(FOLDER / "a/episode.png") as strip:
        assert strip.size == (6 * (size[0] + 1) - 1, size[1])


class NoOutlineEnvironment(type(CartPole.environment)):
    """One of a user's own, who has drawn no picture."""

    def outline(self, state):
        return None


class NoOutline(Control):
    """Cart-pole, unseen."""

    environment = NoOutlineEnvironment()


def test_an_environment_without_a_picture_is_trained_in_and_not_filmed(recipe, caplog):
    caplog.set_level("INFO")
    flags = [flag for flag in SHORT if "callbacks" not in flag]
    own = f"--data={__name__}.NoOutline"
    recipe("policy_gradient", "fit", own, *flags, "--trainer.callbacks=FilmEpisode", "--name=a")
    assert "note: no film: NoOutlineEnvironment has no outline" in caplog.text
    assert (FOLDER / "a" / LAST).exists() and not (FOLDER / "a/episode.gif").exists()


def test_an_episode_that_does_not_end_is_told(recipe, monkeypatch):
    monkeypatch.setattr("recipes.parts.episodes.LONGEST", 5)
    with pytest.raises(ValueError, match="has not ended after 5 steps: the environment needs a"):
        recipe("policy_gradient", "fit", *SHORT)


def test_splits_begin_differently():
    data, numbers = CartPole(), torch.arange(3)
    begun = [data.streams(numbers, split).states for split in ("train", "val", "test", "predict")]
    for one, other in combinations(begun, 2):
        assert not torch.equal(one, other)
    assert torch.equal(begun[1], data.streams(numbers, "val").states)


@pytest.mark.parametrize("key", ["train/return", "val/return", "val/length"])
def test_returns_are_drawn_over_the_steps_of_environments(key):
    assert wandb_definition(key)["step_metric"] == "environment_steps"
    assert wandb_definition("val/loss")["step_metric"] == "epoch"


def test_a_film_leaves_frames_out_at_even_distances():
    assert some(list(range(9)), 5) == [0, 2, 4, 6, 8] and some([1, 2], 5) == [1, 2]
