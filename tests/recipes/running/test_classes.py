"""A newly named class starts from its own defaults; what the old one was given is named."""

import inspect
import logging
from contextlib import nullcontext

import pytest
import torch
import yaml
from torch import nn

import recipes.running.cli
from launches import ROOT
from marks import some
from recipes.running.classes import classes_first
from recipes.running.cli import main
from recipes.running.recipe import find_recipe

CONFIGS = [
    path
    for path in sorted(ROOT.glob("recipes/*/*.yaml"))
    if path.parent.name != "hardware" and path.stem != "sweep"
]
NOTE = "starts from its own defaults, without"


def given(class_path, **init_args):
    return {"class_path": class_path, "init_args": init_args}


# What is set first; what names another class; which class that is, and what it then has.
OTHERS = {
    "optimizer": (
        {"model": {"optimizer": given("AdamW", lr=0.005, weight_decay=1.0, fused=True)}},
        {"model": {"optimizer": "Adam"}},
        ("model.optimizer", {"lr": 0.001, "weight_decay": 0.0, "fused": None}),
        "without AdamW's lr=0.005, weight_decay=1.0, fused=True",
    ),
    "its own": (
        {"model": {"optimizer": given("AdamW", lr=0.005, weight_decay=1.0)}},
        {"model": {"optimizer": given("SGD", lr=0.2)}},
        ("model.optimizer", {"lr": 0.2, "weight_decay": 0}),
        "without AdamW's lr=0.005, weight_decay=1.0",
    ),
    "network": (
        {"model": {"network": given("MLP", inputs=10, widths=[7], outputs=1, dropout=0.5)}},
        {"model": {"network": given("ConvNet", channels=[4])}},
        ("model.network", {"channels": [4], "inputs": 10, "outputs": 1, "dropout": 0.0}),
        "without MLP's inputs=10, widths=[7], outputs=1, dropout=0.5",
    ),
    "data": (
        {"data": given("Diabetes", batch_size="full", val_size=0.5, split=3)},
        {"data": given("Friedman")},
        ("data", {"batch_size": 128, "val_size": 0.2, "split": 0}),
        "without Diabetes's batch_size=full, val_size=0.5, split=3",
    ),
    "loss": (
        {"model": {"loss": given("DKD", alpha=2.0, beta=3.0)}},
        {"model": {"loss": "DIST"}},
        ("model.loss", {"beta": 1.0, "gamma": 1.0}),
        "without DKD's alpha=2.0, beta=3.0",
    ),
    "logger": (
        {"trainer": {"logger": given("CSVLogger", save_dir="logs", name="mine", prefix="a")}},
        {"trainer": {"logger": given("MLFlowLogger")}},
        ("trainer.logger", {"prefix": ""}),
        "without CSVLogger's save_dir=logs, name=mine, prefix=a",
    ),
    "strategy": (
        {"trainer": {"strategy": given("DDPStrategy", process_group_backend="gloo")}},
        {"trainer": {"strategy": given("FSDPStrategy")}},
        ("trainer.strategy", {"process_group_backend": None}),
        "without DDPStrategy's process_group_backend=gloo",
    ),
}


def at(config, key):
    for name in key.split("."):
        config = config[name]
    return config


def as_flags(content, key=""):
    """A config as the flags that say the same."""
    found = []
    for name, value in content.items():
        option = f"{key}.{name}" if key else name
        if isinstance(value, dict) and "class_path" in value:
            found.append(f"--{option}={value['class_path']}")
            found += [f"--{option}.{k}={v}" for k, v in value["init_args"].items()]
        elif isinstance(value, dict):
            found += as_flags(value, option)
        else:
            found.append(f"--{option}={value}")
    return found


class Parsed(Exception):
    """What the command line has understood, before anything is made of it."""


@pytest.fixture
def parse(tmp_path, monkeypatch):
    """Of a recipe and its sources, dicts for configs and strings for flags: config and notes."""

    def stop(cli):
        raise Parsed(cli._dump(cli.config[cli.subcommand]))

    notes = []
    monkeypatch.setattr(recipes.running.cli, "rank_zero_info", notes.append)
    monkeypatch.setattr(recipes.running.cli.RecipeCLI, "before_instantiate_classes", stop)
    monkeypatch.setenv("RECIPES_DEBUG", "1")

    def understood(recipe, *sources):
        flags = []
        for number, source in enumerate(sources):
            if isinstance(source, dict):
                path = tmp_path / f"{number}.yaml"
                path.write_text(yaml.safe_dump(source, sort_keys=False))
                source = f"--config={path}"
            flags.append(source)
        notes.clear()
        with pytest.raises(Parsed) as parsed:
            main(find_recipe(recipe).module, ["fit", *flags])
        return parsed.value.args[0], list(notes)

    return understood


