"""The command line: its configs, its order of settings, its errors, and its folders."""

import inspect
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader, TensorDataset

import datamodules
from launches import ROOT
from marks import slow, some
from recipes.classify import Classify
from recipes.distill import Distill
from recipes.parts.networks import ConvNet
from recipes.running import diagnosis
from recipes.running.cli import main
from recipes.running.messages import one_line
from trains import rows

HARDWARE = sorted(ROOT.glob("recipes/hardware/*.yaml"))
SWEEPS = sorted(ROOT.glob("recipes/*/sweep.yaml"))
CONFIGS = sorted({*ROOT.glob("recipes/*/*.yaml")}.difference(HARDWARE, SWEEPS))
SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")
DECAY = ("fit", "--trainer.callbacks+=LRDecay")
MISTAKES = {
    "schedule.yaml": "trainer: {callbacks: [{class_path: LRDecay, init_args: {schedule: wsdd}}]}",
    "option.yaml": "trainer: {callbacks: [{class_path: LRDecay, init_args: {shedule: wsd}}]}",
    "length.yaml": "trainer: {callbacks: [{class_path: LRDecay, init_args: {warmup: 3x}}]}",
    "class.yaml": "trainer: {callbacks: [{class_path: LRDecai}]}",
}


def printed(name, *args, capsys):
    """What --print_config shows."""
    module = __import__(f"recipes.{name}", fromlist=["*"])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(getattr(module, module.__all__[0]), ["fit", *args, "--print_config"])
    assert stop.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.fixture
def resolved(capsys):
    return lambda name, *args: printed(name, *args, capsys=capsys)


