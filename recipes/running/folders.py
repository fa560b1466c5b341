"""The folders of runs: what is in one, and which one a new run gets."""

import json
import re
from contextlib import suppress
from pathlib import Path
from textwrap import shorten
from typing import Any

from recipes.parts.keys import dotted, is_place
from recipes.running.lock import lock_of

PROJECT = "lightning-recipes"  # of W&B, where the environment names none
# What facts of a run are, where they are there: in run.json, and in W&B's config.
KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("recipe", "config", "command", "group", "job_type", "wandb_id"), str),
    **dict.fromkeys(("seconds", "samples"), (int, float)),
    **{"continued": list, "tags": list, "process.host": str, "process.id": int},
}
LARGEST = 10**15  # samples or seconds of a run; no process has such a number


def check_facts(facts: dict[str, Any]) -> None:
    """Refuses facts of a run that are not what they should be.

    Args:
        facts: `dotted`

    Raises:
        ValueError: that names the fact
    """
    for name, kind in KINDS.items():
        value = facts.get(name)
        is_odd = isinstance(value, bool) or (isinstance(value, int) and abs(value) > LARGEST)
        if value is not None and (is_odd or not isinstance(value, kind)):
            raise ValueError(f"{name} is {shorten(repr(value), 50)}")
    for process in facts.get("continued") or ():
        check_facts(dotted(process) if isinstance(process, dict) else {"continued": process})


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
        if not isinstance(facts, dict) or not isinstance(facts.get("settings", {}), dict):
            raise ValueError("no mapping")
        check_facts(dotted({**facts, "settings": None}))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return facts


def read_rows(path: Path, is_live: bool) -> list[dict[str, Any]]:
    """The rows of a metrics file, none where there is no file.

    Args:
        path: of JSON lines
        is_live: whether the last line may be cut off, as the run writes it or was killed

    Raises:
        ValueError: if another line is damaged
    """
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    with suppress(ValueError, RecursionError):
        rows = json.loads(b"[" + b",".join(lines) + b"]")  # much faster than line by line
        if all(isinstance(row, dict) for row in rows):
            return rows
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(dict(json.loads(line)))
        except (ValueError, TypeError, RecursionError) as error:
            if not is_live or number < len(lines):
                raise ValueError(f"{path}, line {number} is damaged") from error
    return found


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
    trains = re.search(r" fit( |$)", known.get("command", ""))
    if not is_cut_off or not trains or identity(known) != identity(facts):
        return None
    return {name: known[name] for name in ("wandb_id",) if name in known}


def identity(facts: dict[str, Any]) -> list[Any]:
    """The recipe and the settings that make a run what it is, wherever it is."""
    settings = json.loads(json.dumps(facts.get("settings", {})))  # as they come back from a file
    return [facts.get("recipe"), {key: v for key, v in settings.items() if not is_place(key)}]


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
    number = 1
    while True:
        folder = parent / (name or f"{config_name}-{number}")
        parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()  # atomic: of two runs that start at once, one gets it
        except FileNotFoundError:  # a run that has failed takes the parent that it made away
            continue
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
