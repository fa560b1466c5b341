"""Where the runs of trials are on this machine.

A study may be anybody's, and on machines that share no disk. So what it says of a run is compared
with what is found here, in folders that follow from the study's name, and no path of it is used.
"""

import json
import os
import platform
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from optuna import Trial
from optuna.trial import FrozenTrial

from recipes.tune.search import Search

LAST = Path("checkpoints", "last.ckpt")  # in a run's folder
RUN = "run"  # what a trial notes of its run: the id in run.json


def free_name(search: Search, number: int) -> str:
    """The name of a trial's next run: `tune-3`, or where that is taken `tune-3.2` and so on."""
    taken = sum(1 for _ in folders(search, number))
    return f"{search.study}-{number}" + (f".{taken + 1}" if taken else "")


def folders(search: Search, number: int) -> Iterator[Path]:
    """The folders that are there under the names of a trial's runs."""
    first = search.folder.with_name(f"{search.study}-{number}")
    for attempt in count(1):
        folder = first if attempt == 1 else first.with_name(f"{first.name}.{attempt}")
        if not folder.exists():
            return
        yield folder


def facts(folder: Path) -> dict[str, Any]:
    """What the run.json of a folder says; nothing if there is none, or it is damaged."""
    try:
        found = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def run_folder(search: Search, trial: Trial | FrozenTrial) -> Path | None:
    """The folder of a trial's run, if it is on this machine."""
    identity = trial.user_attrs.get(RUN)
    found = folders(search, trial.number) if identity else ()
    return next((folder for folder in found if facts(folder).get("wandb_id") == identity), None)


def discard_own(search: Search, number: int) -> None:
    """Removes the folder that this process has made for a trial, unless it holds a checkpoint."""
    own = {"host": platform.node(), "id": os.getpid()}
    for folder in folders(search, number):
        if facts(folder).get("process") == own and not (folder / LAST).is_file():
            shutil.rmtree(folder, ignore_errors=True)