@pytest.mark.parametrize(
    "path",
    some(CONFIGS, [path for path in CONFIGS if path.parent.name == "distill"]),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_every_config_parses_by_its_bare_name(path, resolved):
    config = resolved(path.parent.name, f"--config={path.stem}")
    assert config["data"]["class_path"].startswith("datamodules.")
    header = path.read_text().splitlines()
    assert header[0].startswith("# "), "a config begins with what it is"
    assert any(f"python -m recipes.{path.parent.name} fit" in line for line in header)


@pytest.mark.parametrize("name", sorted({path.parent.name for path in CONFIGS}))
def test_help_describes_every_argument_of_the_recipe(name, capsys):
    package = __import__(f"recipes.{name}", fromlist=["*"])
    module = getattr(package, package.__all__[0])
    with pytest.raises(SystemExit):
        main(module, ["fit", "--help"])
    text = capsys.readouterr().out
    assert len(text.splitlines()) < 700, "jsonargparse lists 400 lines of torch.nn a network"
    known = " ".join(re.findall(r"known: [^(\[]*", " ".join(text.split())))
    takes_a_network = "modules.module.Module" in str(inspect.signature(module))
    assert takes_a_network == bool(re.search(r"\bMLP\b", known))
    assert "networks." not in known, "short names"
    assert not re.search(r"\b(Study|Population|Together|Regress|Distill)\b", known), "no networks"
    for argument in inspect.signature(module).parameters:
        entry = text.split(f"\n  --model.{argument} ", 1)[1].split("\n  --", 1)[0]
        description = " ".join(entry.split()[1:]).split("(type:")[0].split("(required")[0]
        assert len(description) > 15, f"{argument} has no sentence"
        assert "default:" in entry or "required" in entry


@pytest.mark.parametrize("name", ["Tabular", "UCI", "Digits"])
def test_help_of_data_stands_below_headings(name, capsys):
    with pytest.raises(SystemExit):
        main(Classify, ["fit", f"--data.help={name}"])
    text, heading, found = capsys.readouterr().out.partition("Help for")[2], "", []
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            heading = line[:-1]
        elif option := re.match(r"  --data\.(\w+)", line):
            found.append((option[1], heading))
    made = getattr(datamodules, name)
    arguments = list(inspect.signature(made).parameters)
    assert sorted(key for key, _ in found) == sorted(arguments), "each once"
    for heading, keys in made.headings.items():
        below = [key for key, of in found if of == heading]
        assert sorted(below) == sorted(set(keys.split()) & set(arguments))
    if name == "Tabular":
        assert found[0][0] == "path" and found[1] == ("target", "columns")
        assert set(" ".join(made.headings.values()).split()) == set(arguments) - {"path"}


def test_help_of_the_recipe_is_its_card(capsys):
    with pytest.raises(SystemExit):
        main(Distill, ["--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m recipes.distill")
    assert "\n    loss = alpha * soft(student, teacher)" in text


def test_a_second_run_has_a_folder_of_its_own(recipe):
    for _ in range(2):
        recipe("classify", "fit", *SHORT)
    one, two = (Path("runs/classify", f"digits-{number}") for number in (1, 2))
    assert rows(one) == rows(two), "and the same seed gives the same numbers"
    recipe("classify", "fit", "--seed_everything=1", *SHORT)
    assert rows(one) != rows(Path("runs/classify/digits-3"))


def test_a_name_is_taken_once(recipe):
    recipe("classify", "fit", "--name=mine", *SHORT)
    before = Path("runs/classify/mine/metrics.jsonl").read_text()
    with pytest.raises(FileExistsError, match=r"--name=mine: .*--ckpt_path="):
        recipe("classify", "fit", "--name=mine", *SHORT)
    assert Path("runs/classify/mine/metrics.jsonl").read_text() == before


@pytest.mark.parametrize("name", ["../mine", "a/b", ".."])
def test_a_name_is_no_path(recipe, name):
    with pytest.raises(ValueError, match=rf"--name={re.escape(name)}: a name, not a path"):
        recipe("classify", "fit", f"--name={name}", *SHORT)
    assert not Path("mine").exists()


def test_a_saved_config_runs_again_to_the_same_numbers(recipe):
    recipe("distill", "fit", "--model.temperature=2", "--seed_everything=3", *SHORT)
    one = Path("runs/distill/digits-1")
    recipe("distill", "fit", f"--config={one}/config.yaml")
    assert rows(one) == rows(Path("runs/distill/config-1"))


def test_a_dry_run_leaves_nothing(recipe):
    recipe("distill", "fit", "--trainer.fast_dev_run=2")
    assert not Path("runs").exists()


@pytest.fixture
def run(recipe):
    """A finished run of distill at a temperature of its own."""
    recipe("distill", "fit", "--model.temperature=7", "--data.batch_size=32", *SHORT)
    return Path("runs/distill/digits-1")


def test_settings_override_each_other_in_order(run, resolved, tmp_path):
    """Defaults < checkpoint < config < flags."""
    lonely = tmp_path / "lonely.ckpt"  # outside of its run's folder
    lonely.write_bytes((run / "checkpoints/last.ckpt").read_bytes())
    checkpoint = f"--ckpt_path={lonely}"
    assert resolved("distill")["model"]["temperature"] == 4
    found = resolved("distill", checkpoint)
    assert found["model"]["temperature"] == 7 and found["data"]["init_args"]["batch_size"] == 32
    config = tmp_path / "own.yaml"
    config.write_text("model: {temperature: 8}\ndata: {class_path: Digits}\n")
    found = resolved("distill", checkpoint, f"--config={config}")
    assert found["model"]["temperature"] == 8 and found["model"]["control"]
    flags = (checkpoint, f"--config={config}", "--model.temperature=9")
    assert resolved("distill", *flags)["model"]["temperature"] == 9
    assert resolved("distill", *reversed(flags))["model"]["temperature"] == 9


def test_stock_lightning_lets_the_checkpoint_override_the_flag(run):
    """The negative control of the test above (pytorch-lightning #21455)."""
    from recipes.running.cli import RecipeCLI

    class Stock(RecipeCLI):
        def parse_arguments(self, parser, args):
            self.command, self.config_name, self.run_folder, self.saved = args, "stock", None, {}
            self.config = parser.parse_args(args)

        def _parse_ckpt_path(self):
            super(RecipeCLI, self)._parse_ckpt_path()

        def before_instantiate_classes(self):
            raise KeyError(self.config.fit.model.temperature)

    args = ["fit", f"--config={run}/config.yaml", "--model.temperature=9"]
    with pytest.raises(KeyError, match="7"):
        Stock(Distill, [*args, f"--ckpt_path={run}/checkpoints/last.ckpt"])


@pytest.mark.parametrize("inside", [slow(True), False])
def test_a_checkpoint_is_validated_without_any_config(run, recipe, tmp_path, inside):
    checkpoint = run / "checkpoints/last.ckpt"
    if not inside:
        checkpoint = checkpoint.rename(tmp_path / "moved.ckpt")
    recipe("distill", "validate", f"--ckpt_path={checkpoint}")
    folder = run if inside else Path("runs/distill/digits-2")
    (row,) = rows(folder, "validate")
    last = rows(run)[-1]
    assert {k: v for k, v in row.items() if "val/" in k} == pytest.approx(
        {k: v for k, v in last.items() if "val/" in k}, rel=1e-6
    )


def test_test_and_predict_add_to_the_run(run, recipe):
    recipe("distill", "test", f"--ckpt_path={run}/checkpoints/last.ckpt")
    recipe("distill", "predict", f"--ckpt_path={run}/checkpoints/last.ckpt")
    (row,) = rows(run, "test")
    assert row["checkpoint"] == f"{run}/checkpoints/last.ckpt"
    table = (run / "predictions.csv").read_text().splitlines()
    assert len(table) == 361
    wrong = sum(line.split(",")[0] != line.split(",")[1] for line in table[1:])
    assert wrong == row["test/errors"]
    state = torch.load(run / "student.pt", weights_only=True)
    student = yaml.safe_load((run / "config.yaml").read_text())["model"]["student"]
    ConvNet(**student["init_args"]).load_state_dict(state)


@pytest.mark.parametrize(
    ("args", "line"),
    some(
        [
            ((), 'expected "subcommand" to be one of {fit,validate,test,predict}'),
            (("fitt",), "invalid choice: 'fitt'"),
            (("fit", "--config=nope"), "--config=nope: no such file; shipped: cifar100_"),
            (
                ("fit", "--model.temperature=-1"),
                "--model.temperature=-1 must be a number from 0.001 to 1000",
            ),
            (("fit", "--model.temprature=1"), "is it --model.temperature?"),
            (
                ("fit", "--model.groups.layer_decay=80"),
                "--model.groups.layer_decay=80 must be a number above 0, 1 at most",
            ),
            (
                ("fit", "--model.scheme=frosen"),
                "--model.scheme=frosen must be one of frozen, online, mutual",
            ),
            (
                ("fit", "--model.student=MPL"),
                "--model.student=MPL: no class of this name, nor a class_path; is it MLP?",
            ),
            (
                ("fit", "--model.student.chanels=3"),
                "--model.student.chanels: no such option; ConvNet has channels, outputs",
            ),
            (
                ("fit", "--model.loss=DKDD"),
                "--model.loss=DKDD: no class of this name, nor a class_path; is it DKD?",
            ),
            (("fit", "--trainer.devices=99"), "--trainer.devices=99: this machine has"),
            (("fit", "--data.batch_size=5000"), "--data.batch_size=5000 does not fit 1077 rows"),
            (("fit", "--data.val_size=5000"), "--data.val_size=5000 of 1437 training images"),
            (("fit", "--ckpt_path=no.ckpt"), "--ckpt_path=no.ckpt: no such file"),
            (("test", "--ckpt_path=http://x/y.ckpt"), "http://x/y.ckpt: no such file"),
            (("fit", "--data.batch_size=0"), "--data.batch_size=0 must be a whole number above 0"),
            (("fit", f"--config={ROOT}/README.md"), "README.md is not a YAML file of settings"),
            (("fit", "--model.scheme=frozen"), "frozen needs --model.teacher_checkpoint"),
            (
                ("fit", "--model.scheme=frozen", "--model.teacher=null"),
                "--model.teacher_checkpoint",
            ),
            (("test",), "test needs the --ckpt_path"),
            (("--config=digits", "fit"), "--config goes behind the subcommand"),
            (("fit", "--seed_everything=-1"), "--seed_everything"),
            (("fit", "--data=Images"), "Images"),
            (("fit", "--data=Tabular"), "error: --data=Tabular needs --data.path"),
            (("fit", "--trainer.callbacks+=EMA"), "EMA needs --trainer.callbacks.module"),
            (
                ("fit", "--trainer.callbacks+=Export", "--trainer.callbacks.module=nothing"),
                "module=",
            ),
            (
                ("fit", "--model.optimizer=SGD", "--model.optimizer.lr=1e30"),
                "error: diverged at step 1 (epoch 0, batch 1): the loss is nan: try a lower lr",
            ),
            (
                (*DECAY, "--trainer.callbacks.warmup=3x"),
                "warmup=3x must be a whole number, 0 or above or a length",
            ),
            (
                (*DECAY, "--trainer.callbacks.schedule=cos"),
                "--trainer.callbacks.schedule=cos must be one of constant, linear, cosine",
            ),
            ((*DECAY, "--trainer.callbacks.gamma=2"), "schedule cosine has no gamma; it has"),
            (
                (*DECAY, "--trainer.callbacks.optimizers=[SGD]"),
                "optimizers: there is no SGD, but Adam",
            ),
            ((*DECAY, "--trainer.max_epochs=-1"), "nothing bounds this run"),
            (("fit", "--trainer.callbacks+=LossDrivenLR"), "LRDecay and LossDrivenLR both set"),
            (
                ("fit", "--config=schedule.yaml"),
                "--trainer.callbacks.schedule=wsdd must be one of constant",
            ),
            (
                ("fit", "--config=option.yaml"),
                "--trainer.callbacks.shedule: no such option; LRDecay has schedule",
            ),
            (
                ("fit", "--config=length.yaml"),
                "--trainer.callbacks.warmup=3x must be a whole number",
            ),
            (
                ("fit", "--config=class.yaml"),
                "--trainer.callbacks=LRDecai: no class of this name, nor a class_path; "
                "is it LRDecay?",
            ),
        ],
        18,
    ),
)
def test_a_mistake_is_one_line(args, line, capfd):
    for name, text in MISTAKES.items():
        Path(name).write_text(text)
    with pytest.raises(SystemExit) as stop:
        main(Distill, list(args))
    message = str(stop.value.code)
    assert message.startswith("error: ") and line in message
    assert "\n" not in message and len(message) < 400
    assert "Traceback" not in capfd.readouterr().err
    empty = [path for path in Path("runs").rglob("digits-*") if not list(path.glob("*.jsonl"))]
    assert not empty, "an empty run is taken away"


@pytest.mark.parametrize(
    "damage", some(["cut", "weights", "flipped", "text", "other recipe", "pickle"], 2)
)
def test_a_checkpoint_that_cannot_be_used_is_one_line(run, recipe, damage):
    path = run / "checkpoints/last.ckpt"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-200])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "text":
        path.write_text("not a checkpoint")
    elif damage == "weights":
        path = run / "student.pt"
    elif damage == "pickle":
        torch.save({"hyper_parameters": {"network": Classify}}, path)
    else:
        recipe("classify", "fit", "--name=other", *SHORT)
        path = Path("runs/classify/other/checkpoints/last.ckpt")
    with pytest.raises(
        ValueError, match=rf"--ckpt_path={path} is (damaged|of another recipe|no checkpoint)"
    ):
        recipe("distill", "fit", f"--ckpt_path={path}")


