"""Feedback alignment from the command line: interruptions, processes, averages, refusals."""

from pathlib import Path

import pytest
import torch

from datamodules import Digits
from forks import ended_well, ranks
from marks import slow
from recipes.export.__main__ import main as export
from recipes.feedback import FeedbackMLP
from trains import interrupt_after, middle_of_epoch, rows

LAST = "checkpoints/last.ckpt"
BARE = ("--trainer.callbacks=[]",)
SMALL = ("--model.network.widths=[20,20]", *BARE)
DDP = ("--config=ddp", "--trainer.devices=2")


def saved(name, file="last"):
    return torch.load(f"runs/feedback/{name}/checkpoints/{file}.ckpt", weights_only=True)


def seen_once(data):
    data.prepare_data()
    data.setup("test")
    return data


def matrices(state):
    return {key: value for key, value in state.items() if "matrix" in key}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["direct", slow("alignment")])
def test_an_interrupted_run_resumes_exactly(recipe, monkeypatch, method):
    """In the middle of an epoch, with dropout; the matrices are those of the checkpoint."""
    own = (f"--model.network.feedback={method}", "--model.network.dropout=0.2")
    flags = (*own, "--trainer.max_epochs=3", *SMALL)
    recipe("feedback", "fit", *flags, "--name=whole")
    with monkeypatch.context() as patch:
        interrupt_after(40, patch)
        with pytest.raises(MemoryError):
            recipe("feedback", "fit", *flags, *middle_of_epoch("runs/feedback/cut"), "--name=cut")
    assert saved("cut", "middle")["global_step"] == 30
    recipe("feedback", "fit", "--ckpt_path=runs/feedback/cut/checkpoints/middle.ckpt")
    one, two = (saved(name)["state_dict"] for name in ("whole", "cut"))
    assert len(matrices(one)) == 2 and all(torch.equal(one[key], two[key]) for key in one)
    assert rows(Path("runs/feedback/whole")) == rows(Path("runs/feedback/cut"))


@pytest.mark.parametrize("method", ["direct", slow("alignment")])
def test_two_processes_train_what_one_does(recipe, method):
    """Also the angles are those of both processes' batch together."""
    both = (f"--model.network.feedback={method}", "--trainer.precision=64-true", *SMALL)
    both += ("--trainer.max_epochs=2", "--trainer.log_every_n_steps=4")
    recipe("feedback", "fit", *both, "--data.batch_size=64", "--name=one")
    own = ("--data.batch_size=32", *DDP, "--name=two")
    ended_well(*ranks(2, "recipes.feedback", "fit", *both, *own))
    one, two = (saved(name)["state_dict"] for name in ("one", "two"))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-8, atol=1e-9)
    assert len(matrices(one)) == 2
    assert all(value.equal(two[key]) for key, value in matrices(one).items())
    logs = [
        [
            row["train/angle/1"]
            for row in rows(Path("runs/feedback", name))
            if "train/angle/1" in row
        ]
        for name in ("one", "two")
    ]
    assert len(logs[0]) == 8 and logs[0] == pytest.approx(logs[1], abs=1e-3)


def test_averaged_weights_keep_the_matrices(recipe):
    """Of `EMA`; the exported file has the matrices too, and is what `test` tests."""
    average = ("--trainer.callbacks+=EMA", "--trainer.callbacks.module=network")
    write = ("--trainer.callbacks+=Export", "--trainer.callbacks.module=network")
    write += ("--trainer.callbacks.which=last",)
    recipe("feedback", "fit", "--name=a", *SMALL, *average, *write, "--trainer.max_epochs=2")
    saved_run = saved("a")
    network = torch.load("runs/feedback/a/network.pt", weights_only=True)
    fixed = matrices(saved_run["state_dict"])
    assert len(fixed) == 2
    assert all(value.equal(network[key.removeprefix("network.")]) for key, value in fixed.items())
    trained = saved_run["state_dict"]["network.head.weight"]
    assert not trained.equal(network["head.weight"]), "the average is exported"
    recipe("feedback", "test", f"--ckpt_path=runs/feedback/a/{LAST}")
    (tested,) = rows(Path("runs/feedback/a"), "test")
    average = FeedbackMLP(64, [20, 20]).eval()
    average.load_state_dict(network)
    data = seen_once(Digits())
    images, labels = data.tables["test"].gather(torch.arange(len(data.tables["test"])), 0)
    wrong = (average(data.scale(images)).argmax(1) != labels).sum().item()
    assert tested["test/errors"] == wrong


def test_binary_predictions_are_of_each_class_by_itself(recipe):
    own = ("--model.loss=binary_cross_entropy", "--trainer.max_epochs=1", "--name=a")
    recipe("feedback", "fit", *own, *SMALL)
    recipe("feedback", "predict", f"--ckpt_path=runs/feedback/a/{LAST}", "--output=found.csv")
    header, *lines = Path("found.csv").read_text().splitlines()
    names = header.split(",")
    found = [dict(zip(names, map(float, line.split(",")), strict=True)) for line in lines]
    shares = [[row[f"probability_{k}"] for k in range(10)] for row in found]
    assert any(abs(sum(share) - 1) > 0.05 for share in shares)
    assert all(
        row["prediction"] == max(range(10), key=s.__getitem__)
        for row, s in zip(found, shares, strict=True)
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch's compiler does
def test_compiled_it_trains_the_same(recipe):
    flags = ("--model.network.widths=[20,20]", "--trainer.max_epochs=1")
    recipe("feedback", "fit", *flags, *BARE, "--name=plain")
    recipe("feedback", "fit", *flags, "--trainer.callbacks=Compile", "--name=compiled")
    one, two = (saved(name)["state_dict"] for name in ("plain", "compiled"))
    assert all(torch.allclose(one[key], two[key], atol=1e-4) for key in one)
    angles = [
        rows(Path("runs/feedback", name))[0]["train/angle/1"] for name in ("plain", "compiled")
    ]
    assert angles[0] == pytest.approx(angles[1], abs=0.1)


@pytest.mark.slow
def test_its_network_is_exported(recipe):
    recipe("feedback", "fit", "--name=a", *SMALL, "--trainer.max_epochs=1")
    for name in ("onnx", "torch_export"):
        export(["runs/feedback/a", f"--format={name}"])


REFUSED = {
    "--model.network.inputs=63": r"--model\.network\.inputs=63, but the data have 64",
    "--model.network.outputs=9": r"--model\.network\.outputs=9",
    "--config=fsdp --trainer.devices=1 --trainer.strategy.data_parallel_size=1": "angles need",
}


@pytest.mark.parametrize("flags", REFUSED)
def test_what_would_be_wrong_is_refused(recipe, flags):
    with pytest.raises((ValueError, SystemExit), match=REFUSED[flags]) as caught:
        recipe("feedback", "fit", *flags.split(), "--trainer.max_epochs=1")
    assert "\n" not in str(caught.value).strip()
    assert not list(Path().glob("runs/feedback/*/metrics.jsonl"))
