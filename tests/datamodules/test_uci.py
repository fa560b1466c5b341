"""The published splits, by digest, and the files that they are of."""

import hashlib

import numpy as np
import pytest
import torch

from datamodules import UCI
from datamodules.uci import SETS, published_split

# Of the published index files: train 0, test 0, train 1, test 1, ... as little-endian int64.
DIGESTS = {
    "energy": "f31dbf17d6e9061396b9e6d151d41d73c99674ac73da7f107358c51f633b6bd3",
    "power-plant": "86afc4ab79af4eccfc740e8b1ac3557b96b2fb7cbfcaa62e10fe0fe3e9fb6522",
    "wine-quality-red": "2321a34fc862e7f7c721e5732d84278e97b93432d6ae2c61f9cde20dbacd5819",
    "yacht": "28ca596560b98361cb8eb5e2696b48929ad65c748ce5ff1a4ca96c2d71b46635",
}


def write(folder, dataset, columns, rows=None, name="{}/data.txt"):
    """A file of the set's shape, in which row r holds r + 0.01 c in column c."""
    rows = SETS[dataset].rows if rows is None else rows
    values = np.arange(rows)[:, None] + 0.01 * np.arange(columns)
    path = folder / name.format(dataset)
    path.parent.mkdir(exist_ok=True)
    np.savetxt(path, values, "%.2f")
    return path


@pytest.mark.parametrize("dataset", DIGESTS)
def test_all_splits_are_the_published_ones(dataset):
    digest = hashlib.sha256()
    for split in range(20):
        for part in published_split(SETS[dataset].rows, split):
            digest.update(part.numpy().astype("<i8").tobytes())
    assert digest.hexdigest() == DIGESTS[dataset]


def test_validation_is_taken_out_of_the_training_rows(tmp_path):
    write(tmp_path, "concrete", 9)
    whole = UCI(str(tmp_path), "concrete", val_size=0.0)
    data = UCI(str(tmp_path), "concrete", val_size=0.25)
    for split in (0, 19):
        train, test = published_split(1030, split)
        every = whole.split_rows(1030, split)
        assert torch.equal(every[0], train) and not len(every[1]) and torch.equal(every[2], test)
        kept, val, same = data.split_rows(1030, split)
        assert torch.equal(same, test) and len(val) == round(0.25 * 927)
        assert sorted(torch.cat([kept, val]).tolist()) == sorted(train.tolist())
        assert kept.tolist() == [row for row in train.tolist() if row in set(kept.tolist())]


@pytest.mark.parametrize(
    ("dataset", "columns", "target", "features"),
    [
        ("bostonHousing", 14, 13, 13),
        ("naval-propulsion-plant", 18, 16, 16),
        ("protein-tertiary-structure", 10, 0, 9),
    ],
)
@pytest.mark.parametrize("name", ["{}/data.txt", "{}.txt"])
def test_columns_are_features_and_target(tmp_path, dataset, columns, target, features, name):
    write(tmp_path, dataset, columns, name=name)
    data = UCI(str(tmp_path), dataset, standardize=False)
    data.prepare_data()
    data.setup("fit")
    inputs, targets = data.examples
    assert data.input_shape == (features,)
    assert targets[:3].tolist() == pytest.approx([row + 0.01 * target for row in range(3)])
    first = 1 if target == 0 else 0
    assert inputs[0].tolist() == pytest.approx(
        [0.01 * column for column in range(first, first + features)]
    )


def test_published_columns_beside_the_file_win(tmp_path):
    path = write(tmp_path, "protein-tertiary-structure", 10)
    path.with_name("index_features.txt").write_text("\n".join(map(str, range(9))) + "\n")
    path.with_name("index_target.txt").write_text("9\n")
    data = UCI(str(tmp_path), "protein-tertiary-structure", standardize=False)
    assert data.examples[1][0] == pytest.approx(0.09)


@pytest.mark.parametrize(("dataset", "last"), [("kin8nm", 19), ("protein-tertiary-structure", 4)])
def test_other_splits_are_refused(tmp_path, dataset, last):
    data = UCI(str(tmp_path), dataset)
    data.split_rows(100, last)
    with pytest.raises(ValueError, match=f"--data.split={last + 1}: .* 0 to {last}"):
        data.split_rows(100, last + 1)


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"kin8nm/data.txt: no such file; put there"):
        UCI(str(tmp_path), "kin8nm").prepare_data()
    monkeypatch.setattr("datamodules.uci.URL", "http://127.0.0.1:9/{}")
    with pytest.raises(OSError, match=r"cannot download http://127.0.0.1:9/yacht to .*data.txt"):
        UCI(str(tmp_path), "yacht").prepare_data()


def test_a_wrong_file_is_refused(tmp_path):
    write(tmp_path, "yacht", 7)
    data = UCI(str(tmp_path), "yacht")
    for read in (data.prepare_data, data.load):
        with pytest.raises(ValueError, match=r"yacht/data.txt is not the original"):
            read()
    write(tmp_path, "concrete", 9, rows=1029)
    with pytest.raises(ValueError, match=r"concrete/data.txt has 1029 rows; .* 1030"):
        UCI(str(tmp_path), "concrete").load()
