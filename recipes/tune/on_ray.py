"""The same spaces on a Ray cluster, by Ray Tune: an example to start from. Needs the extra `ray`.

    ray start --head                    # and on other machines: ray start --address=<head>:6379
    python -m recipes.tune.on_ray --recipe distill --trials 40 --trainer.max_epochs=60

Ray draws at random, or all of a grid, and gives trials up by ASHA where the space has an
early_terminate. Without a cluster it makes one of this machine. Each trial is a run in the group
ray, below runs/ray/ on the machine that trained it, and takes one core, and a GPU where there is
one. Any option but --recipe, --space and --trials is of each trial's fit.
"""

import sys
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from recipes.running.cli import main as fit
from recipes.running.mistakes import Parser, ending_in_one_line
from recipes.running.recipe import find_recipe
from recipes.tune.options import TRIALS
from recipes.tune.space import Space, flag
from recipes.tune.sweeps import read_space

try:
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
except ModuleNotFoundError:
    sys.exit("error: recipes.tune.on_ray needs Ray: pip install -e '.[ray]'")


class RayReport(Callback):
    """Tells Ray a metric after each validation; Ray ends the run if it shall be given up.

    Args:
        metric: log key
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            tune.report({self.metric: float(trainer.callback_metrics[self.metric])})


def drawn(space: Space) -> dict[str, Any]:
    """A space as Ray draws from it."""
    if space.method == "grid":
        return {key: tune.grid_search(values) for key, values in space.grid().items()}
    draws = {
        "constant": lambda value: value,
        "categorical": tune.choice,
        "int_uniform": lambda **ends: tune.randint(ends["min"], ends["max"] + 1),
        "uniform": lambda **ends: tune.uniform(ends["min"], ends["max"]),
        "q_uniform": lambda **ends: tune.quniform(ends["min"], ends["max"], ends["q"]),
        "log_uniform_values": lambda **ends: tune.loguniform(ends["min"], ends["max"]),
    }
    found = {}
    for key, known in space.parameters.items():
        known = dict(known)
        draw = draws[known.pop("distribution")]
        found[key] = draw(**known) if "min" in known else draw(*known.values())
    return found


def trial(settings: dict[str, Any], recipe: str, flags: list[str], metric: str) -> None:
    """Runs one trial, in a process of Ray's."""
    own = [flag(key, value) for key, value in settings.items()]
    fit(find_recipe(recipe).module, ["fit", *flags, *own, "--group=ray"], [RayReport(metric)])


def main(args: list[str]) -> None:
    """Runs a search on Ray and prints its best trial."""
    parser = Parser("tune.on_ray", __doc__)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--space", type=Path)
    parser.add_argument("--trials", type=int)
    given, flags = parser.parse_known_args(args)
    space = read_space(given.space or find_recipe(given.recipe).sweep)
    stop, root, count = space.early_terminate, Path("runs", "ray").resolve(), given.trials
    task = tune.with_parameters(
        trial,
        recipe=given.recipe,
        flags=[f"--trainer.default_root_dir={root}", *flags],
        metric=space.metric,
    )
    ray.init()
    gpus = min(1, ray.cluster_resources().get("GPU", 0))
    scheduler = ASHAScheduler(
        grace_period=stop.get("min_iter", 1), max_t=10**6, reduction_factor=stop.get("eta", 3)
    )
    results = tune.Tuner(
        tune.with_resources(task, {"cpu": 1, "gpu": gpus}),
        param_space=drawn(space),
        tune_config=tune.TuneConfig(
            metric=space.metric,
            mode="max" if space.goal == "maximize" else "min",
            num_samples=1 if space.method == "grid" else count or space.run_cap or TRIALS,
            scheduler=scheduler if stop else None,
        ),
        run_config=tune.RunConfig(storage_path=str(root / "tune"), verbose=1),
    ).fit()
    best = results.get_best_result()
    settings = " ".join(flag(key, value) for key, value in best.config.items())
    print(f"best: {space.metric} {best.metrics[space.metric]:.6g} {settings}")


if __name__ == "__main__":
    with ending_in_one_line():
        main(sys.argv[1:])
