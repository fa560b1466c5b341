"""The folders of runs: what is in one, and which one a new run gets."""

import json
import re
from pathlib import Path
from typing import Any

from recipes.parts.keys import is_place
from recipes.running.lock import lock_of


def read_facts(folder: Path) -> dict[str, Any]:
    """What the run.json of a run's folder says; nothing if there is none.

    Raises:
        ValueError: if it is damaged
    """
    path = folder / "run.json"
    if not path.exists():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError("no mapping")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return facts


def left_behind(folder: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    """What a new run takes over from one that was killed before its first checkpoint.

    Args:
        folder: of that run, if there is one
        facts: of the new run

    Returns:
        facts for the new run; None if there is no such run, or one of other settings

    Raises:
        ValueError: from `read_facts`
    """
    if not folder.is_dir():
        return None
    lock, _ = lock_of(folder)
    if all(path == lock for path in folder.iterdir()):  # killed before all else
        return {}
    known = read_facts(folder)
    is_cut_off = "finished" not in known and not any(folder.rglob("*.ckpt"))
    trains = re.search(r" fit( |$)", str(known.get("command")))
    if not is_cut_off or not trains or identity(known) != identity(facts):
        return None
    return {name: known[name] for name in ("wandb_id",) if name in known}


def identity(facts: dict[str, Any]) -> list[Any]:
    """The recipe and the settings that make a run what it is, wherever it is."""
    settings = json.loads(json.dumps(facts.get("settings")))  # as they come back from a file
    if isinstance(settings, dict):
        settings = {key: value for key, value in settings.items() if not is_place(key)}
    return [facts.get("recipe"), settings]


def new_folder(parent: Path, config_name: str, name: str | None) -> Path:
    """Makes and returns `parent/name`, or `parent/config_name-<the first free number>`.

    Raises:
        FileExistsError: if the name is taken
        ValueError: if the name is of another place
    """
    if name and (parent / name).resolve().parent != parent.resolve():
        raise ValueError(
            f"--name={name}: a name, not a path; --trainer.default_root_dir is where runs are"
        )
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / (name or f"{config_name}-{number}")
        try:
            folder.mkdir()  # atomic: of two runs that start at once, one gets it
        except FileExistsError:
            if name:
                checkpoint = folder / "checkpoints" / "last.ckpt"
                resume = f", or resume it: --ckpt_path={checkpoint}" if checkpoint.exists() else ""
                raise FileExistsError(
                    f"--name={name}: {folder} exists; choose another name{resume}"
                ) from None
            number += 1
        else:
            return folder
