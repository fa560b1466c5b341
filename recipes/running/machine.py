"""The machine: what it has, and what a run asks of it in vain."""

import os
import platform
import re
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch.accelerators import XLAAccelerator
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities import rank_zero_info

from recipes.parts.kernels import LACKS_BF16


def refuse_absent(trainer: Namespace) -> None:
    """Refuses what this machine does not have, where Lightning would not, or not in words.

    Raises:
        ValueError: for processes that nothing starts; if there is no GPU; or for what a CPU cannot
            do
    """
    refuse_waiting(trainer)
    has_gpu = torch.accelerator.is_available()
    has = {"gpu": has_gpu, "cuda": has_gpu, "tpu": XLAAccelerator.is_available()}
    if not has.get(trainer.accelerator, True):
        what = "TPU, or no torch_xla" if trainer.accelerator == "tpu" else "GPU"
        raise ValueError(f"--trainer.accelerator={trainer.accelerator}: this machine has no {what}")
    if trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and not has_gpu):
        refuse_on_cpu(trainer)
        note_slow_precision(str(trainer.precision))


def refuse_waiting(trainer: Namespace) -> None:
    """Refuses a run that would wait for other processes for ever, as nothing starts them.

    Raises:
        ValueError: for several machines, unless SLURM, torchrun or the environment tell of them; or
            for several tasks of a SLURM job, which srun starts, and a job script does not
    """
    in_slurm = SLURMEnvironment.job_name() not in ("bash", "interactive") and (
        "SLURM_NTASKS" in os.environ
    )
    by_hand = {"MASTER_ADDR", "NODE_RANK"} <= os.environ.keys()
    told = in_slurm or by_hand or "TORCHELASTIC_RUN_ID" in os.environ
    if int(trainer.num_nodes) > 1 and not told:
        raise ValueError(
            f"--trainer.num_nodes={trainer.num_nodes}: nothing says where the other machines are; "
            "start it by srun or torchrun"
        )
    is_step = {"SLURM_STEP_ID", "SLURM_STEPID"} & os.environ.keys()
    several = int(trainer.num_nodes) > 1 or str(trainer.devices) not in ("auto", "1")
    if in_slurm and several and int(os.environ["SLURM_NTASKS"]) > 1 and not (is_step or by_hand):
        raise ValueError(
            f"SLURM has {os.environ['SLURM_NTASKS']} tasks for this job, and only one is started: "
            "put srun before the command"
        )


def refuse_on_cpu(trainer: Namespace) -> None:
    """Refuses what only GPUs can do, and processes that are no number or too many.

    Raises:
        ValueError: for float16, which Lightning makes bfloat16 there; for synchronised batch-norm;
            for devices by their numbers; or if there are more processes than cores, as 99
            processes take a machine down
    """
    if str(trainer.precision) in ("16-mixed", "16"):
        precision = f"--trainer.precision={trainer.precision}"
        raise ValueError(f"{precision} needs a GPU, on a CPU there is bf16-mixed")
    if trainer.sync_batchnorm:
        raise ValueError("--trainer.sync_batchnorm=true needs GPUs: torch has it for no CPU")
    devices, cores = str(trainer.devices), os.cpu_count() or 1
    if devices == "auto":
        return
    if not re.fullmatch(r"[1-9]\d*", devices):
        raise ValueError(f"--trainer.devices={devices} must be a number of processes on a CPU")
    if int(devices) > cores:
        raise ValueError(f"--trainer.devices={devices}: this machine has {cores} cores")


def note_slow_precision(precision: str) -> None:
    """Notes that a processor computes bfloat16 in software, which few expect to be slow."""
    if LACKS_BF16 and precision.startswith("bf16"):
        rank_zero_info(
            f"note: --trainer.precision={precision}: this processor has no bfloat16 instructions, "
            "and is several times faster with --trainer.precision=32-true"
        )


def hardware() -> dict[str, Any]:
    """The machine: platform, vector instructions, cores, threads, and GPUs by name."""
    return {
        "platform": platform.platform(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }
