"""Attacks: what others wrote, such as a file or a name, shall fetch, read, remove or run nothing.

Each row is one of them. It must end in a line, and the trap beside it must not have sprung.
"""

import json
import subprocess
import threading
from base64 import b64encode
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import torch
import yaml
from jsonargparse import set_parsing_settings
from optuna.trial import TrialState

from datamodules import HuggingFace
from recipes.classify import Classify
from recipes.compare import tracked
from recipes.compare.__main__ import main as compare
from recipes.compare.tracked import online_runs
from recipes.distill import Distill
from recipes.gan import GAN
from recipes.regress import Regress
from recipes.running import cli
from recipes.tune.__main__ import main as tune
from recipes.tune.folders import discard_own
from recipes.tune.outcome import tell
from recipes.tune.trial import fit_arguments
from studies import a_search, claim, run_at

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=1")
# Settings that an address could be given for, on the command line or in a file.
SETTINGS = ("model", "model.optimizer", "model.network", "data", "trainer", "trainer.callbacks")
SETTINGS += ("trainer.logger", "trainer.plugins")


INTRUDER = """
from pathlib import Path
from torch import nn

Path("sprung").touch()

class Net(nn.Linear):
    def __init__(self):
        super().__init__(64, 10)

def function(parameters):
    raise NotImplementedError
"""


@dataclass
class Trap:
    """What an attack would set off.

    Attributes:
        url: of a server that answers with a config
        fetched: what it was asked for
    """

    url: str
    fetched: list[str] = field(default_factory=list)

    @property
    def sprung(self):
        """Whether the module `intruder` of the present folder was imported."""
        return Path("sprung").exists()


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A server on this machine and a module that nobody asked for, and configs that name it."""
    found = Trap("")
    Path("intruder.py").write_text(INTRUDER)
    for name in ("settings", "settings.yaml"):
        Path(name).write_text("class_path: intruder.Net")
    monkeypatch.syspath_prepend(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found.fetched.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"class_path: torch.optim.SGD\n")

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        server.shutdown()


def refused(*args, module=Classify):
    """The line that a command ends in."""
    with pytest.raises(SystemExit) as stop:
        cli.main(module, [*args, *SHORT])
    line = str(stop.value.code)
    assert line.startswith("error: ") and "\n" not in line
    return line


def nested(key, value):
    """A setting as a file has it."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


@pytest.mark.parametrize("where", ["flag", "file"])
@pytest.mark.parametrize("key", SETTINGS)
def test_no_setting_is_fetched(key, where, trap):
    address = f"{trap.url}/settings"
    Path("own.yaml").write_text(yaml.safe_dump({"data": "Digits"} | nested(key, address)))
    given = f"--{key}={address}" if where == "flag" else "--config=own.yaml"
    line = refused("fit", given)
    if where == "file" and key in ("model", "trainer"):  # sections, which a file may not name so
        assert line == f"error: --config=own.yaml: {key} is '{address}', not settings"
    else:
        assert f"--{key}={address}" in line
    assert not trap.fetched


def test_stock_lightning_fetches_settings(trap, monkeypatch):
    """The negative control of the test above."""
    stock = {"config_read_mode_fsspec_enabled": True}  # as importing Lightning's command line does
    monkeypatch.setattr(cli, "fetch_nothing", lambda: set_parsing_settings(**stock))
    with pytest.raises(SystemExit):
        cli.main(Classify, ["fit", f"--model.optimizer={trap.url}/settings", "--print_config"])
    assert trap.fetched


