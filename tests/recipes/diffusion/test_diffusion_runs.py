"""Diffusion from the command line: interruptions, processes, samples, pictures, refusals."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from callbacks import EMA
from datamodules import Digits, Ring
from forks import ended_well, ranks
from marks import slow, some
from recipes.diffusion import Diffusion, Samples, Trajectories
from recipes.diffusion.networks import ResidualMLP
from recipes.diffusion.pictures import chosen
from recipes.diffusion.process import RectifiedFlow
from recipes.diffusion.samplers import Heun
from trains import fit, interrupt_after, middle_of_epoch, rows, weights

LAST = "checkpoints/last.ckpt"
BARE = ("--trainer.callbacks=[]",)
MLP = ("--model.network=ResidualMLP", "--model.network.width=16", "--model.network.blocks=1")
TINY = (*MLP, "--model.network.classes=10", "--model.sampler.steps=5", *BARE)
FLOW = (
    *(*MLP, "--model.network.classes=null", "--model.classes=null", "--model.label_dropout=0"),
    *("--model.path=RectifiedFlow", "--model.sampler=Heun", "--model.sampler.steps=3", *BARE),
)


def saved(name):
    return torch.load(f"runs/diffusion/{name}/{LAST}", weights_only=True)


@pytest.mark.parametrize("flags", [TINY, slow(FLOW)], ids=["ddpm", "flow"])
def test_an_interrupted_run_resumes_exactly(recipe, monkeypatch, flags):
    """In the middle of an epoch: times, noise and left out labels go on."""
    flags = (*flags, "--data.batch_size=40", "--trainer.max_epochs=3")
    recipe("diffusion", "fit", *flags, "--name=whole")
    with monkeypatch.context() as patch:
        interrupt_after(40, patch)
        with pytest.raises(MemoryError):
            middle = middle_of_epoch("runs/diffusion/cut")
            recipe("diffusion", "fit", *flags, *middle, "--name=cut")
    middle = Path("runs/diffusion/cut/checkpoints/middle.ckpt")
    assert torch.load(middle, weights_only=True)["global_step"] == 40 - 10
    recipe("diffusion", "fit", f"--ckpt_path={middle}")
    one, two = (saved(name)["state_dict"] for name in ("whole", "cut"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert rows(Path("runs/diffusion/whole")) == rows(Path("runs/diffusion/cut"))


EXACT = ("--trainer.precision=64-true", "--trainer.max_epochs=2", "--data.val_size=361")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [TINY, slow(FLOW)], ids=["ddpm", "flow"])
def test_two_processes_and_accumulated_batches_train_what_one_does(recipe, flags):
    both = (*flags, *EXACT)
    recipe("diffusion", "fit", *both, "--name=one", "--data.batch_size=64")
    accumulated = ("--data.batch_size=32", "--trainer.accumulate_grad_batches=2")
    limited = "--trainer.limit_train_batches=32"
    recipe("diffusion", "fit", *both, "--name=parts", *accumulated, limited)
    ddp = ("--config=ddp", "--trainer.devices=2", "--data.batch_size=32")
    ended_well(*ranks(2, "recipes.diffusion", "fit", *both, *ddp, "--name=two"))
    for key, value in saved("one")["state_dict"].items():
        for name in ("two", "parts"):
            other = saved(name)["state_dict"][key]
            torch.testing.assert_close(other, value, rtol=1e-9, atol=1e-10)
    logs = [rows(Path("runs/diffusion", name))[-1] for name in ("one", "two", "parts")]
    assert {"val/loss", "val/kid_pixels"} <= logs[0].keys()
    # The floors are of the training images that each process has first.
    compared = {key for key in logs[0] if key.startswith("val/") and not key.endswith("_floor")}
    for key in compared:
        found = [other[key] for other in logs]
        # Distances of neighbours are compared with each other, some of which may be equal.
        assert found == pytest.approx([logs[0][key]] * 3, rel=1e-6, abs=3e-3), key
        if key == "val/loss":
            assert found == pytest.approx([found[0]] * 3, rel=1e-9)


@pytest.mark.slow
def test_samples_are_drawn_by_count_seed_label_steps_and_guidance(recipe):
    recipe("diffusion", "fit", *TINY, "--name=a", "--trainer.max_epochs=1")
    point = f"--ckpt_path=runs/diffusion/a/{LAST}"

    def drawn(*flags):
        recipe("diffusion", "predict", point, "--count=70", *flags)
        return np.load("runs/diffusion/a/sample.npy"), np.loadtxt(
            "runs/diffusion/a/samples.csv", delimiter=",", skiprows=1, ndmin=2
        )

    samples, labels = drawn()
    assert samples.shape == (70, 1, 8, 8) and samples.min() >= 0 and samples.max() <= 1
    assert labels[:, -1].tolist() == [k % 10 for k in range(70)]
    assert len(list(Path("runs/diffusion/a/generated").glob("*.png"))) == 70
    np.testing.assert_array_equal(drawn()[0], samples)
    recipe("diffusion", "predict", point, "--count=66")
    found = np.load("runs/diffusion/a/sample.npy")
    np.testing.assert_allclose(found, samples[:66], rtol=1e-4, atol=1e-5)
    sevens, labels = drawn("--label=7")
    assert set(labels[:, -1]) == {7}
    np.testing.assert_allclose(sevens[7::10], samples[7::10], rtol=1e-4, atol=1e-5)
    for flags in (("--steps=2",), ("--guidance=4",), ("--guidance=0",), ("--seed_everything=5",)):
        assert np.abs(drawn(*flags)[0] - samples).max() > 1e-3, flags
    unguided = drawn("--guidance=0")[0]
    np.testing.assert_allclose(drawn("--guidance=0", "--label=2")[0], unguided, atol=1e-5)
    lead = ("--interpolate=5", "--count=2", "--model.sampler.eta=0")
    recipe("diffusion", "predict", point, *lead)
    assert Path("runs/diffusion/a/interpolation.png").exists()


def test_without_a_count_there_are_as_many_samples_as_examples(recipe):
    recipe("diffusion", "fit", *FLOW, "--name=a", "--trainer.max_epochs=1")
    recipe("diffusion", "predict", f"--ckpt_path=runs/diffusion/a/{LAST}")
    assert np.load("runs/diffusion/a/sample.npy").shape == (360, 1, 8, 8)


def untrained(**options):
    torch.manual_seed(0)
    return Diffusion(ResidualMLP([1, 8, 8], 16, 1), RectifiedFlow(), Heun(3), **options)


def test_pictures_leave_training_as_it_is(tmp_path):
    module, _ = fit(untrained(), Digits(batch_size=359), tmp_path, [EMA("network")], max_epochs=2)
    pictures = [EMA("network"), Samples("2ba"), Trajectories(3)]
    drawn, _ = fit(untrained(), Digits(batch_size=359), tmp_path, pictures, max_epochs=2)
    assert weights(module).equal(weights(drawn))
    assert len(list((tmp_path / "samples").glob("*-ema.png"))) == 3
    for name in ("samples", "trajectory"):
        picture = matplotlib.image.imread(tmp_path / f"{name}.png")
        assert picture.shape[1] >= 200 and picture[..., :3].std() > 0.1, name


def test_points_have_a_trajectory_too(tmp_path):
    torch.manual_seed(0)
    module = Diffusion(ResidualMLP([2], 16, 1), RectifiedFlow(), Heun(3))
    fit(module, Ring(samples=256, val_samples=99), tmp_path, [Trajectories()])
    assert matplotlib.image.imread(tmp_path / "trajectory.png")[..., :3].std() > 0.05


def test_the_states_that_are_shown_are_spread_from_the_first_to_the_last():
    assert chosen(51, 10)[0] == 0 and chosen(51, 10)[-1] == 50 and len(chosen(51, 10)) == 10
    assert chosen(4, 10) == [0, 1, 2, 3] and chosen(2, 10) == [0, 1]


def test_an_evaluation_samples_no_more_than_it_compares(recipe, monkeypatch):
    counts = []
    sample = Diffusion.sample

    def counted(self, noise, *args):
        counts.append(len(noise.rows))
        return sample(self, noise, *args)

    monkeypatch.setattr(Diffusion, "sample", counted)
    flags = ("--model.evaluation.examples=100", "--trainer.num_sanity_val_steps=0")
    recipe("diffusion", "fit", *TINY, *flags, "--trainer.max_epochs=1")
    assert sum(counts) == 100


def test_samples_are_evaluated_every_so_many_epochs_and_at_the_end(recipe):
    flags = (
        "--model.evaluation_every=2",
        "--trainer.max_epochs=3",
        "--trainer.limit_val_batches=2",
    )
    recipe("diffusion", "fit", *TINY, *flags, "--name=a")
    logged = [row for row in rows(Path("runs/diffusion/a")) if "val/loss" in row]
    assert ["val/fid_pixels" in row for row in logged] == [False, True, True]
    recipe("diffusion", "test", f"--ckpt_path=runs/diffusion/a/{LAST}")
    assert "test/fid_pixels" in rows(Path("runs/diffusion/a"), "test")[0]


PATHS = {
    "flow": (),
    "DDPM": (
        *("--model.path=DDPM", "--model.path.prediction=v", "--model.path.schedule=cosine"),
        "--model.sampler=DDIM",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_a_ring_is_learnt_to_the_gan_s_measures(path, recipe):
    """All modes, well apart, after five of the config's twelve epochs."""
    short = ("--trainer.max_epochs=5", "--model.evaluation_every=5")
    recipe("diffusion", "fit", "--config=ring", "--name=ring", *PATHS[path], *short)
    found = rows(Path("runs/diffusion/ring"))[-1]
    assert found["val/modes"] == 8
    assert found["val/high_quality"] > 0.9 and found["val/reverse_kl"] < 0.01


