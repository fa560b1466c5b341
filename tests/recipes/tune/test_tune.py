"""Searches: spaces, the queue of trials, pruning, failures, and what is left at the end."""

import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import yaml
from optuna.trial import TrialState

import recipes.tune.trial as one_trial
from forks import Forked, ended_well, send
from launches import ROOT
from marks import slow, some
from recipes.parts.files import replace_file
from recipes.parts.keys import dotted
from recipes.regress import Regress
from recipes.running.cli import main as run
from recipes.running.lock import lock_of, locked
from recipes.running.recipe import find_recipe
from recipes.tune.__main__ import main
from recipes.tune.queue import MOST_DEATHS, Queue, open_storage
from recipes.tune.report import Report
from recipes.tune.samplers import Keyed, sampler
from recipes.tune.search import IDENTITY, Search
from recipes.tune.space import Space, flag
from recipes.tune.sweeps import read_space
from recipes.tune.trial import worth
from trains import rows

SWEEPS = sorted(ROOT.glob("recipes/*/sweep.yaml"))
RATE = "model.optimizer.lr"
WIDTHS = "model.network.widths"
GRID = f"""
method: grid
metric: {{name: val/nll, goal: minimize}}
parameters:
  {RATE}: {{values: [0.01, 1.0e+30]}}
  {WIDTHS}: {{values: [[8], [8, 8]]}}
"""
LINE = f"""
method: random
metric: {{name: val/nll}}
parameters: {{{RATE}: {{distribution: log_uniform_values, min: 1.0e-4, max: 1.0e-1}}}}
"""
QUANTIZED = LINE.replace("log_uniform_values", "q_uniform").replace("max:", "q: 0, max:")


def search(*args, space=GRID, recipe="regress"):
    """Runs a search in this process, of small fits."""
    Path("space.yaml").write_text(space)
    short = ("--trainer.max_epochs=2", "--trainer.limit_train_batches=3")
    main([f"--recipe={recipe}", "--space=space.yaml", *short, *args])


def trials(url="sqlite:///runs/regress/tune/study.db"):
    storage = open_storage(url)  # as patient as a search: on a busy disk, more than SQLite's 5 s
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


# Spaces


def resolved(name, flags, capsys):
    """The config that a recipe's fit shows for flags, as command-line keys."""
    with pytest.raises(SystemExit) as stop:
        run(find_recipe(name).module, ["fit", *flags, "--print_config"])
    assert not stop.value.code, stop.value.code
    return dotted(yaml.safe_load(capsys.readouterr().out))


@pytest.mark.parametrize("path", some(SWEEPS, 4), ids=lambda path: path.parent.name)
def test_every_key_of_a_sweep_is_the_recipes(path, capsys):
    settings = next(read_space(path).samples())  # of others, a search asks the parser first
    config = resolved(path.parent.name, [flag(*item) for item in settings.items()], capsys)
    assert {key: config[key] for key in settings} == settings


def test_a_mistyped_key_of_a_sweep_is_found(capsys):
    """The negative control of the test above."""
    with pytest.raises(AssertionError, match=r"is it --model\.temperature"):
        resolved("distill", [flag("model.temprature", 2.0)], capsys)


def test_every_recipe_has_a_sweep_that_wandb_can_start():
    assert {path.parent for path in SWEEPS} == {p.parent for p in ROOT.glob("recipes/*/module.py")}
    for path in SWEEPS:
        command = yaml.safe_load(path.read_text())["command"]
        assert command[1:] == ["python", "-m", f"recipes.{path.parent.name}", "fit", "${args}"]
        header = path.read_text()
        assert f"python -m recipes.tune --recipe {path.parent.name}" in header
        assert f"wandb sweep recipes/{path.parent.name}/sweep.yaml" in header


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("{value: 3}", {"distribution": "constant", "value": 3}),
        ("{values: [a, b]}", {"distribution": "categorical", "values": ["a", "b"]}),
        ("{min: 1, max: 8}", {"distribution": "int_uniform", "min": 1, "max": 8}),
        ("{min: 1.0, max: 8}", {"distribution": "uniform", "min": 1.0, "max": 8.0}),
        (
            "{distribution: log_uniform_values, min: 1e-3, max: 1}",  # YAML's 1e-3 is a string
            {"distribution": "log_uniform_values", "min": 1e-3, "max": 1.0},
        ),
        (
            "{distribution: q_uniform, min: 1, max: 4}",
            {"distribution": "q_uniform", "min": 1.0, "max": 4.0, "q": 1.0},
        ),
    ],
)
def test_a_distribution_is_named_as_wandb_infers_it(parameter, expected):
    Path("space.yaml").write_text(
        f"method: random\nparameters: {{x: {parameter}, y: {{values: [1]}}}}"
    )
    assert read_space(Path("space.yaml")).parameters["x"] == expected


