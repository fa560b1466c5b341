"""Three digits as colours: which images are stacked, what the targets read, and what may leak."""

import gzip
import hashlib

import pytest
import torch

from datamodules import MNIST, StackedMNIST
from trains import seen_by

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (50, 28, 28), dtype=torch.uint8, generator=GENERATOR)
LABELS = torch.arange(50, dtype=torch.uint8) % 10
TRAIN, VAL = 40, 10  # the last ten images are for testing
SIZES = {"samples": 3000, "val_samples": 600, "test_samples": 500, "val_size": VAL}


def idx(values):
    header = bytes([0, 0, 8, values.ndim])
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return gzip.compress(header + sizes + values.numpy().tobytes())


@pytest.fixture(scope="module")
def contents():
    return {
        "train-images-idx3-ubyte.gz": idx(IMAGES[:TRAIN]),
        "train-labels-idx1-ubyte.gz": idx(LABELS[:TRAIN]),
        "t10k-images-idx3-ubyte.gz": idx(IMAGES[TRAIN:]),
        "t10k-labels-idx1-ubyte.gz": idx(LABELS[TRAIN:]),
    }


@pytest.fixture
def stacked(contents, tmp_path, monkeypatch):
    """Stacks of small files of MNIST's names and format."""
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    checksums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(MNIST, "md5", checksums)
    monkeypatch.setattr(MNIST, "url", "http://127.0.0.1:9/")

    def make(**kwargs):
        data = StackedMNIST(tmp_path, **(SIZES | kwargs))
        data.prepare_data()
        data.setup("fit")
        return data

    return make


def everything(data, split):
    table = data.tables[split]
    return table.gather(torch.arange(len(table)), 0)


def number_of(images):
    """The row of `IMAGES` that each channel is, (batch, 3)."""
    row = {image.numpy().tobytes(): number for number, image in enumerate(IMAGES)}
    return torch.tensor(
        [[row[channel.contiguous().numpy().tobytes()] for channel in stack] for stack in images]
    )


def test_a_stack_is_three_images_and_its_target_reads_their_labels(stacked):
    data = stacked()
    rows = torch.tensor([17, 3, 599])
    images, targets = data.tables["val"].gather(rows, 0)
    digits = MNIST(data.data_dir, val_size=VAL)
    digits.setup("fit")
    source = digits.tables["val"]
    for place, row in enumerate(rows.tolist()):
        first, second, third = data.tables["val"].stacks[row].tolist()
        channels = [source.images[number] for number in (first, second, third)]
        assert torch.equal(images[place], torch.stack(channels))
        a, b, c = (source.labels[number].item() for number in (first, second, third))
        assert targets[place] == 100 * a + 10 * b + c == int(f"{a}{b}{c}")


def test_every_target_reads_the_digits_that_are_seen(stacked):
    data = stacked()
    for split, size in (("train", 3000), ("val", 600), ("test", 500)):
        images, targets = everything(data, split)
        assert images.shape == (size, 3, 28, 28) and images.dtype == torch.uint8
        labels = LABELS[number_of(images)].long()
        assert torch.equal(targets, labels[:, 0] * 100 + labels[:, 1] * 10 + labels[:, 2])
    assert data.modes == 1000 and targets.dtype == torch.int64


def test_no_image_is_in_two_splits_nor_in_another_than_mnists(stacked):
    data = stacked(split_seed=3)
    digits = MNIST(data.data_dir, val_size=VAL, split_seed=3)
    digits.setup("fit")
    seen = {}
    for split in data.tables:
        seen[split] = set(number_of(everything(data, split)[0]).flatten().tolist())
        theirs = digits.tables[split].images.unsqueeze(1)
        assert seen[split] == set(number_of(theirs).flatten().tolist()), "all are used"
    assert [len(rows) for rows in seen.values()] == [TRAIN - VAL, VAL, len(IMAGES) - TRAIN]
    assert not seen["train"] & seen["val"] and seen["test"] == set(range(TRAIN, len(IMAGES)))


def test_the_channels_are_drawn_uniformly_and_independently(stacked):
    stacks = stacked().tables["train"].stacks
    count, images = len(stacks), TRAIN - VAL
    for channel in stacks.unbind(1):
        share = channel.bincount(minlength=images) / count
        assert (share - 1 / images).abs().max() < 5 * (1 / images / count) ** 0.5
    for one, two in ((0, 1), (0, 2), (1, 2)):
        same = (stacks[:, one] == stacks[:, two]).float().mean().item()
        assert abs(same - 1 / images) < 5 * (1 / images / count) ** 0.5


def test_stacks_are_a_function_of_the_data_seed_alone(stacked):
    data, again, other = stacked(), stacked(seed=5, batch_size=7), stacked(data_seed=1)
    for split, table in data.tables.items():
        assert torch.equal(table.stacks, again.tables[split].stacks)
        assert not torch.equal(table.stacks, other.tables[split].stacks)
    assert not torch.equal(data.tables["val"].stacks[:500], data.tables["test"].stacks)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_become_zero_to_one_after_the_transfer(stacked, dtype):
    data = stacked(batch_size=64)
    data.trainer = seen_by(dtype=dtype)
    images, targets = next(iter(data.train_dataloader()))
    inputs, same = data.on_after_batch_transfer((images, targets), 0)
    assert images.dtype == torch.uint8 and images.shape == (64, *data.input_shape)
    assert torch.equal(inputs, images.to(dtype) / 255) and same is targets
    assert inputs.dtype == dtype and inputs.min() == 0 and inputs.max() == 1


def test_padding_is_black_around_the_same_images(stacked):
    plain, padded = stacked(), stacked(pad=2)
    assert plain.input_shape == (3, 28, 28) and padded.input_shape == (3, 32, 32)
    images, targets = everything(padded, "test")
    inner, same = everything(plain, "test")
    assert torch.equal(images[:, :, 2:-2, 2:-2], inner) and torch.equal(targets, same)
    assert images.long().sum() == inner.long().sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"val_size": TRAIN}, "--data.val_size=40 of 40 training images"),
        ({"samples": 100}, "--data.batch_size=128 does not fit 100 rows"),
    ],
)
def test_impossible_sizes_are_refused(stacked, arguments, message):
    with pytest.raises(ValueError, match=message):
        stacked(**arguments).train_dataloader()


def test_hyperparameters_are_plain_and_complete(tmp_path):
    assert StackedMNIST(tmp_path, pad=2).hparams == {
        "data_dir": str(tmp_path),
        "samples": 128_000,
        "val_samples": 10_000,
        "test_samples": 26_000,
        "pad": 2,
        "batch_size": 128,
        "val_size": 10_000,
        "split_seed": 0,
        "data_seed": 0,
        "seed": 0,
    }
