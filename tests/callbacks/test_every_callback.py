"""What every callback keeps: its documented snippet, its help, identical training and resuming."""

import inspect
import json
import re
from pathlib import Path

import pytest
import torch
import yaml

import callbacks
from callbacks.schedules import Schedule
from recipes.classify import Classify
from recipes.cli import main
from stepped.module import Automatic, Manual
from trains import interrupt_after, middle_of_epoch, rows

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")

# Each as it could be used on two networks, `one` and `two`, with an optimizer each.
OPTIONS = {
    "ChangedSettings": {},
    "Curves": {"metrics": ["val/loss"]},
    "EMA": {"module": "one", "half_life": 5},
    "Export": {"module": "one"},
    "FiniteLoss": {},
    "GradientClip": {"limit": 0.3},
    "HyperparameterSchedule": {"key": "beta2", "to": 0.9, "schedule": "linear"},
    "KeyedNoise": {},
    "L1": {"strength": 0.01},
    "LRDecay": {"schedule": "one_cycle"},
    "LossDrivenLR": {"monitor": "train/two", "interval": "batch", "patience": 2, "factor_up": 1.3}
    | {"half_life": 2, "optimizers": [0]},
    "MaxNorm": {"limit": 1.0},
    "OptimizerStats": {"every": 3, "layers": True},
    "Prune": {"final": 0.7, "every": 3},
    "Threads": {},
    "Throughput": {},
    "WritePredictions": {},
}
OBSERVERS = ("Curves", "EMA", "Export", "FiniteLoss", "OptimizerStats", "Throughput")


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
    kept = [
        {k: v for k, v in row.items() if not k.startswith("throughput/")} for row in rows(folder)
    ]
    return saved["state_dict"], [json.dumps(row) for row in kept]


@pytest.fixture(autouse=True)
def debug(monkeypatch):
    monkeypatch.setenv("RECIPES_DEBUG", "1")


def test_every_callback_is_here():
    assert OPTIONS.keys() == set(callbacks.__all__)


@pytest.mark.parametrize("name", callbacks.__all__)
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


@pytest.mark.parametrize("module", [Automatic, Manual])
@pytest.mark.parametrize("name", OBSERVERS)
def test_what_only_observes_changes_nothing(name, module):
    flags = ("--trainer.max_epochs=2", "--trainer.val_check_interval=5")
    alone, observed = (
        run(module, "alone", *flags),
        run(module, "observed", "--config=digits", config([name]), *flags),
    )
    assert all(torch.equal(alone[0][key], value) for key, value in observed[0].items())


OTHERS = [name for name in OPTIONS if name not in (*OBSERVERS, "LRDecay", "LossDrivenLR")]


@pytest.mark.parametrize("names", [OBSERVERS, ["LRDecay", *OTHERS], ["LossDrivenLR", *OBSERVERS]])
def test_a_run_interrupted_in_an_epoch_resumes_identically(names, monkeypatch):
    """Two optimizers by hand; a validation within each epoch; the same rows and weights."""
    flags = ("--config=digits", config(names), "--trainer.val_check_interval=6")
    whole = run(Manual, "whole", *flags)
    with monkeypatch.context() as patch:
        interrupt_after(43, patch)
        with pytest.raises(MemoryError):
            run(Manual, "cut", *flags, *middle_of_epoch("runs/stepped/cut"))
    main(Manual, ["fit", "--ckpt_path=runs/stepped/cut/checkpoints/middle.ckpt"])
    folder = Path("runs/stepped/cut")
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(whole[0][key], value) for key, value in saved.items())
    kept = [
        {k: v for k, v in row.items() if not k.startswith("throughput/")} for row in rows(folder)
    ]
    assert [json.dumps(row) for row in kept] == whole[1]
    for exported in Path("runs/stepped/whole").glob("*.pt"):
        one, two = (
            torch.load(path, weights_only=True) for path in (exported, folder / exported.name)
        )
        assert all(torch.equal(one[key], value) for key, value in two.items())


def test_a_callbacks_state_matters(monkeypatch):
    """The negative control: without its state, a schedule begins anew."""
    monkeypatch.setattr(callbacks.LRDecay, "load_state_dict", lambda self, state: None)
    with pytest.raises(AssertionError):
        test_a_run_interrupted_in_an_epoch_resumes_identically(["LRDecay"], monkeypatch)


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
