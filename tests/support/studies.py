"""A study that is anybody's, and the runs that are on this machine."""

import json
import platform
from pathlib import Path

import optuna
from optuna.trial import TrialState

from recipes.tune.search import Search
from recipes.tune.space import Space

RATE = "model.optimizer.lr"


def a_search():
    """A search whose study lies in a storage that others can write to."""
    range_ = {"distribution": "uniform", "min": 0.1, "max": 0.2}
    space = Space("random", {RATE: range_}, "val/nll", None, {}, None)
    flags = ["--config=diabetes", "--trainer.max_epochs=2"]
    given = {"recipe": "regress", "flags": flags, "study": "tune", "seed": 0, "grace": 9.0}
    given |= {"sampler": "random", "pruner": "none", "metric": "val/nll", "goal": "minimize"}
    folder, store = Path("runs/regress/tune"), "sqlite:///shared.db"
    return Search(space=space, storage=store, folder=folder, trials=4, value="last", **given)


def run_at(folder, identity, host=None, process=0, checkpoint=True):
    """A run's folder, as far as a search looks at it."""
    folder = Path(folder)
    (folder / "checkpoints").mkdir(parents=True)
    facts = {"wandb_id": identity, "process": {"host": host or platform.node(), "id": process}}
    (folder / "run.json").write_text(json.dumps(facts))
    if checkpoint:
        (folder / "checkpoints/last.ckpt").touch()
    return folder


def claim(search, state=TrialState.WAITING, **said):
    """Adds a trial of which a study says something, and takes it if it waits."""
    queue = search.open()
    drawn = {} if state == TrialState.WAITING else {RATE: 0.15}
    kinds = {name: optuna.distributions.FloatDistribution(0.1, 0.2) for name in drawn}
    value = 1.0 if state == TrialState.COMPLETE else None
    known = {"state": state, "params": drawn, "distributions": kinds, "user_attrs": said}
    queue.study.add_trial(optuna.trial.create_trial(value=value, **known))
    return queue.take() if state == TrialState.WAITING else queue.trials()[-1]
