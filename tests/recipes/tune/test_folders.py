"""A study that is anybody's: what it says of folders is compared, and never followed."""

import json
import os
import platform
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from recipes.tune.folders import discard_own, free_name, run_folder
from recipes.tune.result import best_config, compare_runs
from recipes.tune.search import Search
from recipes.tune.space import Space
from recipes.tune.trial import fit_arguments

RATE = "model.optimizer.lr"


@pytest.fixture
def search():
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


@pytest.mark.parametrize("said", ["precious", "/tmp", "../../precious"])
def test_a_folder_that_a_study_names_stays_as_it_is(search, said):
    mine = run_at("precious", "1234", checkpoint=said == "precious")
    trial = claim(search, folder=said, run="abcd")
    arguments = fit_arguments(search, trial)
    assert arguments[-1] == "--name=tune-0" and "--ckpt_path" not in " ".join(arguments)
    discard_own(search, 0)
    assert (mine / "run.json").is_file()


def test_a_trial_goes_on_in_its_own_run_alone(search):
    run_at("runs/regress/tune-0", "1234")
    again = run_at("runs/regress/tune-0.2", "5678")
    trial = claim(search, run="5678")
    assert fit_arguments(search, trial) == ["fit", f"--ckpt_path={again}/checkpoints/last.ckpt"]
    trial.set_user_attr("run", "of another machine")
    assert fit_arguments(search, trial)[-1] == "--name=tune-0.3" == f"--name={free_name(search, 0)}"
    trial.set_user_attr("run", None)
    assert run_folder(search, trial) is None


def test_only_what_this_process_made_is_removed(search):
    kept = [
        run_at("runs/regress/tune-0", "a", process=os.getpid(), checkpoint=True),
        run_at("runs/regress/tune-0.2", "b", process=os.getpid() + 1, checkpoint=False),
        run_at("runs/regress/tune-0.3", "c", "elsewhere", os.getpid(), checkpoint=False),
        Path("runs/regress/tune-0.4"),
    ]
    kept[-1].mkdir()
    own = run_at("runs/regress/tune-0.5", "d", process=os.getpid(), checkpoint=False)
    discard_own(search, 0)
    assert all(folder.exists() for folder in kept) and not own.exists()


def test_another_machines_run_is_not_reported(search, monkeypatch):
    """On two machines without a shared disk tune-0 is one run in the study, and two folders."""
    run_at("runs/regress/tune-0", "of an older study here")
    mine = run_at("runs/regress/tune-1", "mine")
    claim(search, TrialState.COMPLETE, folder="runs/regress/tune-0", run="of the other machine")
    claim(search, TrialState.COMPLETE, folder="runs/regress/tune-0", run="mine")
    compared = []
    monkeypatch.setattr("recipes.tune.result.compare", lambda runs, *rest: compared.extend(runs))
    compare_runs(search, search.open())
    assert compared == [str(mine)]


def test_the_best_config_is_made_of_what_was_drawn(search):
    best = claim(search, TrialState.COMPLETE, config="model: {network: {class_path: intruder.Net}}")
    text = best_config(search, best, 1)
    assert "intruder" not in text
    config = yaml.safe_load(text)
    assert config["model"]["optimizer"]["init_args"]["lr"] == 0.15
    assert config["trainer"]["max_epochs"] == 2 and not config["group"]


def test_a_choice_that_the_space_does_not_have_is_refused(search):
    kind = optuna.distributions.CategoricalDistribution(["intruder.Net", "MLP"])
    known = {"params": {"model.network": "intruder.Net"}, "distributions": {"model.network": kind}}
    best = optuna.trial.create_trial(value=1.0, **known)
    choices = {"distribution": "categorical", "values": ["MLP", "ConvNet"]}
    space = Space("random", {"model.network": choices}, "val/nll", None, {}, None)
    with pytest.raises(ValueError, match=r"intruder.Net.*not in"):
        best_config(replace(search, space=space), best, 1)