@pytest.mark.slow
def test_the_exit_status_and_the_line_are_the_processs_own():
    command = [sys.executable, "-m", "recipes.distill", "fit", "--model.alpha=2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: --model.alpha=2 must be a number from 0 to 1"
    )
    assert "Traceback" not in done.stderr


def test_a_function_that_returns_a_network_is_a_network(recipe):
    recipe("classify", "fit", "--model.network=factory.small", *SHORT)
    (run,) = Path("runs/classify").iterdir()
    assert "factory.small" in (run / "config.yaml").read_text()


@pytest.mark.slow
def test_a_config_beside_a_checkpoint_starts_a_run_of_its_own(run, recipe):
    before = (run / "metrics.jsonl").read_text()
    checkpoint = f"--ckpt_path={run}/checkpoints/last.ckpt"
    recipe("distill", "fit", "--config=digits", checkpoint, "--trainer.max_epochs=2")
    assert Path("runs/distill/digits-2/config.yaml").exists()
    assert (run / "metrics.jsonl").read_text() == before


def test_a_lonely_checkpoint_keeps_its_seed(recipe, resolved, tmp_path):
    recipe("classify", "fit", "--seed_everything=4", *SHORT)
    path = Path("runs/classify/digits-1/checkpoints/last.ckpt").rename(tmp_path / "lonely.ckpt")
    lonely = f"--ckpt_path={path}"
    assert resolved("classify", lonely)["seed_everything"] == 4
    assert resolved("classify", lonely, "--seed_everything=5")["seed_everything"] == 5