MLP = {"class_path": "recipes.parts.networks.MLP", "init_args": {"inputs": 64, "widths": [4]}}
DOTTED = {"class_path": "torch.nn.Linear", "init_args.x": "intruder.Net"}
LAYER = {"class_path": "torch.nn.TransformerEncoderLayer"}
LAYER |= {"init_args": {"d_model": 8, "nhead": 1, "activation": "intruder.function"}}
DIGITS = {"_class_path": "datamodules.digits.Digits", "batch_size": 32}
DEMO = "lightning.pytorch.demos.mnist_datamodule.MNISTDataModule"
TABLE = {"_class_path": "datamodules.own.Tabular"}
# What a checkpoint's hyperparameters name, of the model and of the data, and the option for it.
NAMED = {
    "class": ({"network": {"class_path": "intruder.Net"}}, DIGITS, "network=intruder.Net"),
    "text": ({"network": "intruder.Net"}, DIGITS, "network=intruder.Net"),
    "yaml": ({"network": "class_path: intruder.Net"}, DIGITS, "network=class_path: intruder.Net"),
    "file": ({"network": "settings.yaml"}, DIGITS, "network=settings.yaml"),
    "plain file": ({"network": "settings"}, DIGITS, "network=settings"),
    "dotted key": ({"network": DOTTED}, DIGITS, "network.init_args.x=intruder.Net"),
    "function": ({"optimizer": "intruder.function"}, DIGITS, "optimizer=intruder.function"),
    "torch's function": ({"optimizer": "torch.hub.load"}, DIGITS, "optimizer=torch.hub.load"),
    "made by torch's": ({"network": {"class_path": "torch.hub.load"}}, DIGITS, "torch.hub.load"),
    "ours, that runs": ({"optimizer": "recipes.running.cli.main"}, DIGITS, "cli.main"),
    "__main__": ({"network": {"class_path": "recipes.classify.__main__.X"}}, DIGITS, "__main__.X"),
    "inner": ({"network": LAYER}, DIGITS, "network.activation=intruder.function"),
    "other kind": ({"optimizer": {"class_path": "torch.nn.Linear"}}, DIGITS, "model.optimizer"),
    "data": ({}, {"_class_path": "intruder.Data"}, "data=intruder.Data"),
    "demo": ({}, {"_class_path": DEMO}, f"data={DEMO}"),
    "path": ({}, {**TABLE, "path": "/etc/passwd"}, "data.path=/etc/passwd"),
    "url": ({}, {**TABLE, "path": "{url}/a.csv", "sha256": "0" * 64}, "data.path={url}"),
    "folder": ({}, {"_class_path": "datamodules.mnist.MNIST", "data_dir": "/root/x"}, "/root/x"),
    "hub": ({}, {"_class_path": "datamodules.HuggingFace", "path": "owner/name"}, "owner/name"),
}


def save(path, model, data=DIGITS):
    """A checkpoint of plain values that names what it likes."""
    content = {"pytorch-lightning_version": "2.6.6", "state_dict": {}}
    content |= {"hyper_parameters": model, "datamodule_hyper_parameters": data}
    torch.save(content, path)
    return path


@pytest.mark.parametrize("key", ["network", "optimizer"])
def test_nothing_that_a_checkpoint_names_is_fetched(key, trap):
    address = f"{trap.url}/settings"
    path = save("lone.ckpt", {"network": MLP} | {key: address})
    assert f"--model.{key}={address} allows it" in refused("fit", f"--ckpt_path={path}")
    assert not trap.fetched


@pytest.mark.parametrize("name", NAMED)
def test_a_checkpoint_names_known_classes_alone(name, trap):
    model, data, option = NAMED[name]
    data = {key: str(value).format(url=trap.url) for key, value in data.items()}
    path = save("lone.ckpt", {"network": MLP} | model, data)
    line = refused("test", f"--ckpt_path={path}")
    assert option.format(url=trap.url) in line
    assert name == "other kind" or line.startswith("error: --ckpt_path=lone.ckpt names ")
    assert not trap.sprung and not trap.fetched


@pytest.mark.parametrize("option", ["teacher", "evaluation.network"])
def test_no_more_does_a_teacher_or_an_extractor(option, trap):
    path = save("lone.ckpt", {"network": {"class_path": "intruder.Net"}})
    if option == "teacher":
        given = (
            "--model.scheme=frozen",
            "--model.teacher=null",
            f"--model.teacher_checkpoint={path}",
        )
        line = refused("fit", *given, module=Distill)
    else:
        given = ("--model.evaluation=ImageQuality", f"--model.evaluation.checkpoint={path}")
        line = refused("fit", *given, module=GAN)
    assert "names intruder.Net, no class of this project" in line
    assert line.endswith(f"--model.{option}=intruder.Net allows it")
    assert not trap.sprung


