"""Splits, shifts and columns of in-memory images."""

import pytest
import torch

from datamodules import Digits
from datamodules.images import ImageTable
from datamodules.loading.missing import is_known


def digits(**kwargs):
    data = Digits(**kwargs)
    data.setup("fit")
    return data


def test_splits_are_disjoint_seeded_and_complete():
    data = digits()
    assert {name: len(table) for name, table in data.tables.items()} == {
        "train": 1077,
        "val": 360,
        "test": 360,
    }
    rows = torch.cat([table.images for table in data.tables.values()])
    everything = digits(val_size=1, test_size=1)
    others = torch.cat([table.images for table in everything.tables.values()])
    assert sorted(map(tuple, rows.flatten(1).tolist())) == sorted(
        map(tuple, others.flatten(1).tolist())
    )
    assert torch.equal(data.tables["val"].labels, digits(seed=9).tables["val"].labels)
    assert not torch.equal(data.tables["val"].labels, digits(split_seed=1).tables["val"].labels)


def test_images_are_scaled_to_one():
    data = digits()
    inputs, targets = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert inputs.shape == (64, 1, 8, 8) and inputs.dtype == torch.float32
    assert inputs.min() == 0 and inputs.max() == 1
    assert targets.shape == (64,) and targets.dtype == torch.int64


def test_classes_are_left_out_of_training_only():
    data = digits(classes=[7, 8])
    assert data.tables["train"].labels.unique().tolist() == [7, 8]
    assert len(data.tables["val"].labels.unique()) == 10


def test_only_some_classes_are_there_and_few_of_each():
    whole, data = digits().tables, digits(only=[7, 8], per_class=3, val_size=100)
    for split, table in data.tables.items():
        assert table.labels.unique().tolist() == [7, 8], split
    assert data.tables["train"].labels.bincount()[7:].tolist() == [3, 3]
    assert len(data.tables["val"].labels) == 100
    kept = torch.isin(whole["test"].labels, torch.tensor([7, 8]))
    assert torch.equal(data.tables["test"].images, whole["test"].images[kept])
    for split, name in (("train", "train"), ("val", "train"), ("test", "test")):
        images, labels = data.load()[name == "test"]
        row = int(data.origin(split, 1).rpartition(" ")[2])
        assert labels[row] == data.tables[split].labels[1]
        assert torch.equal(images[row], data.tables[split].images[1])


def test_some_labels_are_kept_as_many_of_each_class_and_all_for_evaluation():
    whole, data = digits().tables, digits(labelled=43).tables
    known = is_known(data["train"].labels)
    assert known.sum() == 43
    assert sorted(data["train"].labels[known].bincount().tolist()) == [4] * 7 + [5] * 3
    assert torch.equal(data["train"].labels[known], whole["train"].labels[known])
    assert torch.equal(data["train"].images, whole["train"].images), "unlabelled ones stay"
    assert is_known(data["val"].labels).all() and is_known(data["test"].labels).all()
    assert torch.equal(known, is_known(digits(labelled=43, seed=5).tables["train"].labels))
    assert not torch.equal(
        known, is_known(digits(labelled=43, split_seed=5).tables["train"].labels)
    )


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({"labelled": 1078}, "labelled"),
        ({"val_size": 1437}, "val_size"),
        ({"test_size": 1797}, "test_size"),
        ({"classes": [11]}, "classes"),
        ({"only": [11]}, "val_size"),
    ],
)
def test_impossible_splits_are_refused(arguments, option):
    with pytest.raises(ValueError, match=f"--data.{option}"):
        digits(**arguments)


def shifted(image, down, right):
    """The window of the zero-padded image, pixel by pixel."""
    height, width = image.shape
    out = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            source = row + down, column + right
            if 0 <= source[0] < height and 0 <= source[1] < width:
                out[row, column] = image[source]
    return out


def test_a_shift_moves_the_image_and_fills_with_zeros():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 255, (40, 5, 6), dtype=torch.uint8, generator=generator)
    table = ImageTable(images, torch.arange(40), shift=2, seed=1)
    rows = torch.arange(40)
    batch, labels = table.gather(rows, 3)
    offsets = table.offsets(3) - 2
    for row in range(40):
        expected = shifted(images[row], *offsets[row].tolist())
        assert torch.equal(batch[row, 0], expected)
    assert offsets.min() == -2 and offsets.max() == 2
    assert torch.equal(labels, rows)


def test_a_shift_is_a_function_of_seed_epoch_and_row():
    images = torch.randint(1, 255, (40, 5, 6), dtype=torch.uint8)
    table = ImageTable(images, torch.arange(40), shift=2, seed=1)
    rows = torch.randperm(40)
    whole = table.gather(torch.arange(40), 3)[0]
    table.gather(rows, 4)  # another epoch in between
    assert torch.equal(table.gather(rows, 3)[0], whole[rows])
    assert not torch.equal(table.gather(torch.arange(40), 4)[0], whole)
    other = ImageTable(images, torch.arange(40), shift=2, seed=2)
    assert not torch.equal(other.gather(torch.arange(40), 3)[0], whole)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_column_holds_the_function_of_the_view_that_is_seen(shift):
    data = digits(shift=shift)

    def pixels(inputs):
        return inputs.flatten(1)

    assert data.compute_column(pixels, torch.float32)
    loader = data.train_dataloader()
    loader.set_epoch(2)
    for batch in loader:
        inputs, _, column = data.on_after_batch_transfer(batch, 0)
        assert torch.equal(column, inputs.flatten(1))
    assert len(next(iter(data.test_dataloader()))) == 2


def test_a_column_that_is_too_large_is_not_kept(monkeypatch):
    monkeypatch.setattr("datamodules.images.LARGEST_COLUMN", 1437 * 64 * 4 - 1)
    data = digits()
    assert not data.compute_column(lambda inputs: inputs.flatten(1), torch.float32)
    assert len(next(iter(data.train_dataloader()))) == 2
    assert data.compute_column(lambda inputs: inputs.flatten(1), torch.float16)
