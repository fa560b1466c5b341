"""A study that is anybody's: what it says of folders is compared, and never followed."""

import os
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from recipes.tune.folders import discard_own, free_name, run_folder
from recipes.tune.result import best_config, compare_runs
from recipes.tune.space import Space
from recipes.tune.trial import fit_arguments
from studies import a_search, claim, run_at


@pytest.fixture
def search():
    return a_search()


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
