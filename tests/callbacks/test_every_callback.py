"""What every callback keeps: its documented snippet, its help, identical training and resuming."""

import copy
import inspect
import json
import re
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

import pytest
import torch
import yaml

import callbacks
from callbacks.loss_driven_lr import State
from callbacks.optimizer_stats.moments import FORMULAS, applied
from callbacks.schedules import FORMS, Schedule, constant
from marks import some
from recipes.classify import Classify
from recipes.running.cli import main
from stepped.module import Automatic, Manual
from trains import interrupt_after, middle_of_epoch, rows

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")

# Each as it could be used on two networks, `one` and `two`, with an optimizer each.
OPTIONS = {
    "ActivationCheckpointing": {"modules": ["one"]},
    "ChangedSettings": {},
    "ChannelsLast": {},
    "ClassReport": {},
    "Compile": {"modules": ["one"]},
    "Curves": {"metrics": ["val/loss"]},
    "EMA": {"module": "one", "half_life": 5},
    "Export": {"module": "one"},
    "FakeQuantize": {"start": 12},
    "FiniteLoss": {},
    "GradientClip": {"limit": 0.5},
    "HyperparameterSchedule": {"key": "beta2", "to": 0.9, "schedule": "linear"},
    "KeyedNoise": {},
    "L1": {"strength": 0.01},
    "LRDecay": {"schedule": "one_cycle"},
    "LossDrivenLR": {"monitor": "train/two", "interval": "batch", "patience": 2, "small": 2.0}
    | {"factor": 0.9, "half_life": 20, "optimizers": [0]},
    "MatmulPrecision": {"precision": "highest"},
    "MaxNorm": {"limit": 1.0},
    "OptimizerStats": {"every": 3, "layers": True},
    "Prune": {"final": 0.7, "every": 3},
    "Requeue": {},
    "Threads": {},
    "Throughput": {},
    "Totals": {},
    "Unfreeze": {"schedule": {"head": 0, "two": 20, "one": "2ep"}},
    "WorstMistakes": {},
    "WritePredictions": {},
}
OBSERVERS = ("Curves", "EMA", "Export", "FiniteLoss", "OptimizerStats", "Throughput", "Totals")


def config(names):
    """A config file with callbacks of some classes."""
    listed = [{"class_path": name, "init_args": OPTIONS[name]} for name in names]
    path = Path(f"{'-'.join(names)[:50]}.yaml")
    path.write_text(yaml.safe_dump({"trainer": {"callbacks": listed}}))
    return f"--config={path}"


def run(module, name, *flags):
    main(module, ["fit", f"--name={name}", *flags])
    folder = Path("runs/stepped", name)
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return saved["state_dict"], logged(folder)


def logged(folder):
    """A run's rows but for what is by the clock; the order of a row's keys does not count."""
    kept = [
        {k: v for k, v in row.items() if not k.startswith("throughput/")} for row in rows(folder)
    ]
    return [json.dumps(row, sort_keys=True) for row in kept]


@pytest.fixture(autouse=True)
def debug(monkeypatch):
    monkeypatch.setenv("RECIPES_DEBUG", "1")
    # The compiler of C++ takes half a minute; that it trains the same is a slow test of overlays.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))


def test_every_callback_is_here():
    assert OPTIONS.keys() == set(callbacks.__all__)


