"""What tested runs measured, kept in a file, so that a table's runs need not be made again."""

import json
from pathlib import Path
from typing import Any

from beside.comparison import machine
from recipes.parts.files import replace_file
from recipes.running.folders import read_facts
from recipes.seeds.wanted import Wanted
from tables import last_row


class Measures:
    """Test metrics of runs, by name and seed.

    Args:
        file: that keeps them, JSON
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def stored(self) -> dict[str, list[dict[str, Any]]]:
        """What is done: of each name the runs, in order of seeds."""
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def has(self, name: str, seed: int) -> bool:
        """Whether a run is kept."""
        return seed in [run["seed"] for run in self.stored().get(name, [])]

    def add(self, name: str, run: Wanted, **more: float) -> None:
        """Keeps the test metrics of a run, its commit and settings, seconds of training, machine.

        Args:
            name: what it is of
            run: that has been trained and tested
            more: that was measured of it
        """
        facts, tested = read_facts(run.folder), last_row(run.folder / "test.jsonl")
        kept = {key: facts[key] for key in ("seed", "commit", "config_hash", "seconds")}
        kept |= {"machine": machine()} | more
        kept |= {key: value for key, value in tested.items() if key.startswith("test/")}
        done = self.stored()
        others = [each for each in done.get(name, []) if each["seed"] != kept["seed"]]
        every = sorted([*others, kept], key=lambda each: each["seed"])
        replace_file(self.file, json.dumps(done | {name: every}, indent=1) + "\n")