@pytest.fixture(scope="module")
def distilled():
    return yaml.safe_load((ROOT / "recipes/distill/digits.yaml").read_text())


LINEAR = {"model": {"network": given("LinearModel", inputs=10)}, "data": given("Diabetes")}


@pytest.mark.parametrize("by_flags", [False, True], ids=["config", "flags"])
@pytest.mark.parametrize("case", some(OTHERS, 4))
def test_another_class_starts_from_its_own_defaults(case, by_flags, parse, distilled):
    """And what the old one was given is named, in one line."""
    before, now, (key, expected), line = OTHERS[case]
    recipe, base = ("distill", distilled) if case == "loss" else ("regress", LINEAR)
    flags = as_flags(now)
    if case == "strategy":  # by its bare name it is one of Lightning's strings
        flags = ["--trainer.strategy.class_path=lightning.pytorch.strategies.FSDPStrategy"]
    config, notes = parse(recipe, base, before, *(flags if by_flags else [now]))
    found = at(config, key)
    assert short(found["class_path"]) in str(now)
    assert {name: found["init_args"][name] for name in expected} == expected
    option = f"note: --{key}={short(found['class_path'])} starts from its own defaults"
    assert [note for note in notes if note.startswith(f"note: --{key}=")][-1:] == [
        f"{option}, {line}"
    ]


@pytest.mark.parametrize("case", OTHERS)
def test_jsonargparse_alone_passes_the_arguments_on(case, parse, monkeypatch, distilled):
    """The negative control of the test above, where the classes have arguments in common."""
    monkeypatch.setattr(recipes.running.cli, "own_defaults", lambda _: nullcontext([]))
    before, now, (key, expected), _ = OTHERS[case]
    recipe, base = ("distill", distilled) if case == "loss" else ("regress", LINEAR)
    config, notes = parse(recipe, base, before, now)
    found = at(config, key)["init_args"]
    assert {name: found[name] for name in expected} != expected and not notes


SAME = {
    "flag": ["--model.optimizer=AdamW"],
    "class_path": ["--model.optimizer.class_path=torch.optim.AdamW"],
    "config": [{"model": {"optimizer": "AdamW"}}],
    "another argument": [{"model": {"optimizer": given("AdamW", fused=True)}}],
    "argument alone": ["--model.optimizer.fused=true"],
}


@pytest.mark.parametrize("case", SAME)
def test_the_same_class_keeps_what_it_was_given(case, parse):
    before = {"model": {"optimizer": given("AdamW", lr=0.005, weight_decay=1.0)}}
    config, notes = parse("regress", LINEAR, before, *SAME[case])
    found = at(config, "model.optimizer.init_args")
    assert (found["lr"], found["weight_decay"], notes) == (0.005, 1.0, [])


def test_a_class_and_its_arguments_may_be_given_in_any_order(parse):
    before = {"model": {"optimizer": given("AdamW", lr=0.005, weight_decay=1.0)}}
    flags = ["--model.optimizer.lr=0.3", "--model.optimizer.momentum", "0.5"]
    for name in ("--model.optimizer=SGD", "--model.optimizer.class_path=SGD"):
        config, _ = parse("regress", LINEAR, before, *flags, name)
        found = at(config, "model.optimizer.init_args")
        assert (found["lr"], found["momentum"], found["weight_decay"]) == (0.3, 0.5, 0)


@pytest.mark.parametrize(
    ("flags", "ordered"),
    [
        (["--a.lr=1", "--a=B"], ["--a=B", "--a.lr=1"]),
        (["--a.lr", "1", "--b=2", "--a", "B"], ["--a", "B", "--a.lr", "1", "--b=2"]),
        (["--a.lr=1", "--a.class_path=B"], ["--a.class_path=B", "--a.lr=1"]),
        # These arguments have a class already, or are of none.
        (["--a=B", "--a.lr=1", "--a=C"], ["--a=B", "--a.lr=1", "--a=C"]),
        (["--c+=B", "--c.x=1", "--c+=D", "--c.x=2"], ["--c+=B", "--c.x=1", "--c+=D", "--c.x=2"]),
        (["--a.lr=1", "--a=null"], ["--a.lr=1", "--a=null"]),
        (["--c.x=1", "--c=[]"], ["--c.x=1", "--c=[]"]),
        (["--a.lr=1", "--ab=B"], ["--a.lr=1", "--ab=B"]),
    ],
)
def test_flags_are_put_in_order(flags, ordered):
    assert classes_first(flags) == ordered


