"""The machine: what it has, and what a run asks of it in vain."""

import os
import platform
from typing import Any

import torch
from jsonargparse import Namespace


def refuse_absent(trainer: Namespace) -> None:
    """Refuses what this machine does not have, where Lightning would not, or not in words.

    Raises:
        ValueError: for several machines, if nothing has started a process on them; if there is no
            GPU; for float16 on a CPU, which Lightning makes bfloat16; or if there are more CPU
            processes than cores, as 99 processes take a machine down
    """
    told_by = ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "WORLD_SIZE")
    if int(trainer.num_nodes) > 1 and not any(name in os.environ for name in told_by):
        raise ValueError(
            f"--trainer.num_nodes={trainer.num_nodes}: nothing says where the other machines are; "
            "start it by srun or torchrun"
        )
    cores = os.cpu_count() or 1
    has_gpu = torch.accelerator.is_available()
    if trainer.accelerator in ("gpu", "cuda") and not has_gpu:
        raise ValueError(f"--trainer.accelerator={trainer.accelerator}: this machine has no GPU")
    if trainer.accelerator != "cpu" and (trainer.accelerator != "auto" or has_gpu):
        return
    if str(trainer.precision) in ("16-mixed", "16"):
        precision = f"--trainer.precision={trainer.precision}"
        raise ValueError(f"{precision} needs a GPU, on a CPU there is bf16-mixed")
    if trainer.sync_batchnorm:
        raise ValueError("--trainer.sync_batchnorm=true needs GPUs: torch has it for no CPU")
    if str(trainer.devices).isdigit() and int(trainer.devices) > cores:
        raise ValueError(f"--trainer.devices={trainer.devices}: this machine has {cores} cores")


def hardware() -> dict[str, Any]:
    """The machine: platform, vector instructions, cores, threads, and GPUs by name."""
    return {
        "platform": platform.platform(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }
