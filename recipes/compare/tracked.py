"""Runs as W&B has them: on this disk, not yet synced, or in a project of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import wandb

from recipes.compare.media import check_content, check_name, read_picture, readable
from recipes.compare.runs import AXES, Run, UnreadableRun, curves, state, try_run
from recipes.running.folders import check_facts

# The pictures that a run logs, the later the better, and what they are called in its folder.
MEDIA = {"samples/raw": "samples.png", "samples/ema": "samples.png", "study": "study.png"}


FOLDER = "_folder"  # of a row's files
STUDY = "study"  # a fact of the further W&B runs that a study has, one an optimizer


def offline_runs(source: Path) -> Iterator[Run | UnreadableRun]:
    """The runs of the .wandb files in and below a folder, each resumption joined to its run.

    They are read by `wandb leet inspect`, several at a time.
    """
    # By their time: it begins the names after "run-" or "offline-run-".
    files = sorted(
        source.rglob("*.wandb"), key=lambda path: path.parent.name.removeprefix("offline-")
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(try_records, files))
    runs: dict[str, list[tuple[Path, list[dict[str, Any]]]]] = {}
    for file, records in zip(files, parts, strict=True):
        if isinstance(records, UnreadableRun):
            yield records
        else:
            runs.setdefault(file.stem, []).append((file, records))
    for found in runs.values():
        run = try_run(found[-1][0], partial(_joined, found))
        if isinstance(run, UnreadableRun) or STUDY not in run.facts:
            yield run


def try_records(file: Path) -> list[dict[str, Any]] | UnreadableRun:
    """The records of a .wandb file, or why it cannot be read."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        records = [json.loads(line) for line in done.stdout.splitlines()]
    except ValueError as error:
        return UnreadableRun(f"{file}: {error}")
    if done.returncode or not any(record["type"] == "run" for record in records):
        reason = (done.stderr.strip().splitlines() or ["no run in it"])[-1]
        return UnreadableRun(f"{file}: {reason}")
    return records


def _joined(parts: list[tuple[Path, list[dict[str, Any]]]]) -> Run:
    """One run from the records of its process and of those that went on with it."""
    config: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    name = ""
    for file, records in parts:
        found = []
        for record in records:
            content = record.get(record["type"], {})
            if record["type"] == "run":
                name = content["display_name"]
                config.update(content.get("config", {}).get("update", {}))
            elif record["type"] == "config":
                config.update(content.get("update", {}))
            elif record["type"] == "history":
                found.append(nested(content["item"]) | {FOLDER: file.parent / "files"})
        rows = resumed(rows, found)
    last = max(file.stat().st_mtime for file, _ in parts)
    return tracked(name, config, rows, last, lambda row, path: read_picture(row[FOLDER], path))


def nested(row: dict[str, Any]) -> dict[str, Any]:
    """A row with media as mappings, as in a project: `{"a.b": 1}` is `{"a": {"b": 1}}`."""
    media = [key.removesuffix("._type") for key in row if key.endswith("._type")]
    for name in media:
        parts = [key for key in row if key.startswith(f"{name}.")]
        row[name] = {key.removeprefix(f"{name}."): row.pop(key) for key in parts}
    return row


def image(media: dict[str, Any]) -> str:
    """The path of an image, or of the last of several."""
    return media["filenames"][-1] if "filenames" in media else media["path"]


def resumed(before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without those of steps that a resumed run has trained again."""
    first = next((row["trainer/global_step"] for row in rows if _is_training(row)), None)
    if first is None:
        return before + rows
    return [row for row in before if row.get("trainer/global_step", 0) < first] + rows


def _is_training(row: dict[str, Any]) -> bool:
    return any(key.startswith("train/") for key in row)


def online_runs(project: str, api: Any = None) -> Iterator[Run | UnreadableRun]:  # noqa: ANN401 - wandb.Api
    """The runs of a W&B project.

    Args:
        project: entity/project
        api: W&B's, by default with the login of this machine

    Raises:
        ValueError: if there is no login, or no such project
    """
    try:
        for run in (api or wandb.Api()).runs(project, order="+created_at"):
            rows = list(run.scan_history())
            written = rows[-1].get("_timestamp", 0) if rows else 0

            def read(row: dict[str, Any], path: str, run: Any = run) -> bytes:  # noqa: ANN401
                try:
                    file = run.file(check_name(path))
                    with TemporaryDirectory() as folder, file.download(folder) as content:
                        return check_content(Path(content.name).read_bytes(), path)
                except wandb.errors.Error as error:
                    raise FileNotFoundError(path) from error

            if f"run.{STUDY}" not in run.config:
                config = dict(run.config)
                where = f"{project}/{run.name}"
                yield try_run(where, partial(tracked, run.name, config, rows, written, read))
    except (wandb.errors.Error, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{project} cannot be read from W&B (wandb login): {reason}") from error


def tracked(
    name: str,
    config: dict[str, Any],
    rows: list[dict[str, Any]],
    written: float,
    read: Callable[[dict[str, Any], str], bytes],
) -> Run:
    """A run from what W&B has of it.

    Args:
        name: of its folder
        config: settings, and facts as run.<fact>
        rows: of its history
        written: time of the last row, seconds since 1970
        read: gives the content of a file, by a row that it was logged in and its path
    """
    facts = {k.removeprefix("run."): v for k, v in config.items() if k.startswith("run.")}
    check_facts(facts)
    settings = {key: value for key, value in config.items() if not key.startswith(("run.", "_"))}
    training, evaluated, pictures = [], {}, {}
    for row in rows:
        numbers = {k: v for k, v in row.items() if "/" in k and not isinstance(v, dict)}
        numbers.pop("trainer/global_step", None)
        # A fit says in each row of validation how much it has seen; `validate` does not.
        of_data = {k: v for k, v in numbers.items() if k.startswith(("val/", "test/"))}
        if any(k.startswith("test/") for k in of_data) or "samples" not in row:
            evaluated |= of_data
        if "samples" in row or numbers.keys() - of_data.keys():
            step = row.get("trainer/global_step")
            training.append(numbers | {a: row.get(a) for a in AXES} | {"step": step})
        pictures |= {key: (row, image(row[key])) for key in MEDIA if key in row}
    return Run(
        name=name,
        state=state(facts, written),
        facts=facts,
        settings=settings,
        curves=curves(training),
        evaluated=evaluated,
        pictures=readable(
            name, [(MEDIA[k], partial(read, *pictures[k])) for k in MEDIA if k in pictures]
        ),
    )
