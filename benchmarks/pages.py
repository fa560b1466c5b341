"""The parts of the pages that are made of the code and of results/: tables between marks.

python benchmarks/pages.py           writes them anew
python benchmarks/pages.py --check   says which pages have others

A part begins with one of these marks, and ends with <!-- end -->:

<!-- results: NAME ... -->            results, a row each, with their seeds and seconds
<!-- results by metric: NAME ... -->  results, a row each, and a column for each metric
<!-- techniques -->                   all recipes, with the first line of each card
<!-- configs: FOLDER -->              a folder's configs, with the first sentence of each header
<!-- classes: MODULE -->              what a module exports, with the first line of each docstring
<!-- arguments: CLASS -->             a constructor's arguments, as its docstring has them
<!-- flags -->                        flags of the Trainer and overlays that recipes refuse
<!-- overlays -->                     samples per second and memory of recipes with overlays
<!-- scripts: FOLDER -->              a folder's scripts, with the first line of each docstring
<!-- killed by -->                    runs that were killed, by what, and what became of them
<!-- killed at -->                    the same at points of training
<!-- soak -->                         what long runs took
<!-- beside scikit-learn -->          networks for tables beside trees
<!-- settings beside scikit-learn --> what was chosen there
<!-- sentences beside Kim 2014 -->    sentences by a convolutional network, ours and the paper's
<!-- optimizers of an LSTM -->        optimizers and decays of a language model, at their best rates
<!-- feedback on MNIST -->            feedback alignment beside back-propagation
<!-- feedback by depth -->            the same by the number of hidden layers
<!-- fine-tuning -->                  few labels by method, and the gain over a start from scratch
<!-- quantized digits -->             accuracy and bytes of quantized runs, by scheme
<!-- quantized speed -->              milliseconds of a quantized network, by scheme
<!-- pruned -->                       LeNets, pruned and quantized, beside the papers'
<!-- words found by LIME -->         words that matter to a sparse model, by explanation
<!-- encoder beside Kim 2014 -->      a pretrained encoder, fine-tuned in three ways, beside it
<!-- control: RECIPE -->              returns of reinforcement learning, ours and CleanRL's
<!-- generative: KIND -->             GAN, VAE and diffusion by the same measures, images or points
<!-- bounds on MNIST -->              VAE and IWAE beside Burda et al. 2016
<!-- speed -->                        what recipes cost beside others, and which goals are reached
<!-- speed measured on -->            machine and versions of that table
<!-- step -->                         where the time of a step goes, by whose code it is in
<!-- operations -->                   which operations become faster in bfloat16, by their kind
<!-- levers -->                       what makes a step faster, by how much, and whether it is used
<!-- default callbacks -->            what the callbacks of every run cost in a step
<!-- growth -->                       how time and memory grow, with what
<!-- quality -->                      how long recipes take to be good, beside others
"""

import argparse
import inspect
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import docstring_parser
import yaml

import beside.table
import control
import default_callbacks
import feedback_depth
import feedback_mnist
import finetune
import flags
import generative
import growth
import hardware
import language_optimizers
import levers
import lime_recall
import op_profile
import prune
import quality
import quantize
import sentence_encoder
import sentences
import sklearn_table
import step_profile
import vae_mnist
from killing.table import FILE, SOAK, by_kind, by_point, read, soaked
from recipes.running.recipe import SEARCH_SPACE, find_recipe, recipe_names
from result_tables import ROOT, Rows, by_metric, by_result, listed


def pages() -> list[Path]:
    """All pages: the front page, one for each technique, tool and package, and others."""
    folders = (".", "recipes", "recipes/*", "callbacks", "datamodules")
    names = [f"{folder}/README.md" for folder in folders]
    names += ["datamodules/[a-z]*.md", "benchmarks/*.md"]
    return [path for name in names for path in sorted(ROOT.glob(name))]


def first_sentence(text: str) -> str:
    """The text up to the first full stop that ends a sentence, on one line."""
    return re.split(r"(?<=[.!?])(?<!et al\.)\s", " ".join(text.split()), maxsplit=1)[0]


def techniques(_: str) -> Rows:
    """All recipes."""
    rows = [["recipe", "technique", "configs"]]
    for name in recipe_names():
        recipe = find_recipe(name)
        said = recipe.card.splitlines()[0].rstrip(".")
        configs = ", ".join(f"`{config}`" for config in recipe.configs)
        rows.append([f"[`{name}`](recipes/{name})", said, configs])
    return rows


def configs(folder: str) -> Rows:
    """The configs of a folder; of a header, all before the first blank comment or command."""
    rows = [["config", "what it is"]]
    for path in sorted((ROOT / folder).glob("*.yaml")):
        if path.stem == SEARCH_SPACE:
            continue
        lines = path.read_text().split("\n\n")[0].splitlines()
        header = [line.lstrip("# ") for line in lines if line.startswith("#")]
        rows.append([f"[`{path.stem}`]({path.name})", first_sentence(" ".join(header))])
    return rows


