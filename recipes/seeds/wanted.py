"""A run that is wanted: what of it is still to be done, be it all, the rest or nothing."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recipes.parts.configs import read_config
from recipes.parts.keys import dotted, is_place
from recipes.running.commands import resolved
from recipes.running.folders import read_facts
from recipes.running.lock import lock_of, locked
from recipes.running.recipe import find_recipe

# What is done once with a trained run, and the file that says that it was.
EVALUATED = {"test": "test.jsonl", "predict": "predictions.csv"}


@dataclass(frozen=True)
class Wanted:
    """One training, and what there may be of it already.

    Attributes:
        recipe: its name, or its module, such as lab.vae
        name: of its folder
        flags: of its `fit`, also --config
        evaluated: which of its checkpoints is tested and predicts, last or best
    """

    recipe: str
    name: str
    flags: tuple[str, ...]
    evaluated: str = "last"

    @classmethod
    def of_seed(
        cls, recipe: str, name: str, configs: list[str], flags: list[str], seed: int
    ) -> "Wanted":
        """One of several runs, `<name>-s<seed>` in the group `name`.

        Args:
            recipe: its name, or its module
            name: of all of them
            configs: files, or bare names of shipped ones
            flags: of their `fit`; {seed} in them is the run's
            seed: of everything
        """
        own = [flag.replace("{seed}", str(seed)) for flag in flags]
        given = [*(f"--config={config}" for config in configs), f"--group={name}", *own]
        return cls(recipe, f"{name}-s{seed}", (*given, f"--seed_everything={seed}"))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Those that it shall have, `dotted`."""
        return resolved(self.recipe, self.flags)

    @property
    def folder(self) -> Path:
        """Of the run."""
        root = self.settings["trainer.default_root_dir"] or "runs"
        return Path(root, find_recipe(self.recipe).name, self.name)

    @property
    def facts(self) -> dict[str, Any]:
        """What its run.json says; nothing if there is none."""
        return read_facts(self.folder)

    @property
    def is_finished(self) -> bool:
        """Whether it has been trained to its end."""
        return "finished" in self.facts

    def remaining(self, subcommand: str) -> list[str] | None:
        """The arguments of the recipe's command line that do what is still to be done, if any.

        A run that was cut off before its first checkpoint is trained anew, by the same name.

        Args:
            subcommand: fit; or test or predict, once, of what has been trained

        Raises:
            ValueError: if the folder is of something else or has other settings, or if another
                process trains it
        """
        checkpoints = self.folder / "checkpoints"
        if subcommand in EVALUATED:
            done = (self.folder / EVALUATED[subcommand]).exists()
            found = [subcommand, f"--ckpt_path={checkpoints / self.evaluated}.ckpt"]
            return found if self.is_finished and not done else None
        if self.folder.exists():
            with nullcontext() if self.is_finished else locked(*lock_of(self.folder)):
                self._refuse_another()
            if self.is_finished:
                return None
            if (last := checkpoints / "last.ckpt").exists():
                return ["fit", f"--ckpt_path={last}"]
        return ["fit", *self.flags, f"--name={self.name}"]

    def _refuse_another(self) -> None:
        if not self.facts and any(self.folder.iterdir()):
            raise ValueError(f"{self.folder} is not a run's folder; move it away")
        if not (config := read_config(self.folder)):  # cut off before it began
            return
        made = dotted(config)
        for key in sorted(made.keys() | self.settings.keys()):
            has, wanted = made.get(key), self.settings.get(key)
            if has != wanted and not is_place(key):
                difference = f"--{key}={has}, not {wanted}"
                raise ValueError(f"{self.folder} was made with {difference}; give another --name")