def test_a_dry_prediction_changes_nothing(run, recipe):
    recipe("distill", "predict", f"--ckpt_path={run}/checkpoints/last.ckpt")
    before = {path: path.read_bytes() for path in (run / "predictions.csv", run / "student.pt")}
    dry = "--trainer.fast_dev_run=1"
    recipe("distill", "predict", f"--ckpt_path={run}/checkpoints/last.ckpt", dry)
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.slow
def test_a_teacher_of_another_split_is_refused(recipe):
    recipe("classify", "fit", *SHORT)
    teacher = "--model.teacher_checkpoint=runs/classify/digits-1/checkpoints/last.ckpt"
    frozen = ("--model.scheme=frozen", teacher)
    recipe("distill", "fit", *frozen, *SHORT)
    with pytest.raises(ValueError, match=r"--data.split_seed=5, but the teacher .* with 0"):
        recipe("distill", "fit", *frozen, "--data.split_seed=5", *SHORT)
    recipe("distill", "fit", *frozen, "--model.teacher=null", *SHORT)


class Unnamed(LightningDataModule):
    def predict_dataloader(self):
        return DataLoader(TensorDataset(torch.zeros(4, 1, 8, 8)), 2)


def test_a_loader_whose_arguments_have_no_name_is_named():
    """Lightning makes that of predict anew, by the names of its arguments."""
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    with pytest.raises(MisconfigurationException) as error:
        trainer.predict(Classify(ConvNet([4])), datamodule=Unnamed())
    said = "--data: its DataLoader of predict needs its arguments by name, as "
    assert one_line(error.value) == f"{said}DataLoader(data, batch_size=...)"


def test_a_warning_of_lightning_s_is_one_line_that_names_the_option():
    with pytest.warns(UserWarning, match="The number of training batches") as said:
        main(Distill, ["fit", "--data.batch_size=1000", "--trainer.max_epochs=1"])
    (few,) = [each for each in said if "training batches" in str(each.message)]
    place = few.filename, few.lineno
    line = "warning: --trainer.log_every_n_steps=4: an epoch has 1 batch, so that some epochs log"
    found = warnings.formatwarning(few.message, few.category, *place)
    assert found == f"{line} nothing of training\n"
    assert warnings.formatwarning("two\nlines", UserWarning, *place) == "warning: two lines\n"


def test_every_restricted_number_has_words():
    """Else its name in Python is what a mistake's line says: must be Decay."""
    packages = ("recipes", "callbacks", "datamodules")
    text = "".join(f.read_text() for folder in packages for f in (ROOT / folder).rglob("*.py"))
    names = re.findall(r"restricted_(?:number|string)_type\(\s*\"(\w+)\"", text)
    assert len(names) > 5 and set(names) <= diagnosis.TYPES.keys()
