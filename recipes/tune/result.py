"""What a search leaves: the best config, its pictures, and the comparison of its trials."""

import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
import optuna
import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from optuna.trial import FrozenTrial, TrialState

from recipes.compare.report import compare
from recipes.parts.files import replace_file, replacing
from recipes.running.commands import config_of
from recipes.running.recipe import find_recipe
from recipes.tune.folders import run_folder
from recipes.tune.outcome import outcome, short
from recipes.tune.queue import Queue
from recipes.tune.search import Search
from recipes.tune.space import flag


def write(search: Search, queue: Queue) -> None:
    """Writes best.yaml and the pictures to the study's folder, and compares the trials.

    Raises:
        ValueError: if no trial has come to its end
    """
    complete = [trial for trial in queue.trials() if trial.state == TrialState.COMPLETE]
    if not complete:
        ended = queue.finished()
        last = f", the last: {outcome(ended[-1], search.metric)}" if ended else ""
        raise ValueError(f"--study={search.study}: no trial of {len(ended)} came to its end{last}")
    sign = -1 if search.goal == "maximize" else 1
    complete.sort(key=lambda trial: sign * trial.value)  # of equal ones, the first
    best = search.folder / "best.yaml"
    replace_file(best, best_config(search, complete[0], len(queue.finished())))
    pictures = draw(queue.study, search.metric, search.folder)
    print(f"best: {again(search)}")
    print(f"pictures: {', '.join(map(str, pictures))}", flush=True)
    compare_runs(search, queue)


def again(search: Search) -> str:
    """The command that trains the best trial again."""
    best = search.folder / "best.yaml"
    return find_recipe(search.recipe).typed(["fit", "--config", str(best)])


def best_config(search: Search, best: FrozenTrial, ended: int) -> str:
    """The whole resolved config of the best trial, with a header that says where it is from.

    Args:
        search: that found it
        best: the trial
        ended: number of trials that it is the best of
    """
    # Anew from what was drawn: a study may be anybody's, and a config is code.
    drawn = [flag(*setting) for setting in search.space.suggest(best).items()]
    settings = config_of(search.recipe, [*search.flags, *drawn])
    value = f"{search.metric} {best.value:.6g} ({search.value} validation)"
    header = [
        f"{value}: trial {best.number} of {ended} of the search {search.study}.",
        "",
        f"  {again(search)}",
        "",
        *(f"{key}: {short(value)}" for key, value in best.params.items()),
    ]
    lines = "".join(f"# {line}".rstrip() + "\n" for line in header)
    return lines + yaml.safe_dump(settings, sort_keys=False)


def draw(study: optuna.Study, metric: str, folder: Path) -> list[Path]:
    """Draws Optuna's pictures: the values in their order, the importances, and each parameter.

    Args:
        study: with a complete trial
        metric: log key, for the axes
        folder: of the pictures

    Returns:
        the files; importances are told from two trials on
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    pictures: dict[str, Callable[..., object]] = {
        "history": plots.plot_optimization_history,
        "slice": plots.plot_slice,
    }
    if sum(trial.state == TrialState.COMPLETE for trial in study.trials) > 1:
        pictures["importances"] = plots.plot_param_importances
    paths = []
    for name, plot in pictures.items():
        with warnings.catch_warnings(), pyplot.rc_context({"figure.figsize": (7, 4)}):
            warnings.simplefilter("ignore")  # that they are experimental
            plot(study, target_name=metric)
            paths.append(folder / f"{name}.png")
            make_readable(pyplot.gcf())
            with replacing(paths[-1]) as partial:
                pyplot.savefig(partial, dpi=150, bbox_inches="tight", format="png")
            pyplot.close("all")
    return paths


def make_readable(figure: Figure) -> None:
    """Gives each parameter the room that its labels need."""
    if len(figure.axes) > 1:  # and the last is the scale of colours
        figure.set_size_inches(3.5 * (len(figure.axes) - 1) + 1, 4)
    for axes in figure.axes:
        if axes.get_xscale() == "log":
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        legend = axes.get_legend()
        if legend is not None and len(legend.get_texts()) == 1:
            legend.remove()  # the title says it


def compare_runs(search: Search, queue: Queue) -> None:
    """Compares the trials' runs, those whose folders are on this machine."""
    folders = [run_folder(search, trial) for trial in queue.ended_well()]
    if found := [str(folder) for folder in folders if folder]:
        compare(found, search.metric, search.folder)
