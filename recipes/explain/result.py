"""Explains a run, checks that attributions add up, and writes what was found."""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from recipes.explain import draw
from recipes.explain.explainer import PERMUTATION, Explainer, Row
from recipes.explain.methods import EXACTLY, Options
from recipes.explain.permutation import Importance
from recipes.parts.files import replacing
from recipes.running.trained import Trained


def explained(
    run: Trained,
    arguments: argparse.Namespace,
    rows: Sequence[int] | None,
    flags: Sequence[str],
) -> tuple[list[str], bool]:
    """Explains a run.

    Args:
        run: to explain
        arguments: of the command line
        rows: numbers of the predicted rows; None: the first ones
        flags: of the run's `predict`

    Returns:
        what there is to say, and whether all adds up that has to
    """
    options = Options(
        arguments.samples, arguments.tolerance, arguments.alpha, arguments.window, arguments.seed
    )
    methods = list(dict.fromkeys(arguments.method))
    explainer = Explainer(
        *(rows, methods, options, arguments.label, arguments.target),
        *(arguments.patch, arguments.background),
    )
    with TemporaryDirectory() as folder:
        output = f"--output={Path(folder, 'predictions.csv')}"
        run.ask("predict", [explainer], [*flags, output])
    folder = arguments.output or run.folder / "explain"
    folder.mkdir(parents=True, exist_ok=True)
    local = [method for method in methods if method != PERMUTATION]
    lines, is_complete = [], True
    for method in local:
        line, adds_up = completeness(explainer.rows, method, options.tolerance)
        lines.append(line)
        is_complete &= adds_up
    paths = write(folder, explainer, local, arguments.drawn)
    return [*lines, *ranking(explainer), ", ".join(map(str, paths))], is_complete


def completeness(rows: Sequence[Row], method: str, tolerance: float) -> tuple[str, bool]:
    """By how much a method's attributions miss f(x) - f(b), in a line, and whether they may.

    Args:
        rows: that were explained
        method: name
        tolerance: share of their absolute sum
    """
    found = [row.attributions[method] for row in rows]
    misses = [each.miss(row.output) for each, row in zip(found, rows, strict=True)]
    count = f"{len(rows)} row{'s' * (len(rows) > 1)}"
    if misses[0] is None:
        return f"{method}: {count}; it does not add up to the prediction by its definition", True
    worst = max(misses)
    steps = max((each.steps or 0) for each in found)
    by = f", in up to {steps} steps" if steps else ""
    line = f"{method}: {count}; sums miss f(x) - f(b) by {100 * worst:.2g} % at most{by}"
    if method not in EXACTLY or worst <= tolerance:
        return line, True
    return f"{line}: more than --tolerance={tolerance:g}", False


def ranking(explainer: Explainer) -> list[str]:
    """The most important columns, in a line."""
    found = explainer.importance
    if found is None:
        return []
    means, stds = found.losses.mean(1), found.losses.std(1)
    order = means.argsort()[::-1][:5]
    parts = [f"{found.columns[i]} {means[i]:.3g} ± {stds[i]:.2g}" for i in order]
    lost = "RMSE gains" if found.measure == "rmse" else "accuracy loses"
    return [f"permutation: {lost} {', '.join(parts)}; as it is {found.score:.4g}"]


TABLES, PICTURES = ("attributions", "permutation"), ("bars", "summary", "heat", "permutation")
FILES = {f"{n}.csv" for n in TABLES} | {f"{n}.png" for n in PICTURES} | {"words.html"}


def write(folder: Path, explainer: Explainer, methods: Sequence[str], drawn: int) -> list[Path]:
    """Writes the files; returns them. Those of an earlier call are replaced, or removed.

    Args:
        folder: of the files
        explainer: what was found
        methods: of attribution
        drawn: how many rows of a table get bars
    """
    paths: list[Path] = []
    rows = explainer.rows
    if methods:
        paths.append(folder / "attributions.csv")
        write_attributions(paths[-1], rows, methods)
    if methods and explainer.kind == "table":
        paths.append(folder / "bars.png")
        draw.bars(rows[:drawn], methods, paths[-1])
        if len(rows) > 1:
            paths.append(folder / "summary.png")
            draw.summary(rows, methods, paths[-1])
    elif methods and explainer.kind == "picture":
        paths.append(folder / "heat.png")
        draw.heat_maps(rows[:24], methods, paths[-1])
    elif methods:
        paths.append(folder / "words.html")
        draw.coloured_words(rows, methods, paths[-1])
    if explainer.importance is not None:
        paths += [folder / "permutation.csv", folder / "permutation.png"]
        write_importance(paths[-2], explainer.importance)
        draw.importance(explainer.importance, paths[-1])
    for name in FILES - {path.name for path in paths}:
        (folder / name).unlink(missing_ok=True)  # which would seem to be of this call
    return paths


def write_attributions(path: Path, rows: Sequence[Row], methods: Sequence[str]) -> None:
    """Writes a line for each row, method and feature."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["row", "method", "explained", "output", "reference", "feature", "value", "attribution"]
        )
        for row in rows:
            for method in methods:
                found = row.attributions[method]
                first = [row.name, method, row.explained.name, row.output, found.reference]
                parts = zip(
                    row.subject.features, row.subject.values, found.values.tolist(), strict=True
                )
                writer.writerows([*first, *part] for part in parts)


def write_importance(path: Path, found: Importance) -> None:
    """Writes a line for each column: mean and deviation of what is lost without it."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["column", f"loss of {found.measure}", "std", "as it is"])
        for name, losses in zip(found.columns, found.losses, strict=True):
            writer.writerow([name, losses.mean(), losses.std(), found.score])