def scripts(folder: str) -> Rows:
    """The scripts of a folder that can be run."""
    rows = [["command", "what it measures or makes"]]
    for path in sorted((ROOT / folder).glob("*.py")):
        text = path.read_text()
        if '__name__ == "__main__"' in text:
            said = text.removeprefix('"""').splitlines()[0].rstrip(".")
            rows.append([f"[`python {folder}/{path.name}`]({path.name})", said])
    return rows


def classes(module: str) -> Rows:
    """The public classes of a module."""
    found = import_module(module)
    rows = [["class", "what it does"]]
    for name in sorted(found.__all__, key=str.lower):
        text = (inspect.getdoc(getattr(found, name)) or "").split("\n\n")[0]
        rows.append([f"`{name}`", " ".join(text.split())])
    return rows


def arguments(path: str) -> Rows:
    """The arguments of a class, with their defaults."""
    module, _, name = path.rpartition(".")
    made = getattr(import_module(module), name)
    parameters = inspect.signature(made).parameters
    rows = [["argument", "default", "meaning"]]
    for said in docstring_parser.parse(inspect.getdoc(made)).params:
        meaning = " ".join(said.description.split())
        rows.append([f"`{said.arg_name}`", default(parameters[said.arg_name]), meaning])
    return rows


def default(parameter: inspect.Parameter) -> str:
    """A parameter's default as a config has it; nothing for a function, which its meaning names."""
    if parameter.default is inspect.Parameter.empty:
        return "required"
    if callable(parameter.default):
        return ""
    text = yaml.safe_dump(parameter.default, default_flow_style=True, width=1000)
    return f"`{text.splitlines()[0]}`"


def of_results(rows: Callable[..., Rows]) -> Callable[[str], Rows]:
    """A maker of a table of named results."""
    return lambda names: rows([listed()[name] for name in names.split()])


MAKERS: dict[str, Callable[[str], Rows]] = {
    "results": of_results(by_result),
    "results by metric": of_results(by_metric),
    "techniques": techniques,
    "configs": configs,
    "classes": classes,
    "arguments": arguments,
    "scripts": scripts,
    "flags": lambda _: flags.table(),
    "overlays": lambda _: hardware.overlays(),
    "killed by": lambda _: by_kind(read(FILE)),
    "killed at": lambda _: by_point(read(FILE)),
    "soak": lambda _: soaked(read(SOAK)),
    "beside scikit-learn": lambda _: sklearn_table.compared(),
    "settings beside scikit-learn": lambda _: sklearn_table.settings(),
    "sentences beside Kim 2014": lambda _: sentences.beside_paper(),
    "optimizers of an LSTM": lambda _: language_optimizers.compared(),
    "feedback on MNIST": lambda _: feedback_mnist.compared(),
    "feedback by depth": lambda _: feedback_depth.compared(),
    "quantized digits": lambda _: quantize.accuracies(),
    "quantized speed": lambda _: quantize.speeds(),
    "fine-tuning": lambda _: finetune.compared(),
    "pruned": lambda _: prune.table(),
    "words found by LIME": lambda _: lime_recall.compared(),
    "encoder beside Kim 2014": lambda _: sentence_encoder.beside_paper(),
    "control": control.compared,
    "generative": generative.compared,
    "bounds on MNIST": lambda _: vae_mnist.compared(),
    "speed": lambda _: beside.table.compared(),
    "speed measured on": lambda _: beside.table.measured_on(),
    "step": lambda _: step_profile.profiled(),
    "operations": lambda _: op_profile.profiled(),
    "levers": lambda _: levers.measured(),
    "default callbacks": lambda _: default_callbacks.costs(),
    "growth": lambda _: growth.grown(),
    "quality": lambda _: quality.compared(),
}


MARKS = re.compile(
    rf"(<!-- ({'|'.join(MAKERS)})(?:: ([\w./ -]+?))? -->\n).*?(?=<!-- end -->)", re.DOTALL
)


def made_anew(text: str) -> str:
    """A page with its parts made anew."""

    def part(mark: re.Match[str]) -> str:
        header, *rows = MAKERS[mark[2]](mark[3] or "")
        cells = [header, ["---"] * len(header), *rows]
        escaped = [[cell.replace("|", "\\|") for cell in row] for row in cells]
        return mark[1] + "".join(f"| {' | '.join(row)} |\n" for row in escaped)

    return MARKS.sub(part, text)


def stale_pages() -> list[str]:
    """Which pages have other parts than the code and the results give."""
    return [
        f"{path.relative_to(ROOT)} has other tables than the code; python benchmarks/pages.py"
        for path in pages()
        if path.read_text() != made_anew(path.read_text())
    ]


def write() -> None:
    """Writes the parts of all pages anew."""
    for path in pages():
        path.write_text(made_anew(path.read_text()))


def main() -> None:
    """Runs the command.

    Raises:
        SystemExit: with status 1 and a line for each page that has other parts
    """
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--check", action="store_true", help="only say which pages have others")
    if not parser.parse_args().check:
        write()
    if faults := stale_pages():
        sys.exit("\n".join(f"error: {fault}" for fault in faults))


if __name__ == "__main__":
    main()