@pytest.mark.parametrize(
    ("least", "greatest", "step", "expected"),
    [
        (0.05, 0.5, 0.1, [0.1, 0.2, 0.3, 0.4, 0.5]),
        (0.1, 0.5, 0.1, [0.1, 0.2, 0.3, 0.4, 0.5]),
        (0.04, 0.56, 0.1, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        (0.15, 0.45, 0.1, [0.2, 0.3, 0.4]),
        (-0.3, 0.2, 0.25, [-0.25, 0.0, 0.25]),
        (100, 355, 50, [100.0, 150.0, 200.0, 250.0, 300.0, 350.0]),
        (0.011, 0.014, 0.01, [0.01]),
    ],
)
def test_a_quantized_distribution_draws_multiples_of_q(least, greatest, step, expected):
    """round(X / q) q with X uniform, as in W&B: numpy draws the same values that way."""
    spread = f"{{distribution: q_uniform, min: {least}, max: {greatest}, q: {step}}}"
    Path("space.yaml").write_text(f"method: random\nparameters: {{x: {spread}}}")
    space = read_space(Path("space.yaml"))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {space.suggest(study.ask())["x"] for _ in range(150)}
    assert sorted(drawn) == expected, "as they are written, 0.3 and not 0.30000000000000004"
    uniform = np.random.RandomState(0).uniform(least, greatest, 10_000)
    assert np.unique(np.round(uniform / step)) * step == pytest.approx(expected)
    assert [settings["x"] for settings in space.samples()] == [expected[0], expected[-1]]


@pytest.mark.parametrize(
    ("values", "last", "best", "worst"),
    [
        ([math.nan, 3.0, 2.0, 4.0], 4.0, 2.0, 4.0),
        ([3.0, math.nan, 2.0, math.inf], math.inf, 2.0, 3.0),
        ([-math.inf, 1.0], 1.0, 1.0, 1.0),
        ([5.0], 5.0, 5.0, 5.0),
    ],
)
def test_the_best_value_is_a_number_where_there_is_one(values, last, best, worst):
    trial = optuna.create_study().ask()
    for step, value in enumerate(values):
        trial.report(value, step)
    ended = trial.study.trials[0]

    def worth_of(value, goal):
        return worth(ended, SimpleNamespace(value=value, goal=goal))

    assert worth_of("last", "minimize") == last
    assert worth_of("best", "minimize") == best
    assert worth_of("best", "maximize") == worst


def test_the_best_of_no_numbers_is_none():
    trial = optuna.create_study().ask()
    search = SimpleNamespace(value="best", goal="minimize")
    assert worth(trial.study.trials[0], search) is None
    trial.report(math.nan, 1)
    assert math.isnan(worth(trial.study.trials[0], search))


@pytest.mark.parametrize(
    ("space", "args", "line"),
    [
        (GRID, ("--space=none.yaml",), "--space=none.yaml: no such file"),
        (GRID, ("--recipe=regres",), "--recipe=regres: the recipes are classify, diffusion"),
        (GRID, ("--sampler=best",), "--sampler: invalid choice: 'best'"),
        (GRID, ("--trials=0",), "--trials=0: at least 1"),
        (GRID, ("--name=mine",), "--name: trials have their own"),
        (GRID, ("--storage=nosuch://x",), "--storage=nosuch://x: "),
        (LINE, ("--sampler=grid",), f"{RATE} is log_uniform_values, a grid needs values"),
        ("a: [", (), "--space=space.yaml: no YAML with parameters"),
        (GRID.replace("grid", "hill"), (), "method: hill: choose from grid, random, bayes"),
        (LINE.replace("log_uniform_values", "beta"), (), f"{RATE}: distribution beta: choose"),
        (LINE.replace("min", "mini"), (), f"{RATE}: log_uniform_values has max, min, not"),
        (LINE.replace("1.0e-4", "0"), (), f"{RATE}: give min < max above 0"),
        (QUANTIZED, (), f"{RATE}: give q above 0, not 0"),
        (LINE.replace("{name: val/nll}", "{goal: up}"), (), "metric.goal: up: choose from"),
        (LINE.replace("{name: val/nll}", "{}"), (), "--metric: neither given nor in the space"),
        (LINE + "early_terminate: {type: envelope}", (), "early_terminate: only type: hyperband"),
        slow(LINE.replace(RATE, "model.optimizer.rate"), (), "rate"),  # known to the recipe alone
        (LINE, ("--metric=val/nil",), "--metric=val/nil: not logged; there are"),
    ],
)
def test_a_mistake_is_one_line(space, args, line, capfd):
    with pytest.raises(SystemExit) as stop:
        search(*args, space=space)
    message = str(stop.value.code)
    assert message.startswith("error: ") and line in message
    assert "\n" not in message and len(message) < 400
    assert "Traceback" not in capfd.readouterr().err
    assert not list(Path("runs").glob("*/*-0")) and not list(Path("runs").rglob("*.log"))


# The queue


STORES = pytest.mark.parametrize("store", ["sqlite:///study.db", "journal:study.journal"])


def opened(store, kind="random", space=LINE, seed=0, total=4):
    """A study of a few trials as each new process opens it, with a grace of half a second."""
    Path("space.yaml").write_text(space)
    storage = open_storage(store)
    drawn_by = sampler(kind, read_space(Path("space.yaml")), seed)
    study = optuna.create_study(
        storage=storage, study_name="s", load_if_exists=True, sampler=drawn_by
    )
    return Queue(study, storage, total, 0.5)


@pytest.mark.parametrize("store", ["sqlite:///{}.db", "journal:{}.journal"])
def test_searches_that_start_at_once_share_a_new_study(store):
    space = Space("random", {}, "val/nll", None, {}, None)
    known = {"recipe": "regress", "flags": [], "space": space, "study": "s", "folder": Path("x")}
    known |= {"sampler": "random", "pruner": "none", "metric": "val/nll", "goal": "minimize"}
    known |= {"value": "last", "seed": 0, "grace": 9.0, "trials": 4}
    for number in range(2):
        new = Search(storage=store.format(number), **known)
        together = threading.Barrier(4)

        def open_at_once(search=new, together=together):
            together.wait()
            return len(search.open().study.user_attrs)

        with ThreadPoolExecutor(4) as pool:
            opened_by = [pool.submit(open_at_once) for _ in range(4)]
        assert [done.result() for done in opened_by] == [len(IDENTITY)] * 4


def put_back_silent(queue):
    """Looks at the signs of life twice, with more than the grace between."""
    queue.put_back_dead()
    time.sleep(0.6)
    queue.put_back_dead()


def draw(taken):
    return read_space(Path("space.yaml")).suggest(taken)


@STORES
def test_a_trial_whose_process_died_is_taken_again_as_it_was(store):
    queue = opened(store)
    dead = opened(store).take()
    settings = draw(dead)
    with opened(store).alive(dead.number):
        time.sleep(0.8)
        queue.put_back_dead()
        assert queue.free() == 3, "its process shows that it lives"
    put_back_silent(queue)
    again = opened(store, seed=5).take()
    assert (again.number, draw(again)) == (dead.number, settings)
    queue.study.tell(again.number, 1.0)
    queue.put_back(again.number)
    assert queue.trials()[0].state == TrialState.COMPLETE, "what has ended stays so"


@STORES
def test_a_study_stays_where_it_is_when_the_process_goes_elsewhere(store, tmp_path, monkeypatch):
    """As jsonargparse does while it reads a config, and the sign of life is given meanwhile."""
    queue = opened(store)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with queue.alive(queue.take().number):
        time.sleep(0.1)
    assert not list(Path().iterdir())
    monkeypatch.chdir(tmp_path)
    assert "alive" in opened(store).trials()[0].user_attrs


@STORES
def test_no_trial_is_taken_twice_nor_beyond_the_total(store):
    queue = opened(store)
    taken = [opened(store).take().number, *(queue.take().number for _ in range(3))]
    assert taken == [0, 1, 2, 3] and queue.take() is None
    queue.study.ask()  # of a process that was as fast
    assert queue.free() == 0 and opened(store).take() is None


def test_a_trial_of_a_process_of_this_machine_that_has_gone_is_taken_at_once():
    queue = opened("sqlite:///study.db")
    trial = queue.take()
    with queue.alive(trial.number):
        queue.put_back_dead()
        assert queue.free() == 3
    gone = subprocess.Popen(["true"])
    gone.wait()
    process = [platform.node(), gone.pid, str(queue.trials()[0].datetime_start)]
    trial.set_user_attr("process", process)
    queue.put_back_dead()
    assert queue.free() == 4


def test_a_clock_that_is_behind_is_no_sign_of_death(monkeypatch):
    queue = opened("sqlite:///study.db")
    number = queue.take().number
    monkeypatch.setattr("recipes.tune.queue.time.time", lambda: 0.0)
    with queue.alive(number):
        queue.put_back_dead()
        assert queue.free() == 3


def test_a_trial_whose_process_was_only_silent_is_waited_for(monkeypatch, capsys):
    """It was taken for dead, but still trains."""
    monkeypatch.setattr(one_trial, "PAUSE", 0.05)
    folder = Path("runs/regress/s-3")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"wandb_id": "abc"}')
    one = SimpleNamespace(study="s", folder=folder.with_name("s"))
    again = SimpleNamespace(number=3, user_attrs={"run": "abc"})
    ended = []

    def await_it():
        one_trial.await_other(one, again)
        ended.append(time.monotonic())

    waiting = threading.Thread(target=await_it)
    with locked(*lock_of(folder)):
        waiting.start()
        time.sleep(0.5)
        assert not ended
        freed = time.monotonic()
    waiting.join()
    assert ended[0] > freed
    said = f"trial 3: {folder} is trained by process {os.getpid()} on host"
    assert capsys.readouterr().out.startswith(said)
    one_trial.await_other(one, SimpleNamespace(number=4, user_attrs={}))  # a new one


