"""The comparison as a whole: from what is named on the command line to table and files."""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from recipes.compare.page import write_page
from recipes.compare.paired import differences, find_baseline
from recipes.compare.picture import draw
from recipes.compare.runs import Run, UnreadableRun, read_folder, run_folders, try_run
from recipes.compare.table import full_rows, ranked, table
from recipes.compare.tracked import offline_runs, online_runs
from recipes.parts.files import write_rows
from recipes.parts.keys import headline
from recipes.running.printable import printable


def compare(
    sources: Sequence[str],
    metric: str | None = None,
    output: Path | None = None,
    csv: Path | None = None,
    baseline: str | None = None,
) -> None:
    """Prints a table of runs and writes compare.png and compare.html.

    Args:
        sources: run folders, folders above them, W&B's folders on this disk, or entity/project
        metric: log key to compare by; by default what the recipe is about
        output: folder of the files; by default the one that holds all the runs
        csv: file for the table with all digits
        baseline: a setting's label or a run's name, to which the others' differences are told

    Raises:
        ValueError: if there are no runs, or none has the metric (it lists those that there are),
            or no setting is the baseline, or the output is no folder, or the CSV file one
    """
    folder = output or common_folder(sources)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output={folder}: not a folder")
    if csv and csv.is_dir():
        raise ValueError(f"--csv={csv}: a folder, not a file")
    runs = read(sources)
    known = sorted({key for run in runs for key in (*run.curves, *run.evaluated)})
    if not known:
        raise ValueError(f"{' '.join(sources)}: the runs have no metrics yet")
    metric = metric or headline(known)
    if metric not in known:
        close = get_close_matches(metric, known, n=1)
        is_it = f" is it {close[0]}?" if close else ""
        raise ValueError(f"--metric={metric}:{is_it} the runs have {', '.join(known)}")
    with_metric = [run for run in runs if run.last(metric) is not None]
    counted = once(with_metric)
    varying, groups = ranked(counted, metric)
    beside = baseline and differences(groups, find_baseline(groups, baseline), metric)
    print(table(varying, groups, metric, beside))
    if without := len(runs) - len(with_metric):
        print(f"left out: {without} of {len(runs)} runs, without {metric}")
    if repeats := [run.name for run in with_metric if not any(run is other for other in counted)]:
        said = f"left out: {', '.join(repeats)}: another run has the same settings and seeds"
        print(printable(said))
    folder.mkdir(parents=True, exist_ok=True)
    draw(groups, metric, folder / "compare.png")
    write_page(varying, groups, metric, folder / "compare.html", beside)
    files = [folder / "compare.png", folder / "compare.html"]
    if csv:
        csv.parent.mkdir(parents=True, exist_ok=True)
        write_rows(csv, full_rows(varying, groups, metric, beside))
        files.append(csv)
    print(*files, sep=", ")


def read(sources: Sequence[str]) -> list[Run]:
    """All runs of the sources, sorted by recipe and name; what cannot be read is named.

    Raises:
        ValueError: if there are none
    """
    runs, folders = [], set()
    for source in sources:
        for run in found(source, folders):
            if isinstance(run, UnreadableRun):
                print(printable(f"skipped {run}"), file=sys.stderr)
            else:
                runs.append(run)
    if not runs:
        raise ValueError(f"{' '.join(sources)}: no runs here that can be read")
    return sorted(runs, key=lambda run: (str(run.facts.get("recipe")), natural(run.name)))


def found(source: str, before: set[Path]) -> Iterable[Run | UnreadableRun]:
    """The runs of one source.

    Args:
        source: as on the command line; a file of a run is that run, as a shell's * names all
        before: folders of runs in other sources, each of which is one run; it adds to them

    Raises:
        ValueError: if it is neither a folder nor entity/project
    """
    path = Path(source)
    if not path.exists():
        if re.fullmatch(r"[\w.-]+/[\w.-]+", source) and source.split("/")[0] != "runs":
            return online_runs(source)
        raise ValueError(f"{source}: no such folder; a W&B project is entity/project")
    folders = {folder.resolve(): folder for folder in run_folders(path)}
    if not folders:
        return offline_runs(path.parent if path.suffix == ".wandb" else path)
    new = [folder for place, folder in folders.items() if place not in before]
    before.update(folders)
    return (try_run(folder, partial(read_folder, folder)) for folder in new)


def once(runs: Sequence[Run]) -> list[Run]:
    """Of runs with the same settings and seeds, one: the last that has finished, or the last.

    Such runs are the same training again, and would make the spread over seeds too small.
    """
    kept: dict[str, Run] = {}
    for run in runs:
        key = json.dumps([run.compared, run.seeds], sort_keys=True, default=str)
        if key not in kept or run.state == "finished" or kept[key].state != "finished":
            kept[key] = run
    return [run for run in runs if any(run is other for other in kept.values())]


def natural(name: str) -> list[tuple[int, int | str]]:
    """A sorting key by which digits-10 comes after digits-9."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]


def common_folder(sources: Sequence[str]) -> Path:
    """The folder that holds all the sources, or the present one for a W&B project."""
    paths = [Path(source) for source in sources if Path(source).exists()]
    folders = [path if path.is_dir() else path.parent for path in paths]
    if not folders:
        return Path()
    if len(folders) == 1:
        return folders[0]
    return Path(os.path.relpath(os.path.commonpath([folder.resolve() for folder in folders])))
