"""Bad input: every mistake ends in one line that names it, and leaves everything as it was.

The table is `bad_input.txt`, which says how it is read.
"""

import re
import shlex
from itertools import chain
from pathlib import Path
from string import Template

import pytest
import torch

from marks import some
from recipes.compare.__main__ import main as compare
from recipes.running.cli import main
from recipes.running.recipe import find_recipe
from recipes.seeds.__main__ import main as seeds
from recipes.tune.__main__ import main as tune

TOOLS = {"compare": compare, "seeds": seeds, "tune": tune}
SHORT = "--trainer.max_epochs=1"  # where a mistake is not seen
WORDS = {
    "RUN": "runs/classify/a/checkpoints/last.ckpt",
    "REGRESSION": "runs/regress/r/checkpoints/last.ckpt",
    "FIT": f"tune --recipe=classify {SHORT}",
    "GRID": "method: grid, parameters: {model.label_smoothing: {values: [0, 0.1]}}",
    "METRIC": "metric: {name: val/loss, goal: minimize}",
}
MOST = 3  # lines of what is said at most


def rows(line):
    """The commands of a line of the table, one for each of its values, and what they must say."""
    if found := re.search(r"<(.*?)>", line):
        for value in found[1].split("|"):
            yield from rows(line.replace(found[0], value, 1))
    else:
        command, said = Template(line).substitute(WORDS).split(" -> ")
        yield command, said


TABLE = Path(__file__).with_name("bad_input.txt").read_text().splitlines()
LINES = [list(rows(line)) for line in TABLE if line and line[0] != "#"]
ROWS = list(chain.from_iterable(LINES))
# Of the values that a line has for the same mistake, the first; of every five lines, three.
FIRST = [command for number, ((command, _), *_) in enumerate(LINES) if number % 5 < 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs that have been trained, and files that are good for nothing."""
    where = tmp_path_factory.mktemp("input")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        patch.setenv("WANDB_MODE", "disabled")
        for name, run in (("classify", "a"), ("regress", "r")):
            quiet = "--trainer.enable_progress_bar=false"
            main(find_recipe(name).module, ["fit", f"--name={run}", SHORT, quiet])
        Path("folder").mkdir()
        Path("notes.txt").write_text("some notes, of nobody's interest\n")
        Path("table.csv").write_text("a,b,c\n" + "1,2,3\n4,5,6\n7,8,0\n" * 9)
        for name in ("bytes.csv", "bytes.parquet"):
            Path(name).write_bytes(bytes(range(256)) * 4)
        spoil(Path(WORDS["RUN"]))
    return where


def spoil(checkpoint):
    """Writes damaged checkpoints, and what is none, beside the present folder's other files."""
    content = checkpoint.read_bytes()
    half = len(content) // 2
    flipped = bytes([content[half] ^ 1])
    Path("empty.ckpt").touch()
    Path("cut.ckpt").write_bytes(content[:half])
    Path("flipped.ckpt").write_bytes(content[:half] + flipped + content[half + 1 :])
    saved = torch.load(checkpoint, weights_only=True)
    torch.save(saved["state_dict"], "state.ckpt")
    torch.save([1, 2], "list.ckpt")
    torch.save(saved | {"hyper_parameters": {"network": Path()}}, "pickle.ckpt")
    torch.save(saved | {"state_dict": 3}, "odd.ckpt")
    del saved["optimizer_states"], saved["lr_schedulers"]
    torch.save(saved, "weights.ckpt")


def state():
    """All that is in the present folder, with what tells of a change."""
    found = {path: path.lstat() for path in Path().rglob("*")}
    return {path: path.is_dir() or (s.st_size, s.st_mtime_ns) for path, s in found.items()}


def prepared(command, monkeypatch):
    """The words of a command, when its environment and files are there."""
    words = shlex.split(command)
    while re.match(r"[A-Z_]+=", words[0]):
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    for place, word in enumerate(words):
        option, is_file, text = word.partition("=@")
        if is_file:
            name = "given.csv" if option == "--data.path" else "given.yaml"
            Path(name).write_text(text.replace("\\n", "\n"))
            words[place] = f"{option}={name}"
    return words


def start(recipe, *words):
    """Runs a command in this process."""
    if recipe in TOOLS:
        TOOLS[recipe](list(words))
    else:
        short = [SHORT] if words[:1] == ("fit",) else []
        main(find_recipe(recipe).module, [*words[:1], *short, *words[1:]])


@pytest.fixture
def check(folder, monkeypatch, capfd):
    """Fails unless a command ends as a mistake does."""
    monkeypatch.chdir(folder)

    def ends(command, said):
        words = prepared(command, monkeypatch)
        before = state()
        with pytest.raises(SystemExit) as stop:
            start(*words)
        line = str(stop.value.code)
        assert line.startswith("error: ") and said in line
        lines = f"{capfd.readouterr().err}{line}".splitlines()
        assert len([each for each in lines if each]) <= MOST, lines
        assert state() == before

    return ends


@pytest.mark.parametrize("command", some([command for command, _ in ROWS], FIRST))
def test_a_mistake_is_one_line_and_changes_nothing(command, check):
    check(command, dict(ROWS)[command])


def test_the_table_is_long():
    assert len(dict(ROWS)) == len(ROWS) and len(FIRST) >= 200


def write_and_fail(args):
    Path("table.csv").write_text("another")
    raise SystemExit("error: table.csv")


def talk_and_fail(args):
    raise SystemExit("error: table.csv\n  File 1\n  File 2\n  File 3")


@pytest.mark.parametrize(
    ("command", "said", "tool"),
    [
        ("classify fit --trainer.fast_dev_run=true", "DID NOT RAISE", None),
        ("classify fit --trainer.max_epochs=0", "--trainer.max_epochs=0 must be", None),
        ("compare", "st_mtime|table.csv", write_and_fail),
        ("compare", "File 3", talk_and_fail),
    ],
)
def test_the_table_would_see(command, said, tool, check, monkeypatch):
    """The negative control: a silent row, one that names another option, a loss, a traceback."""
    kept = {path: path.read_bytes() for path in Path().glob("*.csv")}
    if tool:
        monkeypatch.setitem(TOOLS, "compare", tool)
    with pytest.raises((AssertionError, pytest.fail.Exception), match=said):
        check(command, "table.csv")
    for path, content in kept.items():
        path.write_bytes(content)
