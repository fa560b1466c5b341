"""What several seeds of one config have come to, with where it comes from, as a small file."""

import json
from pathlib import Path
from typing import Any

from recipes.parts.files import replace_file
from recipes.parts.keys import config_hash
from recipes.running.folders import read_rows
from recipes.running.recipe import find_recipe
from recipes.seeds.wanted import Wanted

ORIGIN = ("commit", "dirty", "versions", "hardware")


def gathered(
    runs: list[Wanted], seeds: list[int], configs: list[str], flags: list[str]
) -> dict[str, Any]:
    """The numbers of some runs, one a seed, in lists, and what they share.

    `config_hash` is of the first seed's settings. The metrics are validation's last and test's.

    Args:
        runs: trained ones
        seeds: in the runs' order
        configs: of the command line; without any, it was the recipe's default
        flags: of the command line

    Raises:
        ValueError: if the runs were not all made by the same code on the same machine
    """
    facts = [run.facts for run in runs]
    seconds = [fact["seconds"] for fact in facts]
    metrics = [final(run.folder) for run in runs]
    shared = [key for key in metrics[0] if all(key in metric for metric in metrics)]
    return {
        "recipe": runs[0].recipe,
        "config": configs or default_config(runs[0].recipe),
        "flags": flags,
        "config_hash": config_hash(runs[0].settings),
        **origin(runs),
        "seeds": seeds,
        "seconds": seconds,
        "samples_per_second": [
            round(fact["samples"] / time, 1) for fact, time in zip(facts, seconds, strict=True)
        ],
        **{key: [metric[key] for metric in metrics] for key in shared},
    }


def default_config(recipe: str) -> list[str]:
    """The bare name of what runs without --config, none if the recipe ships none."""
    found = find_recipe(recipe).default
    return [found.stem] if found else []


def origin(runs: list[Wanted]) -> dict[str, Any]:
    """The commit, versions and hardware of runs, also of those that were resumed.

    Raises:
        ValueError: if they are not the same
    """
    first = {key: runs[0].facts.get(key) for key in ORIGIN}
    for run in runs:
        for fact in [run.facts, *run.facts.get("continued", [])]:
            for key in ORIGIN:
                if fact.get(key) != first[key]:
                    other = f"{run.folder} was made with another {key} than {runs[0].folder}"
                    raise ValueError(f"{other}: move them away, to make all anew")
    return first


def final(folder: Path) -> dict[str, float]:
    """The last value of each metric of validation and test in a run's folder.

    Raises:
        ValueError: from `read_rows`
    """
    found: dict[str, float] = {}
    for name in ("metrics", "test"):
        for row in read_rows(folder / f"{name}.jsonl", is_live=False):
            found |= {key: row[key] for key in row if key.startswith(("val/", "test/"))}
    return found


def save(path: Path, result: dict[str, Any]) -> None:
    """Writes a result as JSON, one key a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
    replace_file(path, "{\n" + ",\n".join(lines) + "\n}\n")