def test_a_trial_that_takes_its_process_down_is_given_up():
    queue = opened("sqlite:///study.db")
    for _ in range(MOST_DEATHS):
        queue.put_back(queue.take().number)  # as after Ctrl-C, however often
        assert queue.take().number == 0
        put_back_silent(queue)
    assert queue.take().number == 1
    first = queue.trials()[0]
    assert first.state == TrialState.FAIL and "died, 3 times" in first.user_attrs["reason"]


def settings_of(kind, total, killed=None, store="journal:study.journal", **kwargs):
    """The settings of a study in which each trial is another process's, as it should be."""
    for number in range(total):
        if number == killed:
            queue = opened(store, kind, total=total, **kwargs)
            taken = queue.take()
            draw(taken)
            queue.put_back(taken.number)
        queue = opened(store, kind, total=total, **kwargs)
        taken = queue.take()
        drawn = draw(taken)
        queue.study.tell(taken.number, sum(x for x in drawn.values() if isinstance(x, float)))
    return [trial.params for trial in queue.trials()]


@pytest.mark.parametrize("kind", ["random", "tpe", slow("gp")])
def test_a_search_is_repeated_by_its_seed_also_over_a_kill(kind, tmp_path, monkeypatch):
    found = {}
    for name, kwargs in {"one": {}, "killed": {"killed": 11}, "seed": {"seed": 1}}.items():
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found[name] = settings_of(kind, 12, **kwargs)
    assert found["one"] == found["killed"] != found["seed"]
    assert len({tuple(params.values()) for params in found["one"]}) == 12


