"""Runs that are started again by what started them: torchrun and SLURM."""

import os
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from recipes.parts.checkpoints import can_resume
from recipes.running.folders import read_facts


def job() -> str | None:
    """What torchrun or SLURM calls this run, the same in all its processes and after a restart."""
    given = os.environ.get("TORCHELASTIC_RUN_ID")
    if given and given != "none":
        return f"torchrun {given}"
    if given:  # without --rdzv-id: processes of one machine, which have one parent
        return f"torchrun {os.getppid()}"
    if identity := os.environ.get("SLURM_JOB_ID"):
        return f"slurm {identity}"
    return None


def warn_of_shared_store() -> None:
    """Warns of torchrun's default, by which new processes may look for those that have died."""
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if shared and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        rank_zero_warn(
            "torchrun may hang when it starts the processes again (pytorch #135712) unless it is "
            "started with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"
        )


def unfinished(parent: Path, command: str) -> tuple[Path | None, Path | None]:
    """The run that an earlier attempt of this job has left, to go on with.

    torchrun starts all processes again when one has died or a machine has joined; SLURM queues a
    job again after its time is up or a machine has failed.

    Args:
        parent: folder of the recipe's runs
        command: of the run

    Returns:
        its folder, and its latest checkpoint if there is one that can be resumed; nothing if this
        is the first attempt
    """
    name = job()
    # In one SLURM job the same command may be typed twice; only a requeued one counts.
    if name is None or ("slurm" in name and os.environ.get("SLURM_RESTART_COUNT", "0") == "0"):
        return None, None
    for file in sorted(parent.glob("*/run.json"), key=os.path.getmtime, reverse=True):
        try:
            facts = read_facts(file.parent)
        except ValueError as error:
            rank_zero_warn(f"{error}; it is passed over")
            continue
        if (facts.get("job"), facts.get("command"), "finished" in facts) == (name, command, False):
            folder = file.parent
            saved = sorted(folder.rglob("*.ckpt"), key=os.path.getmtime, reverse=True)
            return folder, next((path for path in saved if can_resume(path)), None)
    return None, None
