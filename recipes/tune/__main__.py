"""The command line of searches."""

import argparse
import math
import os
import sys
from pathlib import Path

from recipes.parts.keys import more_is_better
from recipes.running.mistakes import ending_in_one_line
from recipes.running.recipe import find_recipe
from recipes.tune.options import TRIALS, parse
from recipes.tune.space import Space
from recipes.tune.sweeps import METHODS, read_space


def count(given: argparse.Namespace, space: Space, sampler: str) -> int:
    """How many trials there shall be in all."""
    if sampler == "grid":
        return min(given.trials or space.run_cap or math.inf, space.grid_size())
    return given.trials or space.run_cap or TRIALS


def main(args: list[str] | None = None) -> None:
    """Runs a search's command line; a mistake of the user's ends it with one line.

    Args:
        args: command-line arguments, those of the process by default

    Raises:
        SystemExit: with status 1 after an error, 130 after Ctrl-C
    """
    try:
        with ending_in_one_line():
            search_from(*parse(sys.argv[1:] if args is None else args))
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        sys.exit(130)


def search_from(given: argparse.Namespace, flags: list[str]) -> None:
    """Runs the search that options describe.

    Args:
        given: the search's options
        flags: of each trial's fit

    Raises:
        ValueError: if an option or the space is not accepted, or Optuna is not there
    """
    recipe = find_recipe(given.recipe)
    space = read_space(given.space or recipe.sweep)
    try:
        from recipes.running.commands import resolved
        from recipes.tune import result
        from recipes.tune.processes import run
        from recipes.tune.search import Search
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise ValueError("a search needs Optuna: pip install -e '.[search]'") from error
    metric = given.metric or space.metric
    if metric is None:
        raise ValueError("--metric: neither given nor in the space")
    own = space.goal if metric == space.metric else None
    study = given.study or "-".join(["tune", *(Path(name).stem for name in given.config)])
    if Path(study).name != study:
        raise ValueError(f"--study={study}: a name, not a path")
    flags = [*(f"--config={name}" for name in given.config), *flags]
    root = resolved(given.recipe, flags)["trainer.default_root_dir"] or "runs"
    folder = Path(root, recipe.name, study)
    sampler = given.sampler or METHODS[space.method]
    search = Search(
        recipe=given.recipe,
        flags=flags,
        space=space,
        study=study,
        storage=given.storage or f"sqlite:///{folder}/study.db",
        folder=folder,
        trials=count(given, space, sampler),
        sampler=sampler,
        pruner=given.pruner or ("halving" if space.early_terminate else "none"),
        metric=metric,
        goal=given.goal or own or ("maximize" if more_is_better(metric) else "minimize"),
        value=given.value,
        seed=given.seed,
        grace=given.grace,
    )
    result.write(search, run(search, given.jobs, given.timeout))


if __name__ == "__main__":
    if os.environ.get("RECIPES_TUNE_FOLLOWER"):
        from recipes.tune.trial import follow

        follow()
    else:
        main()