def test_one_seed_for_all_processes_would_draw_the_same(monkeypatch):
    """The negative control of the test above."""
    monkeypatch.setattr(Keyed, "before_trial", lambda self, study, trial: None)
    assert len({tuple(params.values()) for params in settings_of("random", 4)}) == 1


@pytest.mark.parametrize("killed", [slow(None), slow(1), 3])
def test_a_grid_is_covered_exactly(killed):
    found = settings_of("grid", 4, killed, space=GRID, store="sqlite:///study.db")
    points = {(params[RATE], params[WIDTHS]) for params in found}
    assert points == {(rate, widths) for rate in (0.01, 1e30) for widths in ("[8]", "[8, 8]")}


# Searches


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished search on a grid of four, in two processes."""
    before, folder = Path.cwd(), tmp_path_factory.mktemp("search")
    os.chdir(folder)
    search("--jobs=2")
    os.chdir(before)
    return folder


def test_each_trial_is_a_run_of_one_group(finished, monkeypatch):
    monkeypatch.chdir(finished)
    assert len(trials()) == 4
    for trial in (trial for trial in trials() if trial.state == TrialState.COMPLETE):
        folder = Path(f"runs/regress/tune-{trial.number}")
        config = dotted(yaml.safe_load((folder / "config.yaml").read_text()))
        assert config[RATE] == trial.params[RATE]
        assert json.dumps(config[WIDTHS]) == trial.params[WIDTHS]
        assert json.loads((folder / "run.json").read_text())["group"] == "tune"


def test_a_diverged_trial_is_recorded_and_the_search_goes_on(finished, monkeypatch):
    monkeypatch.chdir(finished)
    for trial in trials():
        if trial.params[RATE] > 1:
            assert trial.state == TrialState.FAIL
            assert re.search("not finite|is nan", trial.user_attrs["reason"])
        else:
            found = [row["val/nll"] for row in rows(Path(trial.user_attrs["folder"]))[-1:]]
            assert (trial.state, trial.values) == (TrialState.COMPLETE, found)


def test_the_best_config_comes_to_the_same_again(finished, monkeypatch, recipe):
    monkeypatch.chdir(finished)
    best = min((t for t in trials() if t.values), key=lambda trial: trial.value)
    recipe("regress", "fit", "--config=runs/regress/tune/best.yaml", "--name=again")
    ours, again = (rows(Path("runs/regress", name)) for name in (f"tune-{best.number}", "again"))
    assert ours == again
    facts = json.loads(Path("runs/regress/again/run.json").read_text())
    assert facts["group"] == "regress", "and is none of the search's runs"


def test_pictures_and_nothing_else_are_left(finished):
    left = {path.name for path in (finished / "runs/regress/tune").iterdir()}
    pictures = {"history.png", "importances.png", "slice.png"}
    assert {"best.yaml", "study.db"} | pictures <= left
    assert not [name for name in left if "log" in name]
    for name in pictures:
        assert (finished / "runs/regress/tune" / name).stat().st_size > 5000


def test_the_same_command_again_runs_nothing(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    before = [(trial.number, trial.datetime_complete) for trial in trials()]
    search("--jobs=2")
    assert [(trial.number, trial.datetime_complete) for trial in trials()] == before
    assert "4 of 4 trials have ended before" in capsys.readouterr().out


def test_another_search_is_not_mixed_with_this_one(finished, monkeypatch):
    monkeypatch.chdir(finished)
    with pytest.raises(SystemExit, match=r"--study=tune: its value was last, not best"):
        search("--value=best")
    with pytest.raises(SystemExit, match=r"--study=tune: its parameters"):
        search(space=GRID.replace("0.01", "0.02"))


BREAKS = """
import os, signal
from pathlib import Path
from lightning.pytorch import Callback

class Breaks(Callback):
    def setup(self, trainer, module, stage):
        if Path("kill").exists():
            Path("kill").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_epoch_start(self, trainer, module):
        if Path("full").exists() and trainer.current_epoch == 1:
            raise OSError("No space left on device")
"""


@pytest.mark.slow
def test_what_a_first_trial_has_trained_is_kept_whatever_ends_it(monkeypatch, capfd):
    Path("breaks.py").write_text(BREAKS)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:.")  # of the processes
    monkeypatch.syspath_prepend(".")
    args = ("--trials=1", "--grace=1", "--trainer.callbacks+=breaks.Breaks")
    folder = Path("runs/regress/tune-0.2")
    Path("kill").touch()  # once, when there is a folder, tune-0, and no more
    Path("full").touch()
    with pytest.raises(
        SystemExit, match=r"error: --trainer\.callbacks\+=breaks\.Breaks: No space left on device"
    ):
        search(*args, space=LINE)
    assert not Path("kill").exists() and (folder / "checkpoints/last.ckpt").is_file()
    Path("full").unlink()
    search(*args, space=LINE)
    facts = json.loads((folder / "run.json").read_text())
    assert len(facts["continued"]) == 1 and "finished" in facts
    # A folder that was there before is nobody's to remove.
    mine = Path("runs/regress/third-0/mine.txt")
    mine.parent.mkdir()
    mine.touch()
    search(*args, "--study=third", space=LINE)
    assert [*mine.parent.iterdir()] == [mine]
    assert Path("runs/regress/third-0.2/checkpoints/last.ckpt").is_file()


# Pruning


@pytest.mark.parametrize(("pruner", "epochs"), [("median", 2), ("none", 6)])
def test_a_trial_that_is_behind_ends_early(recipe, pruner, epochs):
    pruners = {"median": optuna.pruners.MedianPruner(1, 2), "none": optuna.pruners.NopPruner()}
    study = optuna.create_study(pruner=pruners[pruner])
    ahead = {number: -100.0 for number in range(1, 7)}
    study.add_trial(optuna.trial.create_trial(value=-100.0, intermediate_values=ahead))
    report = Report("val/nll", study.ask())
    run(Regress, ["fit", "--trainer.max_epochs=6", "--trainer.enable_progress_bar=false"], [report])
    assert report.pruned == (pruner == "median")
    (folder,) = Path("runs/regress").iterdir()
    found = [row["val/nll"] for row in rows(folder) if "val/nll" in row]
    assert len(found) == epochs
    told = study.trials[1].intermediate_values
    assert told == dict(enumerate(found, start=1))


# Several processes, and their death


def start(*args, **environment):
    """Starts a search as a user does."""
    replace_file(Path("space.yaml"), LINE)  # which another one may be reading
    short = ("--trainer.max_epochs=10", "--trials=4", "--grace=2")
    given = ("--recipe=regress", "--space=space.yaml", *short, *args)
    return Forked("recipes.tune", *given, **environment)


def ended(url):
    """The trials that have ended, by number: when, with what value, and their parameters."""
    if not Path("runs/regress/tune-0/run.json").exists():
        return {}  # two that make the tables at once would be in each other's way
    try:
        return {
            trial.number: (trial.datetime_complete, trial.value, trial.params)
            for trial in trials(url)
            if trial.state.is_finished()
        }
    except (ValueError, KeyError):  # there is no study yet
        return {}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The trials of a search that nobody kills."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("undisturbed"))
        ended_well(start())
        return ended("sqlite:///runs/regress/tune/study.db")


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["search", "all"])
def test_a_killed_search_goes_on_where_it_was(whom, undisturbed, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    process = start(f"--storage={url}")
    while not ended(url):
        assert process.poll() is None, process.output()
        time.sleep(0.1)
    children = [process.pid]
    if whom == "all":
        listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True)
        pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
        for pid, parent in pairs * 3:
            if parent in children and pid not in children:
                children.append(pid)
    for pid in children:
        send(signal.SIGKILL, pid)
    process.wait()
    time.sleep(3)
    before = ended(url)
    ended_well(start(f"--storage={url}"))
    after = ended(url)
    assert sorted(after) == list(range(4)), "no number is lost"
    assert before.items() <= after.items(), "what had ended is as it was"
    assert [x[1:] for x in after.values()] == [x[1:] for x in undisturbed.values()]


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite:///shared.db", "journal:shared.journal"])
def test_jobs_of_an_array_share_a_study(store):
    jobs = [start(f"--storage={store}", SLURM_ARRAY_TASK_ID=str(number)) for number in range(2)]
    ended_well(*jobs)
    folders = sorted(path.name for path in Path("runs/regress").glob("tune-*"))
    assert folders == [f"tune-{number}" for number in range(4)], "each trial is run once"
    counts = [len(rows(Path("runs/regress", folder))) for folder in folders]
    assert len(set(counts)) == 1


@pytest.mark.slow
def test_a_trial_of_two_processes_is_given_up_in_both():
    ddp = ("--config=diabetes", "--config=ddp", "--trainer.accelerator=cpu", "--study=tune")
    store = "sqlite:///ddp.db"
    process = start(f"--storage={store}", *ddp, "--pruner=halving", "--trials=3")
    ended_well(process)
    assert {trial.state for trial in trials(store)} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials(store):
        facts = json.loads(Path(trial.user_attrs["folder"], "run.json").read_text())
        assert facts.get("pruned", False) == (trial.state == TrialState.PRUNED)
        assert "finished" in facts


@pytest.mark.slow
def test_ray_draws_from_the_same_spaces():
    pytest.importorskip("ray.tune", reason="the extra ray is not installed")
    Path("space.yaml").write_text(GRID.replace("1.0e+30", "0.1"))
    command = [sys.executable, "-m", "recipes.tune.on_ray", "--recipe=regress"]
    short = ["--space=space.yaml", "--trainer.max_epochs=2", "--trainer.limit_train_batches=3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *short], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    runs = list(Path("runs/ray/regress").iterdir())
    found = {run: [row["val/nll"] for row in rows(run) if "val/nll" in row][-1] for run in runs}
    assert len(found) == 4
    best = dotted(yaml.safe_load((min(found, key=found.get) / "config.yaml").read_text()))
    said = next(line for line in done.stdout.splitlines() if line.startswith("best: "))
    assert flag(RATE, best[RATE]) in said and f"{min(found.values()):.6g}" in said