def test_what_an_intruder_would_do(trap):
    """The negative control of the three tests above: these names do run code."""
    Path("own.yaml").write_text("model: {network: {class_path: intruder.Net}}")
    with pytest.raises(SystemExit):
        cli.main(Classify, ["fit", "--config=own.yaml", "--data=Digits", "--print_config"])
    assert trap.sprung


PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = {
    "above": "../../../../secret",
    "absolute": "{here}/secret",
    "linked": "media/link.png",
    "of windows": "C:\\secret",
    "no picture": "media/text.png",
    "a list": ["secret"],
}


def foreign_run(path, monkeypatch):
    """A W&B folder of somebody else's, a run in which names a file as its picture."""
    folder = Path("foreign/wandb/offline-run-1")
    (folder / "files/media").mkdir(parents=True)
    (folder / "run-a.wandb").touch()
    Path("secret").write_bytes(PNG + b"a private picture")
    (folder / "files/media/link.png").symlink_to(Path("secret").resolve())
    (folder / "files/media/text.png").write_text("a secret")
    row = {"val/loss": 1.0, "epoch": 0, "samples": 8, "study": {"path": path}}
    records = [{"type": "run", "run": {"display_name": "theirs"}}]
    records.append({"type": "history", "history": {"item": row}})
    monkeypatch.setattr(tracked, "try_records", lambda file: records)
    return folder


@pytest.mark.parametrize("name", PICTURES)
def test_a_foreign_run_shows_no_file_of_this_machine(name, monkeypatch, capsys):
    path = PICTURES[name]
    path = path.format(here=Path().resolve()) if isinstance(path, str) else path
    foreign_run(path, monkeypatch)
    compare(["foreign", "--output=out"])
    page = Path("out/compare.html").read_text()
    assert "skipped study.png of theirs: " in capsys.readouterr().err
    for secret in (PNG + b"a private picture", b"a secret"):
        assert b64encode(secret).decode() not in page


def test_a_foreign_run_shows_its_own_pictures(monkeypatch):
    """The positive control of the test above."""
    folder = foreign_run("media/own.png", monkeypatch)
    (folder / "files/media/own.png").write_bytes(PNG + b"theirs")
    compare(["foreign", "--output=out"])
    assert b64encode(PNG + b"theirs").decode() in Path("out/compare.html").read_text()


def test_a_project_is_not_asked_for_files_elsewhere():
    """W&B's client would write what it downloads to where the name leads."""
    row = {"val/loss": 1.0, "epoch": 0, "samples": 8, "study": {"path": "../../.bashrc"}}
    known = {"name": "theirs", "config": {}, "scan_history": lambda: iter([row])}
    run = SimpleNamespace(**known, file=lambda path: pytest.fail("it was asked for"))
    (found,) = online_runs("me/mine", SimpleNamespace(runs=lambda *args, **order: [run]))
    assert not found.pictures


@pytest.mark.parametrize("content", [b"a secret", PNG + b"a private picture"])
def test_a_runs_folder_shows_no_file_that_it_links_to(content, capsys):
    folder = Path("runs/gan/theirs")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"recipe": "gan", "settings": {}}')
    (folder / "metrics.jsonl").write_text('{"step": 9, "val/loss": 1.0, "epoch": 0}\n')
    Path("secret").write_bytes(content)
    (folder / "samples.png").symlink_to(Path("secret").resolve())
    compare(["runs"])
    assert "skipped samples.png of theirs: " in capsys.readouterr().err
    assert b64encode(content).decode() not in Path("runs/compare.html").read_text()


STEERING = "\x1b]0;title\x07\x1b[2J\u202egnp.exe\r"
FORMULA = r"$\nothing$"  # which ends a picture with an error, where it is taken for one


def test_a_name_steers_no_terminal(capsys):
    """Names of runs, settings and metrics in a comparison."""
    for number in (1, 2, 3):
        folder = Path(f"runs/gan/{STEERING}{number}")
        folder.mkdir(parents=True)
        facts = {
            "recipe": STEERING,
            "settings": {f"model.{STEERING}": f"{STEERING}{FORMULA}{number}"},
        }
        (folder / "run.json").write_text(json.dumps(facts))
        rows = '{"step": 9, "val/loss": 1.0, "epoch": 0}\n'
        (folder / "metrics.jsonl").write_text(rows * number + "\x1b[2J\n" * (number == 3) + rows)
    compare(["runs"])
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert "[2J" not in text or "\\x1b[2J" in text
        assert not set("\x1b\x07\u202e\r") & set(text)
    assert "\\x1b]0;title\\x07" in said.out