REFUSED = {
    "--model.network=ResidualMLP --model.network.shape=[1,4,4]": r"--model\.network does not take",
    "--model.network.classes=null": r"--model\.network does not take .* and times and labels",
    "--model.network.classes=9": r"--model\.network does not take .* index out of range",
    "--model.classes=9": r"--model\.classes=9",
    "--model.classes=null --model.network.classes=null": r"label_dropout=0\.1: there are no",
    "--model.guidance=2 --model.label_dropout=0": r"guidance=2 needs examples without a label",
    "--model.path=RectifiedFlow": r"--model\.sampler=DDIM is of --model\.path=DDPM",
    "--model.sampler=Euler": r"--model\.sampler=Euler is of --model\.path=RectifiedFlow",
    "--model.path.steps=20": r"--model\.sampler\.steps=50, but --model\.path\.steps=20",
    "--model.path.steps=1": "steps",
    "--model.sampler.eta=2": "eta",
    "--data=TinyShakespeare --model.network=ResidualMLP": "is text",
    "--model.network.channels=[8,8,8,8,8]": "cannot be halved",
}


@pytest.mark.parametrize("flags", some(REFUSED, 3))
def test_what_would_be_wrong_is_refused(recipe, flags):
    with pytest.raises((ValueError, SystemExit), match=REFUSED[flags]) as caught:
        recipe("diffusion", "fit", *flags.split(), "--trainer.max_epochs=1")
    assert "\n" not in str(caught.value).strip()
    assert not list(Path().glob("runs/diffusion/*/metrics.jsonl"))


OPTIONS = {
    "--label=10": "--label=10: the classes are 0 to 9",
    "--steps=2000": r"--model\.sampler\.steps=2000, but --model\.path\.steps=1000",
    "--interpolate=4 --model.sampler.eta=1": r"--interpolate needs .*: --model\.sampler\.eta=0",
}


def test_what_predict_cannot_draw_is_refused(recipe):
    recipe("diffusion", "fit", *TINY, "--name=a", "--trainer.max_epochs=1")
    for flags, line in OPTIONS.items():
        with pytest.raises((ValueError, SystemExit), match=line) as caught:
            recipe("diffusion", "predict", f"--ckpt_path=runs/diffusion/a/{LAST}", *flags.split())
        assert "\n" not in str(caught.value).strip()