def callbacks(*named):
    return {"trainer": {"callbacks": [given(name, **args) for name, args in named]}}


MINE = callbacks(("L1", {"strength": 0.5, "module": "network"}), ("LRDecay", {"warmup": 3}))


def of_callbacks(config):
    """Some arguments of a config's callbacks, by class."""
    names = ("strength", "module", "warmup", "schedule")
    return {
        short(item["class_path"]): {k: v for k, v in item["init_args"].items() if k in names}
        for item in config["trainer"]["callbacks"]
    }


def test_a_list_given_anew_keeps_the_arguments_of_the_same_classes(parse):
    """Wherever they were; a class in another's place does not get that one's arguments."""
    anew = callbacks(("LRDecay", {"schedule": "linear"}), ("Prune", {"final": 0.5}))
    found = of_callbacks(parse("regress", LINEAR, MINE, anew)[0])
    assert found["LRDecay"] == {"warmup": 3, "schedule": "linear"}
    assert found["Prune"] == {"module": ""}
    assert "L1" not in found


def test_an_appended_class_starts_from_its_own_defaults(parse):
    appended = ["--trainer.callbacks+=Prune", "--trainer.callbacks.final=0.5"]
    found = of_callbacks(parse("regress", LINEAR, MINE, *appended)[0])
    assert found["L1"] == {"strength": 0.5, "module": "network"}
    assert found["Prune"] == {"module": ""}


def test_a_callback_that_replaces_another_says_what_that_had(recipe, caplog):
    once = ("--trainer.callbacks+=LRDecay", "--trainer.callbacks.warmup=3")
    with caplog.at_level(logging.INFO):
        recipe("regress", "fit", *once, "--trainer.callbacks+=LRDecay", "--trainer.max_epochs=1")
    (note,) = [m for m in caplog.messages if "the last LRDecay" in m]
    assert note.endswith("starts from its own defaults, without the one before's warmup=3")


def short(path):
    return path.rpartition(".")[2]


# What the shipped configs come to.


def specs(value, key=""):
    """All classes below a value of a config, by their keys."""
    if isinstance(value, dict):
        if "class_path" in value:
            yield key, value
        for name, item in value.items():
            yield from specs(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from specs(item, f"{key}.{number}")


def own(class_path):
    """The defaults of a class's arguments, also of those that it passes on to its parents."""
    module, _, name = class_path.rpartition(".")
    found = {}
    for parent in reversed(inspect.getmro(getattr(__import__(module, fromlist=[name]), name))):
        for key, parameter in inspect.signature(parent.__init__).parameters.items():
            if parameter.default is not parameter.empty:
                found[key] = parameter.default
    return found


def listed(value):
    return value if isinstance(value, list) else [value]


def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    try:
        return float(value)  # YAML reads 1e-3 as a string
    except (TypeError, ValueError):
        return value


def as_made(maker, spec):
    """The settings of the optimizer that a constructor has as a default, for a config's spec."""
    made = maker([nn.Parameter(torch.zeros(1))])
    assert short(spec["class_path"]) == type(made).__name__
    return {key: value for key, value in made.defaults.items() if key in spec["init_args"]}


@pytest.mark.parametrize(
    "path",
    some(
        CONFIGS, [path for path in CONFIGS if path.stem in ("digits", "lbfgs", "diabetes", "ring")]
    ),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_a_shipped_config_resolves_to_what_it_says_or_a_classs_own_default(path, parse):
    resolved, notes = parse(path.parent.name, f"--config={path.stem}")
    assert not notes
    written = dict(specs(yaml.safe_load(path.read_text())))
    signature = inspect.signature(find_recipe(path.parent.name).module).parameters
    assert {key for key, _ in specs(resolved)} >= written.keys()
    for key, spec in specs(resolved):
        if key in written:
            expected = own(spec["class_path"]) | written[key].get("init_args", {})
        else:
            default = signature[key.removeprefix("model.")].default
            expected = as_made(default, spec)
            assert expected, key
        for name, value in spec.get("init_args", {}).items():
            classes = isinstance(value, dict) or (value and dict in map(type, listed(value)))
            if classes or name == "seed":  # which are compared by themselves; is seed_everything's
                continue
            if name in expected:
                assert plain(value) == pytest.approx(plain(expected[name])), f"{key}.{name}"
            else:
                assert key not in written or value is None, f"{key}.{name}"