@pytest.mark.parametrize("which", ["config", "class", "column", "tool", "trial"])
def test_no_line_of_an_error_steers_a_terminal(which, capsys):
    if which == "config":
        line = refused("fit", f"--config={STEERING}")
    elif which == "class":
        line = refused("test", f"--ckpt_path={save('lone.ckpt', {'network': f'a.{STEERING}: 1'})}")
    elif which == "column":
        Path("their.csv").write_text(f"a,{STEERING.strip()}\n1,2\n")
        given = ("--data=Tabular", "--data.path=their.csv", "--data.target=b")
        line = refused("fit", *given, module=Regress)
    elif which == "tool":
        with pytest.raises(SystemExit) as stop:
            compare([f"no/{STEERING}"])
        line = stop.value.code
    else:
        study = optuna.create_study()
        study.tell(study.ask(), state=TrialState.FAIL)
        ended = study.trials[0]
        ended.user_attrs["reason"] = STEERING
        tell(SimpleNamespace(finished=lambda: [ended]), "val/loss", set())
        line = capsys.readouterr().out.strip("\n")
    assert "\\x1b[2J" in line and not set("\x1b\x07\u202e\r") & set(line)


PATHS = ("{url}/a.png", "{here}/outside.png", "../outside.png", "file://{here}/outside.png")
PATHS += ("hf://datasets/owner/name/a.png", "own.png/../../outside.png", "zip://a::{url}/a.zip")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture
def pictures(monkeypatch):
    """Makes a data set in `set` whose pictures have contents or paths, and reads a batch of it."""
    datasets = pytest.importorskip("datasets", reason="needs the extra: huggingface")
    parquet = pytest.importorskip("pyarrow.parquet")
    pillow = pytest.importorskip("PIL.Image")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    Path("set").mkdir()
    for path in ("outside.png", "set/own.png"):
        pillow.new("L", (4, 4), 7).save(path)

    def read(streaming, path=None, content=None):
        kinds = datasets.Features({"image": datasets.Image(), "id": datasets.Value("int64")})
        rows = {"image": [{"bytes": content, "path": path}] * 4, "id": [0, 1, 2, 3]}
        table = datasets.Dataset.from_dict(rows, features=kinds).data.table
        parquet.write_table(table, "set/rows.parquet")  # the library would put the files in
        given = {"inputs": "image", "target": "id", "val_size": 0, "streaming": streaming}
        data = HuggingFace("set/rows.parquet", batch_size=4, cache_dir="cache", **given)
        data.prepare_data()
        data.setup("fit")
        return next(iter(data.train_dataloader()))[0]

    return read


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_a_table_shows_no_picture_elsewhere(path, streaming, pictures, trap):
    path = path.format(url=trap.url, here=Path().resolve())
    with pytest.raises(ValueError, match=r"an image is .*, which is no file in the dataset's f"):
        pictures(streaming, path)
    assert not trap.fetched


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("path", ["own.png", "{here}/set/own.png"])
def test_a_table_shows_its_own_pictures(path, streaming, pictures):
    """The positive control of the test above."""
    assert (pictures(streaming, path.format(here=Path().resolve())) == 7).all()


def test_a_picture_is_no_program(pictures, monkeypatch):
    """Pillow would start Ghostscript for it."""
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: pytest.fail("it was started"))
    with pytest.raises(ValueError, match=r"rows.parquet, row 0: .* an image is damaged"):
        pictures(False, content=EPS)


CARDS = ("{url}/train.csv", "{here}/outside.csv", "../outside.csv", "hf://datasets/a/b/c.csv")


