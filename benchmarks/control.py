"""Returns of reinforcement learning after 500,000 steps, over ten seeds, beside CleanRL's.

python benchmarks/control.py [--methods dqn policy_gradient] [--tasks CartPole ...] [--seeds 0 ...]

The configs recipes/*/cleanrl.yaml on three tasks, and as `ours` recipes/*/cart_pole.yaml. Of the
former the mean return of the last 100 episodes of training counts, as at CleanRL; of the latter
that of 100 test episodes by the last weights, of seeds 10 to 19, as it was chosen on smaller ones.
The table has mean and standard deviation, and the interquartile mean with a 95 % interval by the
stratified bootstrap (Agarwal et al. 2021, https://arxiv.org/abs/2108.13264). It may be stopped and
started again: control.json keeps each run.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipes.parts.files import replace_file
from recipes.running.folders import read_facts
from recipes.seeds.wanted import Wanted
from tables import finish, last_row, mean_std

FILE = Path(__file__).with_name("control.json")
SEEDS, DRAWS = list(range(10)), 2000
TOGETHER = "the three together, from least to greatest"


@dataclass(frozen=True)
class Task:
    """What is learned.

    Attributes:
        theirs: CleanRL's mean and standard deviation of the return
        least: return that an episode can have
        greatest: likewise
    """

    theirs: str
    least: float
    greatest: float


# https://docs.cleanrl.dev/rl-algorithms/dqn/ and .../ppo/
METHODS = {
    "dqn": {
        "CartPole": Task("488.69 ± 16.11", 0, 500),
        "Acrobot": Task("-91.54 ± 7.20", -500, 0),
        "MountainCar": Task("-194.95 ± 8.48", -200, 0),
    },
    "policy_gradient": {
        "CartPole": Task("490.04 ± 6.12", 0, 500),
        "Acrobot": Task("-86.36 ± 1.32", -500, 0),
        "MountainCar": Task("-200.00 ± 0.00", -200, 0),
    },
}
DATA = {  # of cleanrl.yaml, which a newly named task does not inherit
    "dqn": ("--data.environments=1", "--data.batch_size=128", "--data.batches=4900"),
    "policy_gradient": ("--data.environments=4", "--data.batch_size=128", "--data.batches=976"),
}
OURS = "ours"
CHOSEN_BY = 10  # seeds, the first ones, on which the default configs were chosen


def wanted(method: str, task: str, seed: int) -> Wanted:
    """A run of a method."""
    if task == OURS:
        flags = ("--config=cart_pole", "--data.episodes=100")
    else:
        flags = ("--config=cleanrl", f"--data={task}", *DATA[method])
    name = f"control-{task}-s{seed}"
    return Wanted(method, name, (*flags, f"--seed_everything={seed}"))


def stored() -> dict[str, list[dict[str, Any]]]:
    """What is done of each method and task: the return of each run, in order of seeds."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def make(method: str, task: str, seed: int) -> None:
    """Makes a run, unless it is there, and keeps its return, steps and seconds."""
    name, run = f"{method} {task}", wanted(method, task, seed)
    done = stored().get(name, [])
    if seed in [each["seed"] for each in done]:
        return
    finish(run, test=task == OURS)
    rows = [json.loads(row) for row in (run.folder / "metrics.jsonl").read_text().splitlines()]
    returns = [row["train/return"] for row in rows if "train/return" in row]
    found = last_row(run.folder / "test.jsonl")["test/return"] if task == OURS else returns[-1]
    steps = [row["environment_steps"] for row in rows if "environment_steps" in row]
    facts = read_facts(run.folder)
    kept = {"seed": seed, "commit": facts.get("commit"), "return": found, "steps": steps[-1]}
    every = sorted([*done, kept | {"seconds": facts.get("seconds")}], key=lambda each: each["seed"])
    replace_file(FILE, json.dumps(stored() | {name: every}, indent=1) + "\n")


def interquartile_mean(scores: np.ndarray) -> float:
    """The mean of the middle half of all scores, those of a run that is cut by a part of it.

    Args:
        scores: (runs, tasks)
    """
    values, cut = np.sort(scores.flatten()), scores.size / 4
    weights = np.clip(np.arange(1, len(values) + 1) - cut, 0, 1)
    weights = np.minimum(weights, weights[::-1])
    return float((values * weights).sum() / weights.sum())


def interval(scores: np.ndarray, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """A 95 % interval of the interquartile mean: runs are drawn again, of each task by itself.

    Args:
        scores: (runs, tasks)
        draws: of the bootstrap
        seed: of them
    """
    generator, (runs, tasks) = np.random.default_rng(seed), scores.shape
    found = [
        interquartile_mean(scores[generator.integers(0, runs, (runs, tasks)), np.arange(tasks)])
        for _ in range(draws)
    ]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def row(name: str, scores: np.ndarray, theirs: str, digits: int = 1) -> list[str]:
    """A row of the table.

    Args:
        name: of the task
        scores: (runs, tasks)
        theirs: CleanRL's
        digits: behind the point
    """
    if len(scores) < 2:
        said = f"{scores[0, 0]:.{digits}f}" if len(scores) else "not run"
        return [name, said, "", str(len(scores)), theirs]
    low, high = interval(scores)
    middle = f"{interquartile_mean(scores):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
    mean = mean_std(scores.mean(1).tolist(), digits)
    return [name, mean, middle, str(len(scores)), theirs]


def compared(method: str) -> list[list[str]]:
    """Returns of a method's tasks, as far as they are done, beside CleanRL's."""
    rows, scaled = [["task", "mean ± std", "IQM (95 %)", "seeds", "CleanRL"]], []
    for name, task in METHODS[method].items():
        scores = np.array([each["return"] for each in stored().get(f"{method} {name}", [])])
        rows.append(row(name, scores.reshape(-1, 1), task.theirs))
        scaled.append((scores - task.least) / (task.greatest - task.least))
    if len({len(each) for each in scaled}) == 1 and len(scaled[0]) > 1:
        rows.append(row(TOGETHER, np.stack(scaled, 1), "", 3))
    own = np.array([each["return"] for each in stored().get(f"{method} {OURS}", [])])
    rows.append(row("CartPole, the default config, 100 test episodes", own.reshape(-1, 1), ""))
    return rows


def main() -> None:
    """Makes what is missing, and prints the tables."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    tasks = [*METHODS["dqn"], OURS]
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = parser.parse_args()
    for method in given.methods:
        for task in given.tasks:
            for seed in given.seeds:
                make(method, task, seed + (CHOSEN_BY if task == OURS else 0))
        for cells in compared(method):
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
