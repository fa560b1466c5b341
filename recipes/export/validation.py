"""The validation of a run's checkpoint, which has the run's data and evaluated weights in hand.

It imports nothing that takes long.
"""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Callback

# One process on the CPU, without files of its own, and with gradients as an export needs them.
QUIET = (
    *("--trainer.logger=false", "--trainer.enable_progress_bar=false"),
    *("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=1"),
    *("--trainer.strategy=auto", "--trainer.inference_mode=false"),
)


def checkpoint_of(run: Path, which: str) -> Path:
    """The checkpoint that is meant by a run's folder or by itself.

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


def folder_of(checkpoint: Path) -> Path:
    """The run's folder that a checkpoint is in.

    Raises:
        ValueError: if it is in none
    """
    from recipes.parts.checkpoints import run_of  # seconds of imports

    folder = run_of(str(checkpoint))
    if folder is None:
        raise ValueError(f"{checkpoint} is in no run's folder: which recipe it is of is not known")
    return folder


def validate(checkpoint: Path, flags: Sequence[str], callback: "Callback") -> None:
    """Validates a checkpoint by its recipe's command line, with one callback more.

    Args:
        checkpoint: in a run's folder
        flags: of `validate`
        callback: that does something with the module and the data

    Raises:
        ValueError, OSError: if the run cannot be read
        SystemExit: with the line of what else went wrong
    """
    from recipes.running.cli import main
    from recipes.running.folders import read_facts
    from recipes.running.recipe import find_recipe

    recipe = str(read_facts(folder_of(checkpoint)).get("recipe"))
    args = ["validate", f"--ckpt_path={checkpoint}", *QUIET, *flags]
    with redirect_stdout(io.StringIO()):
        main(find_recipe(recipe).module, args, [callback])