@pytest.mark.parametrize("name", ["README.md", ".huggingface.yaml"])
@pytest.mark.parametrize("path", CARDS)
def test_a_folder_is_no_data_elsewhere(path, name, trap):
    pytest.importorskip("datasets", reason="needs the extra: huggingface")
    path = path.format(url=trap.url, here=Path().resolve())
    Path("outside.csv").write_text("x,y\n1,2\n")
    Path("set").mkdir()
    Path("set/train.csv").write_text("x,y\n3,4\n")
    files = [{"split": "train", "path": [path]}]
    card = yaml.safe_dump({"configs": [{"config_name": "default", "data_files": files}]})
    Path("set", name).write_text(f"---\n{card}---\n" if name == "README.md" else card)
    data = HuggingFace("set", inputs="x", target="y", cache_dir="cache")
    with pytest.raises(ValueError, match=rf"^set/{name} names .*, which is not in its folder"):
        data.prepare_data()
    assert not trap.fetched


@pytest.mark.parametrize("file", ["state.json", "dataset_dict.json"])
def test_a_saved_set_is_no_data_elsewhere(file):
    pytest.importorskip("datasets", reason="needs the extra: huggingface")
    Path("set").mkdir()
    said = {"_data_files": [{"filename": "../outside.arrow"}], "splits": ["../outside"]}
    Path("set", file).write_text(json.dumps(said))
    data = HuggingFace("set", inputs="x", target="y")
    with pytest.raises(
        ValueError, match=r"set: .* is damaged: \.\./outside.* is not in the folder"
    ):
        data.prepare_data()


@pytest.mark.parametrize("said", ["precious", "{here}/precious", "../precious", "runs/regress"])
def test_a_study_leads_to_no_folder(said):
    """It was removed, or its checkpoint trained on, as if it were the trial's own."""
    precious, said = run_at("precious", "1234"), said.format(here=Path().resolve())
    (precious / "checkpoints/last.ckpt").unlink()
    search = a_search()
    trial = claim(search, folder=said, config="model: {network: intruder.Net}", run="1234")
    assert fit_arguments(search, trial)[-1] == "--name=tune-0"
    discard_own(search, trial.number)
    assert (precious / "run.json").is_file()


@pytest.mark.parametrize("where", ["--config", "--space", "run"])
def test_a_yaml_file_runs_nothing(where, trap):
    Path("their.yaml").write_text("model: !!python/object/apply:os.mkdir [sprung]")
    if where == "--space":
        with pytest.raises(SystemExit, match=r"^error: --space=their.yaml"):
            tune(["--recipe=regress", "--space=their.yaml"])
    elif where == "run":
        run_at("runs/classify/theirs", "1234")
        Path("their.yaml").rename("runs/classify/theirs/config.yaml")
        path = save("runs/classify/theirs/checkpoints/last.ckpt", {"network": MLP})
        assert "theirs/config.yaml is damaged: " in refused("test", f"--ckpt_path={path}")
    else:
        assert "their.yaml is not a YAML file of settings" in refused("fit", "--config=their.yaml")
    assert not trap.sprung


@pytest.mark.parametrize("option", ["ckpt_path", "teacher"])
def test_a_checkpoint_is_no_pickle(option, trap):
    class Touch:
        def __reduce__(self):
            return Path.touch, (Path("sprung"),)

    path = save("lone.ckpt", {"network": Touch()})
    if option == "ckpt_path":
        line = refused("test", f"--ckpt_path={path}")
    else:
        given = ("--model.scheme=frozen", f"--model.teacher_checkpoint={path}")
        line = refused("fit", "--model.teacher=null", *given, module=Distill)
    assert f"{path} is damaged or no checkpoint" in line
    assert not trap.sprung


def test_a_name_is_no_part_of_a_page():
    script = "<script>alert(1)</script>"
    for number in (1, 2):
        folder = Path(f"runs/gan/{number}{script.replace('/', '')}")
        folder.mkdir(parents=True)
        facts = {"recipe": script, "settings": {f"model.{script}": f"{number}{script}"}}
        (folder / "run.json").write_text(json.dumps(facts))
        rows = json.dumps({"step": 9, f"val/{script}": 1.0, "val/loss": 1.0, "epoch": 0})
        (folder / "metrics.jsonl").write_text(f"{rows}\n")
    compare(["runs"])
    page = Path("runs/compare.html").read_text()
    assert "alert(1)" in page and "<script>alert" not in page
