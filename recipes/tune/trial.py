"""One process of a search: takes a trial, runs it as a run of its own, says how it ended."""

import importlib.util
import json
import math
import os
import signal
import sys
import time
from typing import Any, NoReturn

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from recipes.parts.files import replace_file
from recipes.running.cli import main
from recipes.running.commands import resolved
from recipes.running.lock import Locked, lock_of, locked
from recipes.running.recipe import find_recipe
from recipes.tune.folders import LAST, discard_own, facts, free_name, run_folder
from recipes.tune.report import Report
from recipes.tune.search import Search
from recipes.tune.space import flag

FOLLOWER = "RECIPES_TUNE_FOLLOWER"  # what further processes of a trial are told
PAUSE = 5  # seconds between two looks at whether another process still trains
# Errors of one setting, after which others are tried; any other, at first, is a mistake.
OF_A_SETTING = (FloatingPointError, torch.OutOfMemoryError)


def run(search: Search) -> None:
    """Takes a trial, if there is one, and runs it.

    Raises:
        SystemExit: with status 1 and a line after a mistake of the user's, 143 after a termination
            signal; in both cases the trial can be run again
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the search ends its trials
    signal.signal(signal.SIGTERM, terminate)
    queue = search.open()
    trial = queue.take()
    if trial is None:
        return
    with queue.alive(trial.number):
        try:
            train(search, trial)
        except (Exception, SystemExit) as end:
            # Of a command line that has said its error; the error itself if RECIPES_DEBUG is set.
            cause = end.__context__ if isinstance(end, SystemExit) else end
            terminated = isinstance(end, SystemExit) and end.code == 143
            of_a_setting = isinstance(cause, OF_A_SETTING) or queue.ended_well() or trial.number
            if terminated or not of_a_setting:
                if not terminated:
                    discard_own(search, trial.number)  # nothing shall be left of a mistake
                queue.put_back(trial.number)
                raise
            trial.set_user_attr("reason", str(cause or end).removeprefix("error: "))
            queue.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)


def terminate(*_: object) -> NoReturn:
    """Ends the process as Lightning does in training: after what its `finally` does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def train(search: Search, trial: optuna.Trial) -> None:
    """Runs a trial and tells how it ended, unless it failed.

    Raises:
        SystemExit: if it failed
    """
    await_other(search, trial)
    if trial.study.get_trials(deepcopy=False)[trial.number].state.is_finished():
        return
    arguments = fit_arguments(search, trial)
    follow_with(search, arguments)
    report = Report(search.metric, trial)
    main(find_recipe(search.recipe).module, arguments, [report])
    if report.pruned:
        file = run_folder(search, trial) / "run.json"
        replace_file(file, json.dumps({**facts(file.parent), "pruned": True}, indent=1) + "\n")
        trial.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        return
    value = worth(trial.study.get_trials(deepcopy=False)[trial.number], search)
    if value is None or not math.isfinite(value):
        said = "there was no validation" if value is None else f"{search.metric} ended as {value}"
        sys.exit(f"error: {said}")
    trial.study.tell(trial, value, skip_if_finished=True)


def await_other(search: Search, trial: optuna.Trial) -> None:
    """Waits while another process trains a trial's run, which was taken for dead."""
    while folder := run_folder(search, trial):
        try:
            with locked(*lock_of(folder)):
                return
        except Locked as error:
            print(f"trial {trial.number}: {error}", flush=True)
            time.sleep(PAUSE)


def worth(trial: FrozenTrial, search: Search) -> float | None:
    """A trial's value: the metric at its last validation, or at its best that is a number."""
    values = [value for _, value in sorted(trial.intermediate_values.items())]
    if not values:
        return None
    finite = [value for value in values if math.isfinite(value)]
    if search.value == "last" or not finite:
        return values[-1]
    return max(finite) if search.goal == "maximize" else min(finite)


def fit_arguments(search: Search, trial: optuna.Trial) -> list[str]:
    """The command line of a trial: a new run, or what is left of one whose process has died."""
    settings = search.space.suggest(trial)
    left = run_folder(search, trial)
    if left and (left / LAST).is_file():
        return ["fit", f"--ckpt_path={left / LAST}"]
    flags, name = [flag(*setting) for setting in settings.items()], free_name(search, trial.number)
    return ["fit", *search.flags, *flags, f"--group={search.study}", f"--name={name}"]


def follow_with(search: Search, arguments: list[str]) -> None:
    """Lets processes that Lightning adds to a trial be its followers, not searches of their own.

    Lightning starts them as this process was, but this one is a fork of another.
    """
    follower: dict[str, Any] = {"recipe": search.recipe, "metric": search.metric}
    os.environ[FOLLOWER] = json.dumps({**follower, "arguments": arguments})
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("recipes.tune.__main__")


def follow() -> None:
    """Runs a further process of a trial."""
    follower = json.loads(os.environ[FOLLOWER])
    report = Report(follower["metric"])
    main(find_recipe(follower["recipe"]).module, follower["arguments"], [report])


def check(search: Search) -> None:
    """Parses the command lines that a space can come to.

    Raises:
        SystemExit: with status 1 and a line, if one is not understood
    """
    for settings in search.space.samples():
        flags = [flag(key, value) for key, value in settings.items()]
        resolved(search.recipe, [*search.flags, *flags])
