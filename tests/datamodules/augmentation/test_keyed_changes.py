"""Every augmentation and mixing belongs to the picture, the epoch and the seed alone."""

from itertools import islice
from pathlib import Path

import pytest
import torch

from datamodules import ImageFolder
from datamodules.augmentation import (
    ColorJitter,
    CutMix,
    Flip,
    MixUp,
    RandomResizedCrop,
    Shift,
    TrivialAugment,
)
from forks import ended_well, ranks
from marks import slow
from photos import noise
from recipes.classify import Classify
from recipes.running.cli import main
from trains import interrupt_after, middle_of_epoch, seen_by

CHANGES = {
    "Flip": {"augment": [Flip(0.5, 0.5)]},
    "Shift": {"augment": [Shift(2)]},
    "RandomResizedCrop": {"augment": [RandomResizedCrop()]},
    "ColorJitter": {"augment": [ColorJitter(hue=0.1)]},
    "TrivialAugment": {"augment": [TrivialAugment()]},
    "MixUp": {"mix": MixUp(1.0)},
    "CutMix": {"mix": CutMix()},
    "all": {"augment": [Flip(), Shift(), RandomResizedCrop(), TrivialAugment()], "mix": MixUp()},
}
EPOCH = 3


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(24):
        noise(folder / "abc"[number % 3] / f"{number}.png", number, (8, 8))
    return folder


@pytest.fixture
def made(photos):
    def make(rank=0, world_size=1, **kwargs):
        kwargs = {"size": 8, "batch_size": 4, "val_size": 0, "test_size": 4, **kwargs}
        data = ImageFolder(str(photos), cache_dir=str(photos.with_name("cache")), **kwargs)
        data.setup("fit")
        data.trainer = seen_by(rank, world_size)
        return data

    return make


def batches(loader, epoch=EPOCH):
    loader.set_epoch(epoch)
    return list(loader)


def same(one, two):
    return len(one) == len(two) and all(
        torch.equal(a, b) for pair in zip(one, two, strict=True) for a, b in zip(*pair, strict=True)
    )


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_epoch_resumes_in_its_middle(made, change):
    whole = batches(made(**change).train_dataloader())
    loader = made(**change).train_dataloader()
    loader.set_epoch(EPOCH)
    list(islice(loader, 2))
    resumed = made(**change).train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    assert same(batches(resumed), whole[2:])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_two_processes_see_what_one_does(made, change):
    whole = batches(made(**change).train_dataloader())
    shares = [
        batches(made(rank, 2, **{**change, "batch_size": 2}).train_dataloader())
        for rank in range(2)
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        for rank, part in enumerate(parts):
            assert same([part], [tuple(column[rank::2] for column in batch)])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_picture_changes_with_the_epoch_and_the_seed_alone(made, change):
    def gathered(epoch, seed=0, rows=None):
        table = made(seed=seed, **change).train_dataloader().table
        return table.gather(torch.arange(20) if rows is None else rows, epoch)

    first, rows = gathered(0), torch.randperm(20)
    assert same([gathered(0)], [first])
    assert same([gathered(0, rows=rows)], [tuple(column[rows] for column in first)])
    for other in (gathered(1), gathered(0, seed=1)):
        assert not torch.equal(other[0], first[0])
    for images in (first[0],):
        assert images.shape == (20, 3, 8, 8) and images.dtype == torch.uint8


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_only_training_pictures_change(made, change):
    plain, changed = made(), made(**change)
    assert same(batches(plain.test_dataloader()), batches(changed.test_dataloader()))
    assert not same(batches(plain.train_dataloader()), batches(changed.train_dataloader()))


def test_pictures_without_labels_are_not_mixed(photos, tmp_path):
    for number in range(4):
        noise(Path(f"loose/{number}.png"), number, (8, 8))
    data = ImageFolder("loose", size=8, batch_size=2, val_size=0, test_size=0, mix=MixUp())
    data.setup("fit")
    with pytest.raises(ValueError, match=r"--data.mix mixes labels, too, and there are none"):
        data.train_dataloader()


def flags(photos, recipe="classify"):
    network = "network" if recipe == "classify" else "student"
    given = [
        *("--data=ImageFolder", f"--data.path={photos}", "--data.size=8", "--data.batch_size=4"),
        f"--data.cache_dir={photos.with_name('cache')}",
        *("--data.augment+=Flip", "--data.augment+=Shift", "--data.augment.pixels=1"),
        *("--data.augment+=RandomResizedCrop", "--data.augment+=ColorJitter"),
        *("--data.augment+=TrivialAugment", "--data.mix=CutMix", "--data.mix.alpha=0.5"),
        *("--data.val_size=4", "--data.test_size=0", "--trainer.callbacks=[]"),
        *(f"--model.{network}=MLP", f"--model.{network}.inputs=192"),
        *(f"--model.{network}.widths=[8]", f"--model.{network}.outputs=3"),
        *("--trainer.max_epochs=4", "--trainer.log_every_n_steps=1"),
    ]
    if recipe == "distill":
        given += ["--model.teacher=MLP", "--model.teacher.inputs=192", "--model.teacher.outputs=3"]
        given += ["--model.teacher.widths=[9]", "--model.scheme=mutual", "--model.loss=DKD"]
    return given


@pytest.mark.parametrize("name", ["classify", slow("distill")])
def test_an_interrupted_run_resumes_from_the_middle_of_an_epoch(recipe, photos, monkeypatch, name):
    given = [*flags(photos, name), "--data.batch_size=3"]
    recipe(name, "fit", "--name=whole", *given)
    with monkeypatch.context() as patch:
        interrupt_after(13, patch)
        with pytest.raises(MemoryError):
            recipe(name, "fit", "--name=cut", *given, *middle_of_epoch(f"runs/{name}/cut"))
    middle = f"runs/{name}/cut/checkpoints/middle.ckpt"
    assert torch.load(middle, weights_only=True)["global_step"] == 10, "6 are an epoch"
    recipe(name, "fit", f"--ckpt_path={middle}")
    whole, resumed = (
        torch.load(f"runs/{name}/{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for run in ("whole", "cut")
    )
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


@pytest.mark.slow
def test_two_processes_train_the_network_that_one_does(photos, recipe):
    recipe("classify", "fit", "--name=one", *flags(photos))
    ended_well(
        *ranks(
            *(2, "recipes.classify", "fit", "--name=two", *flags(photos), "--data.batch_size=2"),
            *("--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu"),
        )
    )
    one, two = (
        torch.load(f"runs/classify/{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for run in ("one", "two")
    )
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("augment+=Flipp", "augment=Flipp: no class of this name, nor a class_path"),
        ("mix=Mixup", "mix=Mixup: no class of this name, nor a class_path"),
        ("mix.alpha=-1", "mix.alpha=-1 must be a number above 0"),
        ("augment.strength=1", "augment.strength: no such option; TrivialAugment has none"),
    ],
)
def test_a_mistake_in_them_is_a_line(photos, flag, line):
    with pytest.raises(SystemExit) as stop:
        main(Classify, ["fit", *flags(photos), f"--data.{flag}"])
    assert str(stop.value) == f"error: --data.{line}"
