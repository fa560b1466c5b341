"""Processes that nothing starts are not waited for."""

import os

import pytest
from jsonargparse import Namespace

from recipes.running.machine import refuse_waiting

SLURM = {"SLURM_NTASKS": "8", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}
NOWHERE = "--trainer.num_nodes=2: nothing says where the other machines are; start it by srun"
WITHOUT = "SLURM has 8 tasks for this job, and only one is started: put srun before the command"


@pytest.mark.parametrize(
    ("variables", "settings", "said"),
    [
        ({}, {"num_nodes": 2}, NOWHERE),
        ({"MASTER_ADDR": "one"}, {"num_nodes": 2}, NOWHERE),  # exported in some shell's profile
        ({"WORLD_SIZE": "8"}, {"num_nodes": 2}, NOWHERE),
        (SLURM | {"SLURM_JOB_NAME": "bash"}, {"num_nodes": 2}, NOWHERE),  # salloc, without srun
        (SLURM, {"num_nodes": 2}, WITHOUT),  # in a job script, without srun
        (SLURM, {"devices": 4}, WITHOUT),
        (SLURM, {}, ""),  # one process is all that is wanted
        (SLURM | {"SLURM_NTASKS": "1"}, {"devices": 4}, ""),  # which Lightning starts itself
        (SLURM | {"SLURM_STEP_ID": "0"}, {"num_nodes": 2, "devices": 4}, ""),
        ({"TORCHELASTIC_RUN_ID": "none"}, {"num_nodes": 2}, ""),
        ({"MASTER_ADDR": "one", "NODE_RANK": "1"}, {"num_nodes": 2}, ""),
    ],
)
def test_a_run_that_would_wait_for_ever_is_refused(monkeypatch, variables, settings, said):
    told = ("SLURM_", "TORCHELASTIC_", "MASTER_", "NODE_RANK", "WORLD_SIZE")
    for name in [name for name in os.environ if name.startswith(told)]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    trainer = Namespace(**{"num_nodes": 1, "devices": "auto"} | settings)
    if not said:
        refuse_waiting(trainer)
        return
    with pytest.raises(ValueError, match=said):
        refuse_waiting(trainer)