@pytest.mark.parametrize("name", some(callbacks.__all__, 4))
def test_the_documented_snippet_runs(name, recipe, tmp_path):
    text = inspect.getdoc(getattr(callbacks, name))
    (snippet,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    listed = yaml.safe_load(snippet)
    assert [item["class_path"] for item in listed] == [name]
    path = tmp_path / "snippet.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"callbacks": listed}}))
    recipe("classify", "fit", "--config=digits", f"--config={path}", *SHORT)
    used = yaml.safe_load(Path("runs/classify/digits-snippet-1/config.yaml").read_text())
    assert [c["class_path"] for c in used["trainer"]["callbacks"]] == [f"callbacks.{name}"]


@pytest.mark.parametrize("name", callbacks.__all__)
def test_help_describes_every_argument(name, capsys):
    with pytest.raises(SystemExit):
        main(Classify, ["fit", f"--trainer.callbacks.help={name}"])
    text = capsys.readouterr().out
    known = inspect.signature(getattr(callbacks, name)).parameters.keys() - {"kwargs"}
    known |= {key for key in OPTIONS[name] if key not in ("key", "to")}
    for argument in known:
        entry = text.split(f"\n  --trainer.callbacks.{argument} ", 1)[1].split("\n  --", 1)[0]
        description = " ".join(entry.split()[1:]).split("(type:")[0].split("(required")[0]
        assert len(description) > 25, f"{argument} has no sentence"


FORMULA = r"\n +\S.*(=|<-) "
UNIT = r"unit|0 to 1|batches|epochs|bytes|seconds|samples per second|number of CPU threads"
WITHOUT_QUANTITIES = {
    "ActivationCheckpointing",
    "ChangedSettings",
    "ChannelsLast",
    "Compile",
    "Export",
    "FiniteLoss",
    "KeyedNoise",
    "MatmulPrecision",
    "Requeue",
    "WritePredictions",
}


@pytest.mark.parametrize("name", sorted(set(callbacks.__all__) - WITHOUT_QUANTITIES))
def test_documented_quantities_have_a_formula_or_a_unit(name):
    text = inspect.getdoc(getattr(callbacks, name)).split("```yaml")[0]
    arguments = inspect.getdoc(getattr(callbacks, name)).partition("Args:")[2]
    assert re.search(FORMULA, text) or re.search(UNIT, text + arguments)


SOURCE = r"[A-Z]\w+.* (19|20)\d\d\b|https?://"


@pytest.mark.parametrize(
    "function",
    [*(form for form in FORMS.values() if form is not constant), *FORMULAS.values(), applied],
    ids=lambda function: function.__name__,
)
def test_every_schedule_and_moment_has_a_source(function):
    assert re.search(SOURCE, inspect.getdoc(function)), "a name and a year, or an address"


BRIEF = ("--trainer.max_epochs=2", "--trainer.val_check_interval=5")


@cache
def unobserved(module):
    """The weights without any callback, the same for all tests."""
    return run(module, "alone", *BRIEF)[0]


@pytest.mark.parametrize("module", some([Automatic, Manual], [Manual]))
@pytest.mark.parametrize("name", some(OBSERVERS, ["EMA", "OptimizerStats", "Totals"]))
def test_what_only_observes_changes_nothing(name, module):
    observed, _ = run(module, "observed", "--config=digits", config([name]), *BRIEF)
    assert all(torch.equal(unobserved(module)[key], value) for key, value in observed.items())


OTHERS = [name for name in OPTIONS if name not in (*OBSERVERS, "LRDecay", "LossDrivenLR")]


COMBINATIONS = [
    OBSERVERS,
    ["LRDecay", *OTHERS],
    ["LossDrivenLR", *OBSERVERS],
    ["OptimizerStats", "GradientClip"],
]


@pytest.mark.parametrize("names", some(COMBINATIONS, 1))
def test_a_run_interrupted_in_an_epoch_resumes_identically(names, monkeypatch):
    """Two optimizers by hand; a validation within each epoch; the same rows and weights."""
    flags = ("--config=digits", config(names), "--trainer.val_check_interval=6")
    whole = run(Manual, "whole", *flags)
    kept = [json.loads(row) for row in whole[1]]
    if "LossDrivenLR" in names:
        assert len({row["lr/Adam"] for row in kept if "lr/Adam" in row}) > 2, "it was steered"
    if "GradientClip" in names and "OptimizerStats" in names:
        key = "optimizer/Adam/clipped"
        assert len({row[key] for row in kept if key in row}) > 2, "some of a row's steps"
    with monkeypatch.context() as patch:
        interrupt_after(43, patch)
        with pytest.raises(MemoryError):
            run(Manual, "cut", *flags, *middle_of_epoch("runs/stepped/cut"))
    main(Manual, ["fit", "--ckpt_path=runs/stepped/cut/checkpoints/middle.ckpt"])
    folder = Path("runs/stepped/cut")
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(whole[0][key], value) for key, value in saved.items())
    assert logged(folder) == whole[1]
    for exported in Path("runs/stepped/whole").glob("*.pt"):
        one, two = (
            torch.load(path, weights_only=True) for path in (exported, folder / exported.name)
        )
        assert all(torch.equal(one[key], value) for key, value in two.items())


# Where the average is still above `small` when the run is interrupted.
LATER = OPTIONS["LossDrivenLR"] | {"small": 1.7}


@pytest.mark.slow
def test_a_rate_that_falls_only_after_the_interruption(monkeypatch):
    monkeypatch.setitem(OPTIONS, "LossDrivenLR", LATER)
    test_a_run_interrupted_in_an_epoch_resumes_identically(["LossDrivenLR"], monkeypatch)


def losing(name, change):
    """A callback's `load_state_dict`, of a state that was changed."""
    real = getattr(callbacks, name).load_state_dict
    return lambda self, state: real(self, change(copy.deepcopy(state)))


def counts(**values):
    """Changes what OptimizerStats has counted."""
    return lambda state: (
        state | {"counts": {name: count | values for name, count in state["counts"].items()}}
    )


LOST = {
    "LRDecay's step": (["LRDecay"], lambda state: {"step": 0}),
    "LossDrivenLR's state": (
        ["LossDrivenLR"],
        lambda state: state | {"state": asdict(State())},
    ),
    "LossDrivenLR's weight": (["LossDrivenLR"], lambda state: state | {"weight": 0.0}),
    "LossDrivenLR's average": (["LossDrivenLR"], lambda state: state | {"average": 0.0}),
    "FakeQuantize's averages": (["FakeQuantize"], lambda state: state | {"averages": {}}),
    "OptimizerStats's clipped": (["OptimizerStats", "GradientClip"], counts(clipped=0.0)),
    "OptimizerStats's steps": (["OptimizerStats", "GradientClip"], counts(steps=0)),
}


@pytest.mark.parametrize("what", some(LOST, 0))
def test_a_callbacks_state_matters(what, monkeypatch):
    """The negative control: without a part of its state, it begins anew."""
    names, change = LOST[what]
    if what.startswith("LossDrivenLR") and "state" not in what:
        monkeypatch.setitem(OPTIONS, "LossDrivenLR", LATER)
    monkeypatch.setattr(getattr(callbacks, names[0]), "load_state_dict", losing(names[0], change))
    with pytest.raises(AssertionError, match=r"^(?!.*(steered|some of)).*"):
        test_a_run_interrupted_in_an_epoch_resumes_identically(names, monkeypatch)


def test_a_callback_from_the_command_line_replaces_the_configs(recipe):
    """Both of all optimizers: the later counts, as settings do."""
    flags = ("--trainer.callbacks+=LRDecay", "--trainer.callbacks.schedule=linear")
    recipe("classify", "fit", *flags, "--trainer.max_epochs=2", "--trainer.log_every_n_steps=1")
    found = [row["lr/Adam"] for row in rows(Path("runs/classify/digits-1")) if "lr/Adam" in row]
    batches = len(found)
    linear = Schedule("linear", batches)
    assert found == pytest.approx([0.01 * linear(t) for t in range(batches)])


def test_early_stopping_is_lightnings(recipe):
    flags = ("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss")
    flags += ("--trainer.callbacks.patience=1", "--trainer.callbacks.min_delta=10")
    recipe("classify", "fit", *flags)
    assert rows(Path("runs/classify/digits-1"))[-1]["epoch"] == 1
