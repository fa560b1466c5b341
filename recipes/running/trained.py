"""A trained run, for the tools that ask it once more: its checkpoint, and its recipe's commands."""

import io
import logging
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # seconds
    from lightning.pytorch import Callback, LightningDataModule

# One process on the CPU, without files of its own, and with gradients where they are asked for.
QUIET = (
    *("--trainer.logger=false", "--trainer.enable_progress_bar=false"),
    *("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=1"),
    *("--trainer.strategy=auto", "--trainer.inference_mode=false"),
)


@contextmanager
def without_news() -> Iterator[None]:
    """Within it Lightning says only what is a warning, and not which checkpoint it reads."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def add_which(parser: ArgumentParser) -> None:
    """Gives a tool's command line `--which`, the argument of `Trained.of`."""
    parser.add_argument(
        "--which",
        choices=["best", "last"],
        default="best",
        help="the state after the best validation, where the run kept it (default), or the last",
    )


def checkpoint_of(run: Path, which: str) -> Path:
    """The checkpoint that is meant by a run's folder or by itself.

    Args:
        run: the folder, or a checkpoint in it
        which: best, where the run kept it, or last

    Raises:
        FileNotFoundError: if there is none
    """
    if run.is_file():
        return run
    names = ["best", "last"] if which == "best" else ["last"]
    paths = [run / "checkpoints" / f"{name}.ckpt" for name in names]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{run} has no checkpoints/{names[-1]}.ckpt: not a run's folder")
    return found


@dataclass(frozen=True)
class Trained:
    """A checkpoint in the folder of its run.

    Attributes:
        checkpoint: its path
        folder: of the run
        recipe: that the run is of, as `find_recipe` takes it
    """

    checkpoint: Path
    folder: Path
    recipe: str

    @classmethod
    def of(cls, run: Path, which: str = "best") -> "Trained":
        """The checkpoint that is meant; arguments as `checkpoint_of`.

        Raises:
            FileNotFoundError: if there is none
            ValueError: if it lies in no run's folder, or what tells its recipe is damaged
        """
        checkpoint = checkpoint_of(run.expanduser(), which)
        from recipes.parts.configs import run_of
        from recipes.running.folders import read_facts

        folder = run_of(str(checkpoint))
        if folder is None:
            raise ValueError(f"{checkpoint} is in no run's folder: its recipe is not known")
        return cls(checkpoint, folder, str(read_facts(folder).get("recipe")))

    @cached_property
    def config(self) -> dict[str, Any]:
        """What its run's config.yaml says.

        Raises:
            ValueError: if it is damaged
        """
        from recipes.parts.configs import read_config

        return read_config(self.folder)

    def ask(
        self, subcommand: str, callbacks: Sequence["Callback"], flags: Sequence[str] = ()
    ) -> None:
        """Runs `validate`, `test` or `predict` on the run's own data, with the evaluated weights.

        Args:
            subcommand: of the recipe's command line
            callbacks: that see it
            flags: of the subcommand, such as `--data.path` of data that have moved

        Raises:
            SystemExit: with the line of what went wrong
        """
        from recipes.running.cli import main
        from recipes.running.recipe import find_recipe

        is_double = self.config.get("trainer", {}).get("precision") == "64-true"
        precision = f"--trainer.precision={'64' if is_double else '32'}-true"
        args = [subcommand, f"--ckpt_path={self.checkpoint}", *QUIET, precision, *flags]
        with redirect_stdout(io.StringIO()), without_news():
            main(find_recipe(self.recipe).module, args, callbacks)


def training_batches(data: "LightningDataModule") -> Iterator[Any]:
    """An epoch of a run's training data, as a training step gets it; it may not be set up yet."""
    data.setup("fit")
    for batch in data.train_dataloader():
        yield data.on_after_batch_transfer(batch, 0)
