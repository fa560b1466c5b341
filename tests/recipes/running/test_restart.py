"""Runs on several processes and machines that die, and are started again."""

import json
import os
import time
from pathlib import Path

import pytest
import torch

from forks import Forked, ended_well, free_port, ranks, until
from launches import GAME, difference, weights
from recipes.running.restart import job, unfinished

EPOCHS = "--trainer.limit_train_batches=4 --trainer.max_epochs=3 --trainer.limit_val_batches=1"
KILL = "--trainer.callbacks+=kills.Kill --trainer.callbacks.step=6 --trainer.callbacks.rank="


def fit(name, *flags, config="ddp"):
    configs = ["--config=game.yaml", f"--config={config}"]
    return ["recipes.gan", "fit", *configs, f"--name={name}", *EPOCHS.split(), *flags]


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights after three epochs on two processes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "game.yaml").write_text(GAME)
    ended_well(*ranks(2, *fit("whole"), folder=folder))
    return weights(folder / "runs/gan/whole")


def assert_equal(folder, undisturbed):
    assert difference(weights(folder), undisturbed) == 0


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_when_one_process_is_killed_the_other_ends_and_the_run_resumes(undisturbed, rank):
    Path("game.yaml").write_text(GAME)
    process = Forked(*fit("killed", *f"{KILL}{rank}".split()))  # which starts the other
    assert process.wait() != 0
    other = int(Path(f"pid-{1 - rank}").read_text())
    until(lambda: not is_alive(other))
    assert time.time() - Path(f"killed-{rank}-6").stat().st_mtime < 20
    checkpoint = "runs/gan/killed/checkpoints/last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 4
    ended_well(*ranks(2, "recipes.gan", "fit", f"--ckpt_path={checkpoint}"))
    assert_equal(Path("runs/gan/killed"), undisturbed)


@pytest.fixture
def of_jobs(monkeypatch, tmp_path):
    """Runs that jobs have left: a name, its job, its command, whether it has come to its end."""
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)

    def left(name, of, command="fit", **more):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({"job": of, "command": command, **more}))
        return folder

    return left


def test_a_run_goes_on_if_it_is_its_job_s_and_has_not_come_to_its_end(
    of_jobs, monkeypatch, tmp_path
):
    of_jobs("others", "torchrun others")
    of_jobs("ended", "torchrun mine", finished=True)
    of_jobs("another", "torchrun mine", command="fit --name=another")
    assert unfinished(tmp_path, "fit") == (None, None), "of no job"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    assert unfinished(tmp_path, "fit") == (None, None), "none of these"
    folder = of_jobs("cut", "torchrun mine")
    assert unfinished(tmp_path, "fit") == (folder, None), "before its first checkpoint"
    (folder / "checkpoints").mkdir()
    (folder / "project/id/checkpoints").mkdir(parents=True)
    whole = {"state_dict": {}, "optimizer_states": []}
    names = ("checkpoints/last.ckpt", "hpc_ckpt_1.ckpt", "project/id/checkpoints/a.ckpt")
    for age, name in enumerate((*names, "checkpoints/weights.ckpt", "checkpoints/damaged.ckpt")):
        torch.save(whole if name in names else {"state_dict": {}}, folder / name)
        if "damaged" in name:
            (folder / name).write_bytes((folder / name).read_bytes()[:-100])
        os.utime(folder / name, (age, age))
    for name in reversed(names):  # the latest that can be resumed
        assert unfinished(tmp_path, "fit") == (folder, folder / name)
        (folder / name).unlink()
    assert unfinished(tmp_path, "fit") == (folder, None)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert job() == f"torchrun {os.getppid()}", "without an id, those of one launcher"


def test_a_command_typed_twice_in_one_slurm_job_starts_twice(of_jobs, monkeypatch, tmp_path):
    folder = of_jobs("cut", "slurm 7")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert unfinished(tmp_path, "fit") == (None, None)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert unfinished(tmp_path, "fit") == (folder, None), "but a requeued one goes on"


