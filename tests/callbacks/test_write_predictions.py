"""WritePredictions: names, rows of a file, whole files, and the parts of several processes."""

import csv
from itertools import pairwise

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from callbacks import WritePredictions
from callbacks.write_predictions.parts import ArrayFile, TablePart, join
from datamodules.loading.missing import MISSING


class Echo(LightningModule):
    """Predicts what its batches hold."""

    def predict_step(self, batch, batch_idx):
        inputs, targets, *_ = batch
        columns = {"target": targets, "prediction": inputs.argmax(1), "probability": inputs}
        return columns | {"image": inputs.view(-1, 1, 1, inputs.shape[1])}


class Rows(LightningDataModule):
    """A file to predict, of six rows, whose names are letters."""

    id = None

    def __init__(self, class_names=None, targets=None):
        super().__init__()
        self.class_names = class_names
        self.targets = torch.tensor(targets or [MISSING] * 6)

    def predict_dataloader(self):
        inputs = torch.eye(3).repeat(2, 1)
        rows = torch.arange(6)
        bounds = pairwise((0, 2, 3, 6))
        batches = [(inputs[a:b], self.targets[a:b], rows[a:b]) for a, b in bounds]
        return torch.utils.data.DataLoader(batches, batch_size=None)

    def identifiers(self, rows):
        if self.id is None:
            return [str(row) for row in rows.tolist()]
        letters = "abcdef" if self.id else "fabcde"
        return [letters[row] for row in rows.tolist()]


def predict(tmp_path, data, module=None, **options):
    writer = WritePredictions(**options)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = Trainer(default_root_dir=tmp_path, accelerator="cpu", callbacks=[writer], **quiet)
    trainer.predict(module or Echo(), datamodule=data)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_classes_are_written_by_name(tmp_path):
    data = Rows(["cat", "dog, wet", "7"], [0, 1, MISSING, 2, 2, 1])
    predict(tmp_path, data)
    table = read(tmp_path / "predictions.csv")
    assert [row["target"] for row in table] == ["cat", "dog, wet", "", "7", "7", "dog, wet"]
    assert [row["prediction"] for row in table] == ["cat", "dog, wet", "7"] * 2
    names = ["row", "target", "prediction"]
    assert list(table[0]) == names + [f"probability_{name}" for name in data.class_names]
    assert table[1]["probability_dog, wet"] == "1.0"


def test_a_class_without_a_name_has_its_number(tmp_path):
    predict(tmp_path, Rows(["cat", "dog"]))
    table = read(tmp_path / "predictions.csv")
    assert [row["prediction"] for row in table] == ["cat", "dog", "2"] * 2
    assert list(table[0])[-1] == "probability_2"


def test_the_first_column_says_which_row_it_is(tmp_path):
    predict(tmp_path, Rows())
    assert [row["row"] for row in read(tmp_path / "predictions.csv")] == list("012345")
    predict(tmp_path, Rows(), id="letter", columns={"prediction": "species"})
    table = read(tmp_path / "predictions.csv")
    assert [row["letter"] for row in table] == list("abcdef")
    assert list(table[0]) == ["letter", "species"]
    data = Rows()
    data.id = 0  # the first column, which may have no name
    predict(tmp_path, data)
    assert [row["id"] for row in read(tmp_path / "predictions.csv")] == list("fabcde")


def test_an_id_that_is_called_as_a_prediction_is_refused(tmp_path):
    data = Rows()
    data.id = "prediction"
    with pytest.raises(ValueError, match="--id=prediction: predictions have a column of this"):
        predict(tmp_path, data)


@pytest.mark.parametrize("columns", [{"prediction": "x", "target": "x"}, {"prediction": "letter"}])
def test_two_columns_of_one_name_are_refused(tmp_path, columns):
    name = columns["prediction"]
    with pytest.raises(ValueError, match=f"--columns: several columns are called {name}"):
        predict(tmp_path, Rows(), id="letter", columns=columns)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("when", [0, 2])
def test_what_fails_leaves_the_old_files(tmp_path, when):
    """In the first batch, before any row is written, and in the last."""

    class Failing(Echo):
        def predict_step(self, batch, batch_idx):
            if batch_idx == when:
                raise MemoryError
            return super().predict_step(batch, batch_idx)

    predict(tmp_path, Rows(), output=tmp_path / "a.csv")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() == {"a.csv", "image.npy"}
    with pytest.raises(MemoryError):
        predict(tmp_path, Rows(["x", "y", "z"]), Failing(), output=tmp_path / "a.csv")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    predict(tmp_path, Rows(["x", "y", "z"]), output=tmp_path / "a.csv")
    assert read(tmp_path / "a.csv")[0]["prediction"] == "x"


def test_parts_are_joined_by_row_and_none_is_doubled(tmp_path):
    """As of two processes, the second of which has seen a row of the first once more."""
    parts = [TablePart(tmp_path / name) for name in ("a.csv", "b.csv")]
    for part, numbers in zip(parts, ([0, 3, 9, 11], [1, 2, 9, 10]), strict=True):
        cells = [f"{number}\n," for number in numbers]
        part.add({"": numbers[:3], "target": ["", "", ""], "y": cells[:3]})
        part.add({"": numbers[3:], "target": [""], "y": cells[3:]})
        part.close()
    assert all(part.empty == {"target"} for part in parts)
    join([part.path for part in parts], tmp_path / "c.csv", {"y": "z"}, "")
    numbers = [0, 1, 2, 3, 9, 10, 11]
    assert [row["z"] for row in read(tmp_path / "c.csv")] == [f"{number}\n," for number in numbers]


def test_an_array_grows_beyond_a_number_of_another_length(tmp_path):
    """Its header is written before the number of its rows is known."""
    file = ArrayFile(tmp_path / "a.npy")
    values = torch.arange(12_000).view(-1, 2, 1)
    for part in values.split(7):
        file.add(part)
    file.close()
    assert np.array_equal(np.load(tmp_path / "a.npy"), values.numpy())


def test_an_array_may_begin_with_no_example(tmp_path):
    """As where all pictures of the first batch are left out."""
    file = ArrayFile(tmp_path / "a.npy")
    for count in (0, 2, 0, 1):
        file.add(torch.full((count, 2, 2), float(count)))
    file.close()
    assert np.load(tmp_path / "a.npy")[:, 0, 0].tolist() == [2, 2, 1]


@pytest.mark.parametrize("other", [torch.ones(1, 3, 1), torch.ones(1, 2, 2).double()])
def test_unequal_examples_are_no_array(tmp_path, other):
    """They would be read as others, without a word."""

    class Unequal(Echo):
        def predict_step(self, batch, batch_idx):
            return {"image": other if batch_idx else torch.ones(1, 2, 2)}

    with pytest.raises(ValueError, match=r"predict writes image.npy: one array holds equal exam"):
        predict(tmp_path, Rows(), Unequal())
    assert list(tmp_path.iterdir()) == []
