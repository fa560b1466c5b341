"""Pages: their generated parts, links, headings, commands, snippets and logged keys are true."""

import fnmatch
import re
import shlex
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import LightningModule

import pages
from launches import ROOT
from marks import some
from recipes.running.cli import main
from recipes.running.recipe import find_recipe, recipe_names
from snippets import blocks, joined

EVERY = {str(path.relative_to(ROOT)): path for path in pages.pages()}
TOOLS = sorted(
    path.parent.name
    for path in ROOT.glob("recipes/*/__main__.py")
    if not (path.parent / "module.py").exists()
)
HEADINGS = {
    "technique": (
        *("Method", "Run it", "Results", "What is logged", "Differences from the paper"),
        "What it refuses, and why",
    ),
    "tool": ("Run it", "What it refuses, and why"),
}


def headings(path: Path) -> list[str]:
    return re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)


def test_there_is_a_page_for_each_technique_and_tool_and_package():
    folders = [*recipe_names(), *TOOLS, "hardware"]
    expected = {f"recipes/{name}/README.md" for name in folders}
    expected |= {"README.md", "recipes/README.md", "callbacks/README.md", "datamodules/README.md"}
    tools = [
        "compare",
        "dashboard",
        "ensemble",
        "explain",
        "export",
        "folds",
        "quantize",
        "seeds",
        "tune",
    ]
    assert expected <= EVERY.keys() and TOOLS == tools


def test_generated_parts_are_those_of_the_code_and_the_results():
    assert pages.stale_pages() == []


def test_a_changed_part_is_noticed(monkeypatch, tmp_path):
    copy = tmp_path / "README.md"
    text = (ROOT / "recipes/distill/README.md").read_text()
    monkeypatch.setattr(pages, "ROOT", ROOT)
    monkeypatch.setattr(pages, "pages", lambda: [copy])
    monkeypatch.setattr(Path, "relative_to", lambda self, other: self)
    copy.write_text(text)
    assert pages.stale_pages() == []
    assert "| `temperature` | `4.0` |" in text
    copy.write_text(text.replace("| `temperature` | `4.0` |", "| `temperature` | `3.0` |"))
    assert len(pages.stale_pages()) == 1
    pages.write()
    assert copy.read_text() == text


@pytest.mark.parametrize("name", EVERY)
def test_a_page_is_short_and_its_links_lead_somewhere(name):
    text = EVERY[name].read_text()
    assert len(joined(text).splitlines()) <= 150  # a command that goes on is one
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in target and not target.startswith("#"):
            assert (EVERY[name].parent / target.partition("#")[0]).exists(), target
        if "#" in target and "://" not in target:
            page, _, anchor = target.partition("#")
            linked = (EVERY[name].parent / page) if page else EVERY[name]
            found = [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings(linked)]
            assert anchor in found, target


@pytest.mark.parametrize("name", EVERY)
def test_its_commands_are_seen_whole(name):
    """A code host cuts the lines of a block at 105 to 110 characters, and shows a bar below it."""
    found = re.findall(r"^```\w*\n(.*?)^```", EVERY[name].read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for line in "".join(found).splitlines() if re.search(r"^ {4}--|python", line)]
    assert [line for line in lines if len(line) > 105] == []


@pytest.mark.parametrize("name", [*recipe_names(), *TOOLS])
def test_a_page_has_the_headings_of_the_others(name):
    kind = "tool" if name in TOOLS else "technique"
    found = [re.sub("papers$", "paper", h) for h in headings(EVERY[f"recipes/{name}/README.md"])]
    assert [heading for heading in found if heading in HEADINGS[kind]] == list(HEADINGS[kind])
    text = EVERY[f"recipes/{name}/README.md"].read_text()
    if kind == "technique":
        assert "![" in text and "**Your own data.**" in text and "$$" in text


# To the end of a command: what is quoted may hold what ends one.
OF_A_COMMAND = r"""(?:'[^'\n]*'|"[^"\n]*"|[^\n#;|'"])"""


@pytest.mark.parametrize("name", some(EVERY, ["README.md"]))
def test_its_commands_are_understood(name, capsys, monkeypatch):
    """Each `fit` of a recipe, as far as it can be told without the files of its user."""
    monkeypatch.setenv("RECIPES_DEBUG", "1")
    text = "\n".join(blocks(EVERY[name], "bash"))
    found = re.findall(rf"python -m recipes\.(\w+) fit\b({OF_A_COMMAND}*)", text)
    for recipe, line in found:
        flags = shlex.split(re.sub(r"\$\w+", "3", line))
        if any(flag.startswith("--help") or re.search("runs/|my_package", flag) for flag in flags):
            continue
        with pytest.raises(SystemExit) as stop:
            main(find_recipe(recipe).module, ["fit", *flags, "--print_config"])
        assert stop.value.code == 0
        capsys.readouterr()


@pytest.mark.parametrize("name", [name for name in EVERY if blocks(EVERY[name], "python")])
def test_its_snippets_run(name, monkeypatch, tmp_path):
    """In order, as one program."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict = {"__name__": "snippet"}
    for snippet in blocks(EVERY[name], "python"):
        exec(compile(snippet, name, "exec"), names)


def logged_keys(name: str) -> list[str]:
    """The keys of the table "What is logged", as patterns."""
    part = EVERY[f"recipes/{name}/README.md"].read_text().split("## What is logged")[1]
    cells = [line.split("|")[1] for line in part.split("\n## ")[0].splitlines() if "|" in line]
    keys = [key for cell in cells for key in re.findall(r"`([^`]+)`", cell)]
    return [re.sub(r"<[^>]+>|\.\.\.", "*", key) for key in keys]


@pytest.mark.parametrize("name", some(recipe_names(), ["distill"]))
def test_every_logged_key_is_explained(name, recipe):
    short = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")
    canary = yaml.safe_load((ROOT / "tests/canaries.yaml").read_text())[name]
    recipe(name, "fit", "--name=a", *canary.get("small", []), *short)
    if find_recipe(name).module.test_step is not LightningModule.test_step:
        recipe(name, "test", f"--ckpt_path=runs/{name}/a/checkpoints/last.ckpt")
    texts = [path.read_text() for path in Path(f"runs/{name}/a").glob("*.jsonl")]
    keys = {key for text in texts for line in text.splitlines() for key in yaml.safe_load(line)}
    known = [*logged_keys(name), "step", "epoch", "checkpoint"]
    unknown = {key for key in keys if not any(fnmatch.fnmatch(key, k) for k in known)}
    assert not unknown