@pytest.mark.slow
def test_torchrun_starts_a_run_again_and_it_goes_on(undisturbed):
    Path("game.yaml").write_text(GAME)
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    command = fit("elastic", *f"{KILL}1".split())
    # Without it, torch 2.13 hangs in every second restart (pytorch #135712).
    own = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    process = Forked(*launcher, "-m", *command, **own)
    ended_well(process)
    assert process.output().count("run folder: runs/gan/elastic\n") == 2
    assert [path.name for path in Path("runs/gan").iterdir()] == ["elastic"]
    assert_equal(Path("runs/gan/elastic"), undisturbed)


@pytest.mark.slow
def test_two_machines_of_two_processes_each_by_torchrun():
    """Data x tensor parallel: the batch is shared out by two pairs that share out the layers."""
    network = "--model.network=MLP --model.network.inputs=64 --model.network.widths=[32,16]"
    flags = f"--trainer.max_steps=4 --trainer.callbacks=fits.Placements {network}"
    flags += " --model.optimizer=SGD --model.optimizer.lr=0.1 --model.optimizer.fused=false"
    fits = ["recipes.classify", "fit", "--config=digits", *flags.split()]
    hybrid = ["--config=hybrid", "--trainer.num_nodes=2", "--trainer.devices=2"]
    hybrid += ["--name=hybrid", "--data.batch_size=32"]
    launcher = ["torch.distributed.run", "--nnodes=2", "--nproc-per-node=2", "--rdzv-id=test"]
    launcher += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}", "-m"]
    machines = [Forked(*launcher, *fits, *hybrid) for _ in range(2)]
    alone = Forked(*fits, "--name=alone", "--data.batch_size=64")
    ended_well(*machines, alone)
    one, two = (weights(Path("runs/classify", name)) for name in ("alone", "hybrid"))
    assert difference(one, two) < 1e-6
    split = Path("runs/classify/hybrid/placements-3.json").read_text()
    assert "Shard(dim=0), Shard(dim=1)" in split, "of data and of tensor parallelism"


def slurm(rank, port, **more):
    """What SLURM tells a task of two on two machines, of one process each."""
    return {
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2",
        "SLURM_PROCID": str(rank),
        "SLURM_NODEID": str(rank),
        "SLURM_LOCALID": "0",
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
        "SLURM_JOB_NAME": "fit",
        "SLURM_JOB_NODELIST": "localhost",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        **more,
    }


@pytest.mark.slow
def test_slurm_queues_a_run_again_and_it_goes_on(undisturbed, tmp_path):
    """The signal comes within a step of both tasks; nothing is lost, not even half an epoch."""
    Path("game.yaml").write_text(GAME)
    queued = tmp_path / "scontrol"
    queued.write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/queued\n")
    queued.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    command = fit("job", *f"{KILL}-1".split(), config="slurm")
    command += ["--trainer.devices=1", "--trainer.callbacks.number=SIGUSR1"]
    command += ["--trainer.callbacks+=kills.Kill", "--trainer.callbacks.step=7"]
    command += ["--trainer.callbacks.rank=-1"]  # SLURM ends what has been queued again
    port = free_port()
    tasks = [Forked(*command, PATH=path, **slurm(rank, port)) for rank in (0, 1)]
    for task in tasks:
        task.wait()
    assert (tmp_path / "queued").read_text() == "requeue 7\n"
    assert Path("runs/gan/job/hpc_ckpt_1.ckpt").exists()
    port, again = free_port(), {"SLURM_RESTART_COUNT": "1"}
    ended_well(*(Forked(*command, PATH=path, **slurm(rank, port, **again)) for rank in (0, 1)))
    assert [path.name for path in Path("runs/gan").iterdir()] == ["job"]
    assert_equal(Path("runs/gan/job"), undisturbed)
