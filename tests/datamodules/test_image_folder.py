"""Folders, CSVs and Parquet files of pictures: classes, splits, the decoded file, new pictures."""

import csv
import io
import os
import shutil
import signal
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ImageFolder
from datamodules.loading.missing import MISSING
from forks import Forked, until
from photos import class_folders, noise, numbers, plain
from trains import seen_by


def made(path="photos", stage="fit", rank=0, world_size=1, **kwargs):
    """The data, set up; all of 24 pictures are trained on unless it is asked otherwise."""
    kwargs = {"size": 8, "batch_size": 4, "val_size": 0, "test_size": 0, **kwargs}
    data = ImageFolder(str(path), **kwargs)
    data.trainer = seen_by(rank, world_size)
    data.trainer.state = SimpleNamespace(fn=stage)
    data.prepare_data()
    data.setup(stage)
    return data


def pairs(loader):
    """Which pictures come, and their labels."""
    found = [(numbers(images), labels.tolist()) for images, labels, *_ in loader]
    return list(chain.from_iterable(zip(*batch, strict=True) for batch in found))


def pixel_files():
    return sorted(Path("data/pictures").glob("*.pixels"))


def test_a_folder_of_class_folders(tmp_path):
    class_folders("photos")
    data = made()
    assert data.class_names == ["ant", "bee", "cow"] and data.classes == 3
    assert data.input_shape == (3, 8, 8)
    found = pairs(data.train_dataloader())
    assert sorted(found) == [(number, number // 8) for number in range(24)]
    assert [number for number, _ in found] != list(range(24)), "shuffled"
    images, labels = next(iter(data.train_dataloader()))
    assert images.dtype == torch.uint8 and labels.dtype == torch.int64
    inputs, same = data.on_after_batch_transfer((images, labels), 0)
    torch.testing.assert_close(inputs, images / 255)
    assert same is labels and inputs.dtype == torch.float32


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_are_those_of_the_pictures(mode):
    pixels = {f"photos/a/{n}.png": noise(f"photos/a/{n}.png", n, (8, 8)) for n in range(4)}
    ((images, _),) = made(mode=mode).train_dataloader()
    expected = [Image.fromarray(value).convert(mode) for value in pixels.values()]
    expected = {np.asarray(image).reshape(8, 8, -1).tobytes() for image in expected}
    assert {image.permute(1, 2, 0).numpy().tobytes() for image in images} == expected


def test_names_that_are_all_numbers_are_ordered_by_them():
    class_folders("photos", 1, [str(number) for number in range(12)])
    data = made(batch_size=12)
    assert data.class_names == [str(number) for number in range(12)]
    assert all(number == label for number, label in pairs(data.train_dataloader()))


@pytest.mark.parametrize("words", [("train", "val", "test"), ("training", "valid", "Testing")])
def test_folders_named_as_splits_are_them(words):
    for start, word in zip((0, 100, 200), words, strict=True):
        class_folders(f"photos/{word}", 4, start=start)
    data = made(val_size=0.5, test_size=0.5)
    for start, loader in zip(
        (0, 100, 200),
        (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()),
        strict=True,
    ):
        assert sorted(pairs(loader)) == [(start + n, n // 4) for n in range(12)]


def test_a_class_may_be_called_test():
    class_folders("photos", 4, ("bee", "test", "train"))
    assert made().class_names == ["bee", "test", "train"]


def test_a_class_that_is_only_in_another_split_is_refused():
    class_folders("photos/train", 4)
    class_folders("photos/val", 4, ("ant", "dog"))
    with pytest.raises(ValueError, match=r"class dog in photos/val is none .*: ant, bee, cow$"):
        made()


def test_a_split_may_lack_classes_that_are_trained():
    class_folders("photos/train", 4)
    class_folders("photos/val", 4, ("cow",), start=50)
    assert {label for _, label in pairs(made().val_dataloader())} == {2}


def test_training_may_leave_classes_out():
    class_folders("photos")
    data = made(train_classes=["bee", "cow"], val_size=6)
    assert data.class_names == ["ant", "bee", "cow"] and data.trained_classes == [1, 2]
    trained = pairs(data.train_dataloader())
    assert {label for _, label in trained} == {1, 2} and len(trained) == 12
    assert {label for _, label in pairs(data.val_dataloader())} == {0, 1, 2}
    assert all(number // 8 == label for number, label in trained)
    assert data.state_dict() != made(val_size=6).state_dict(), "a fit goes on with the same"


def test_a_class_that_is_left_out_may_be_in_another_split_alone():
    class_folders("parts/train", names=("whole",))
    class_folders("parts/test", names=("broken", "whole"), start=8)
    data = made("parts", train_classes=["whole"])
    assert data.class_names == ["broken", "whole"] and data.trained_classes == [1]
    assert {label for _, label in pairs(data.test_dataloader())} == {0, 1}


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["wasp"], "--data.train_classes: no class wasp: there are ant, bee, cow"),
        ([], r"--data.train_classes=\[\]: no training pictures"),
    ],
)
def test_a_class_that_cannot_be_kept_is_named(names, line):
    class_folders("photos")
    with pytest.raises(ValueError, match=line):
        made(train_classes=names)


def test_a_folder_without_labels():
    for number in range(8):
        plain(Path(f"photos/{number}.png"), number)
    data = made()
    assert data.class_names is None and data.classes is None
    assert sorted(pairs(data.train_dataloader())) == [(number, MISSING) for number in range(8)]


def test_hidden_and_other_files_are_left_out_and_told(caplog):
    class_folders("photos", 2)
    for name in (".DS_Store", "ant/.hidden.png", ".trash/x.png", "ant/notes.txt", "bee/b.heic"):
        path = Path("photos", name)
        path.parent.mkdir(exist_ok=True)
        path.write_text("no picture")
    with caplog.at_level("INFO"):
        assert len(made().tables["train"]) == 6
    assert "2 files of other kinds are left out, such as photos/ant/notes.txt" in caplog.text


def test_links_are_followed_once():
    class_folders("photos", 2)
    Path("photos/dog").symlink_to((class_folders("elsewhere", 2, ("x",)) / "x").resolve())
    Path("photos/dog/circle").symlink_to(Path("photos").resolve())
    assert made().class_names == ["ant", "bee", "cow", "dog"]


def write_csv(path, rows, columns=("file", "label"), delimiter=","):
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([columns, *rows])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_of_files_and_labels(delimiter):
    class_folders("photos", 2)
    rows = [(f"cow/{n:03}.png", "late" if n > 4 else "") for n in (4, 5)]
    rows += [("./bee/../bee/002.png", "early")]
    write_csv("photos/list.csv", rows, delimiter=delimiter)
    data = made("photos/list.csv", batch_size=3)
    assert data.class_names == ["early", "late"]
    assert sorted(pairs(data.train_dataloader())) == [(2, 0), (4, MISSING), (5, 1)]
    write_csv("photos/list.csv", rows, ("picture", "kind"))
    data = made("photos/list.csv", batch_size=3, file="picture", label="kind")
    assert sorted(pairs(data.train_dataloader())) == [(2, 0), (4, MISSING), (5, 1)]
    data = made("photos/list.csv", batch_size=3, file="picture", label=None)
    assert {label for _, label in pairs(data.train_dataloader())} == {MISSING}
    with pytest.raises(ValueError, match=r"--data.label=label: no such column .* picture, kind"):
        made("photos/list.csv", file="picture")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("file,label\ncow/004.png,x,y\n", "list.csv, line 2: 3 columns, not 2"),
        ("file,label\n\ncow/004.png\n", "list.csv, line 3: 1 columns, not 2"),
        ("file,label,label\ncow/004.png,x,y\n", "--data.label=label: two columns of this name"),
        ("file,label\ncow/004.png,Kälber\n".encode("latin-1"), "decode .*; save it as UTF-8"),
    ],
)
def test_a_csv_that_is_no_table_is_refused(content, said):
    class_folders("photos", 2)
    Path("photos/list.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=said):
        made("photos/list.csv")


def test_a_csv_in_the_encodings_of_spreadsheets():
    class_folders("photos", 2)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        Path("photos/list.csv").write_text("file;label\ncow/004.png;Kälber, a\n", encoding)
        assert made("photos/list.csv").class_names == ["Kälber, a"]


@pytest.mark.parametrize("name", ["../secret.png", "{here}/secret.png", "gone.png"])
def test_a_csv_names_no_picture_elsewhere(name, tmp_path):
    class_folders("photos", 2)
    plain(Path("secret.png"), 9)
    write_csv("photos/list.csv", [("cow/004.png", "x"), (name.format(here=tmp_path), "x")])
    with pytest.raises(ValueError, match=r"is no file in the dataset's folder"):
        made("photos/list.csv")
    assert made("photos/list.csv", on_error="skip", batch_size=1).tables["train"].labels.tolist()


def content(number):
    file = io.BytesIO()
    image = Image.new("RGB", (8, 8), (number, 0, 200))
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["struct", "bytes", "names"])
def test_parquet_files(kind):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    class_folders("shards", 8)
    for name, first, last in [("train-a", 0, 9), ("train-b", 9, 12), ("test", 12, 16)]:
        rows = range(first, last)
        values = {
            "struct": [{"bytes": content(n), "path": None} for n in rows],
            "bytes": [content(n) for n in rows],
            "names": [f"{'ant' if n < 8 else 'bee'}/{n:03}.png" for n in rows],
        }[kind]
        labels = ["odd" if n % 2 else "even" for n in rows]
        table = pa.table({"image": values, "label": labels})
        parquet.write_table(table, f"shards/{name}.parquet", row_group_size=4)
    data = made("shards/*.parquet")
    assert data.class_names == ["even", "odd"]
    assert sorted(pairs(data.train_dataloader())) == [(n, n % 2) for n in range(12)]
    assert sorted(pairs(data.test_dataloader())) == [(n, n % 2) for n in range(12, 16)]
    if kind == "bytes":
        Path("shards/test.parquet").write_bytes(b"no such thing")
        with pytest.raises(ValueError, match=r"shards/test.parquet is damaged or no Parquet"):
            made("shards/*.parquet")


def test_parquet_of_the_library_keeps_the_order_of_its_classes():
    datasets = pytest.importorskip("datasets")
    names = ["cow", "bee", "ant"]
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    images = [{"bytes": content(n), "path": None} for n in range(4)]
    columns = {"image": images, "label": [0, 1, 1, -1]}
    rows = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
    Path("rows").mkdir()
    rows.to_parquet("rows/train.parquet")
    for path in ("rows", "rows/train.parquet"):
        data = made(path)
        assert data.class_names == names
        assert sorted(pairs(data.train_dataloader())) == [(0, 0), (1, 1), (2, 1), (3, MISSING)]


def test_shares_are_held_out_of_each_class():
    class_folders("photos", 20)
    plain(Path("photos/dog/060.png"), 60)

    def parts(**kwargs):
        data = made(val_size=0.25, test_size=12, **kwargs)
        split = {name: set(table.rows.tolist()) for name, table in data.tables.items()}
        return split, data

    split, data = parts()
    assert {name: len(rows) for name, rows in split.items()} == {"train": 37, "val": 12, "test": 12}
    assert set.union(*split.values()) == set(range(61)), "none is lost, so none is in two"
    for name in ("val", "test"):
        counts = data.tables[name].labels.bincount(minlength=4)[:3]
        assert counts.min() >= 3 and counts.max() <= 5
    assert parts(seed=5)[0] == split != parts(split_seed=5)[0]
    for name, table in data.tables.items():
        images = table.gather(torch.arange(len(table)), 0)[0]
        assert [int(Path(file).stem) for file in data.names[name]] == numbers(images)
    with pytest.raises(ValueError, match=r"--data.test_size=0.001 of 61 rows is 0"):
        made(test_size=0.001)


def test_without_a_split_its_loader_is_empty_or_refused():
    class_folders("photos")
    data = made()
    assert data.val_dataloader() == []
    with pytest.raises(ValueError, match=r"--data has no pictures for test"):
        data.test_dataloader()


def test_pictures_are_decoded_once(monkeypatch):
    class_folders("photos")
    first = made()
    (file,) = pixel_files()
    assert file.stat().st_size == 24 * 3 * 8 * 8
    with monkeypatch.context() as patch:
        patch.setattr("datamodules.reading.pixel_file.decode", None)
        again = made(seed=1)
    assert torch.equal(first.tables["train"].pixels, again.tables["train"].pixels)
    made(size=4)
    assert len(pixel_files()) == 2, "another size is another file"


@pytest.mark.parametrize("change", ["touched", "added", "removed", "changed"])
def test_a_change_is_noticed_and_the_older_file_removed(change):
    class_folders("photos")
    made()
    before = pixel_files()
    path = Path("photos/ant/003.png")
    if change == "touched":
        os.utime(path, (0, 0))
    elif change == "added":
        plain(Path("photos/ant/999.png"), 999)
    elif change == "removed":
        path.unlink()
    else:
        noise(path, size=(30, 30))
    data = made()
    assert pixel_files() != before and len(pixel_files()) == 1
    assert len(data.tables["train"]) == 24 + {"added": 1, "removed": -1}.get(change, 0)


def test_a_cut_off_file_is_made_anew():
    class_folders("photos")
    made()
    (file,) = pixel_files()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    made()
    assert file.read_bytes() == whole


@pytest.mark.parametrize("memory", [0.0, 1e-6, 1.0])
def test_what_is_more_than_the_budget_is_mapped_and_trains_alike(memory):
    class_folders("photos/train")
    class_folders("photos/val", 4, start=50)
    data, other = made(memory=memory), made(memory=2.0)
    assert [table.mapped for table in data.tables.values()] == [memory < 1] * 2
    for one, two in zip(data.train_dataloader(), other.train_dataloader(), strict=True):
        assert all(map(torch.equal, one, two))


def test_a_file_that_is_made_is_at_no_time_half_there(monkeypatch):
    """As a signal ends it: neither the file nor a part of it is left."""
    from datamodules.reading import pixel_file

    class_folders("photos")
    stock = pixel_file.decode

    def cut_off(*args):
        yield from islice(stock(*args), 5)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pixel_file, "decode", cut_off)
        with pytest.raises(KeyboardInterrupt):
            made()
    assert list(Path("data/pictures").iterdir()) == []
    assert len(made().tables["train"]) == 24


def test_a_full_disk_leaves_nothing(monkeypatch):
    from datamodules.reading import pixel_file

    class_folders("photos")

    def full(*args):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(pixel_file, "decode", full)
    with pytest.raises(OSError, match="No space left"):
        made()
    assert list(Path("data/pictures").iterdir()) == []


def damage(*names):
    for name in names:
        Path("photos", name).write_bytes(Path("photos", name).read_bytes()[:-30])


def test_a_damaged_picture_is_named():
    class_folders("photos")
    damage("bee/010.png", "cow/020.png")
    line = r"photos/bee/010.png: an image is damaged: .*; --data.on_error=skip leaves"
    with pytest.raises(ValueError, match=line):
        made()
    assert pixel_files() == []


def test_damaged_pictures_are_skipped_and_listed(caplog):
    class_folders("photos")
    damage("bee/010.png", "cow/020.png")
    with caplog.at_level("INFO"):
        data = made(on_error="skip")
    assert (
        "photos: 2 of 24 pictures cannot be read and are left out, listed in data/" in caplog.text
    )
    expected = [(n, n // 8) for n in range(24) if n not in (10, 20)]
    assert sorted(pairs(data.tables["train"].gather(torch.arange(22), 0) for _ in "1")) == expected
    assert len(data.names["train"]) == 22 and "bee/010.png" not in data.names["train"]
    (listed,) = Path("data/pictures").glob("*.skipped.csv")
    with listed.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["bee/010.png", "cow/020.png"]
    assert all("damaged" in row["reason"] for row in rows)
    with pytest.raises(ValueError, match=r"photos/bee/010.png: an image is damaged"):
        made()  # also where the file is there
    assert sorted(pairs(made(on_error="skip", batch_size=22).train_dataloader())) == expected


def test_pictures_that_are_all_damaged_are_refused():
    Path("photos").mkdir()
    for name in "ab":
        Path(f"photos/{name}.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"none of the pictures can be read"):
        made(on_error="skip")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("none", r"--data.path=none: no such file or folder"),
        ("none/*.parquet", r"--data.path=none/\*.parquet: no such file or folder"),
        ("empty", r"--data.path=empty: empty: no picture in it$"),
        ("words", r"--data.path=words: words: no picture in it, but a.txt"),
        ("words/a.txt", r"--data.path=words/a.txt: no folder, CSV or Parquet file"),
        ("mixed", r"mixed/loose.png lies beside the folders of the classes"),
        ("rows.csv", r"--data.path=rows.csv, line 3: no file in column file"),
        ("none.csv", r"--data.path=none.csv: no rows"),
        ("photos.csv", r"--data.file=file: no such column in photos.csv; it has a, b"),
    ],
)
def test_a_mistake_is_one_line(path, line):
    for name in ("empty", "words", "mixed"):
        Path(name).mkdir()
    Path("words/a.txt").write_text("words")
    class_folders("mixed", 2)
    plain(Path("mixed/loose.png"), 3)
    write_csv("rows.csv", [("a", "x"), ("", "y")])
    write_csv("none.csv", [])
    write_csv("photos.csv", [(1, 2)], ("a", "b"))
    with pytest.raises((ValueError, FileNotFoundError), match=line):
        made(path)


def predicted(data):
    """What `predict` would read, batch by batch, with the names of the files."""
    return [(*batch, data.identifiers(batch[2])) for batch in data.predict_dataloader()]


def test_new_pictures_are_read_in_order_without_labels():
    for number in range(9):
        plain(Path(f"new/{'deep/er/' if number > 5 else ''}{number}.png"), number)
    Path("new/deep/er/6.png").rename("new/deep/6.png")
    data = made("nowhere", "predict", predict="new")
    assert not Path("data").exists(), "nothing is kept"
    batches = predicted(data)
    assert [numbers(images) for images, *_ in batches] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert torch.cat([rows for *_, rows, _ in batches]).tolist() == list(range(9))
    names = [f"{n}.png" for n in range(6)] + ["deep/6.png", "deep/er/7.png", "deep/er/8.png"]
    assert list(chain.from_iterable(found for *_, found in batches)) == names
    targets = torch.cat([targets for _, targets, *_ in batches])
    assert targets.tolist() == [MISSING] * 9 and targets.dtype == torch.int64
    inputs, *rest = data.on_after_batch_transfer(batches[0][:3], 0)
    assert inputs.shape == (3, 3, 8, 8) and inputs.max() <= 1 and len(rest) == 2


@pytest.mark.parametrize("path", ["new/0.png", "new.csv"])
def test_one_new_picture_or_a_table_of_them(path):
    plain(Path("new/0.png"), 0)
    write_csv("new.csv", [("new/0.png",)], ("file",))
    ((images, _, rows, names),) = predicted(made("nowhere", "predict", predict=path))
    assert numbers(images) == [0] and rows.tolist() == [0] and names[0].endswith("0.png")


def test_without_new_pictures_the_test_pictures_are_predicted():
    class_folders("photos")
    data = made(stage="predict", test_size=6)
    for images, targets, _, names in predicted(data):
        assert [int(Path(name).stem) for name in names] == numbers(images)
        assert [number // 8 for number in numbers(images)] == targets.tolist()
    assert sum(len(names) for *_, names in predicted(data)) == 6


def test_a_damaged_new_picture_is_named_or_skipped(tmp_path, caplog):
    class_folders("photos", 2, ("new",))
    damage("new/001.png")
    data = made("nowhere", "predict", predict="photos/new")
    with pytest.raises(ValueError, match=r"photos/new/001.png: an image is damaged"):
        predicted(data)
    data = made("nowhere", "predict", predict="photos/new", on_error="skip", batch_size=1)
    assert [rows.tolist() for _, _, rows, _ in predicted(data)] == [[0], []]
    data.trainer.is_global_zero, data.trainer.default_root_dir = True, str(tmp_path)
    with caplog.at_level("INFO"):
        data.teardown("predict")
    assert "1 of 2 pictures cannot be read and are left out, listed in" in caplog.text
    assert Path("skipped-predict.csv").read_text().splitlines()[1].startswith("001.png,")


@pytest.mark.parametrize("new", ["photos", None])
def test_each_process_predicts_its_own_pictures(new):
    """Of new ones and of the test pictures: each is decoded, and predicted, once."""
    class_folders("photos")
    parts = [made(stage="predict", test_size=6, predict=new, rank=r, world_size=2) for r in (0, 1)]
    found = [[name for *_, names in predicted(part) for name in names] for part in parts]
    count = 24 if new else 6
    assert [len(each) for each in found] == [count // 2] * 2
    assert len(set(chain.from_iterable(found))) == count


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("none", "--data.predict=none: no such file or folder"),
        ("empty", "--data.predict=empty: empty: no picture in it"),
    ],
)
def test_a_mistake_in_new_pictures_names_its_option(path, line):
    Path("empty").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match=line):
        made("nowhere", "predict", predict=path)


@pytest.fixture
def fitted():
    class_folders("photos")
    return made()


def load(data, state, fn):
    data.trainer.state.fn = fn
    data.load_state_dict(state)
    return data


def test_the_classes_of_the_fit_are_kept_as_plain_values(fitted):
    file = io.BytesIO()
    torch.save(fitted.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert state["class_names"] == ["ant", "bee", "cow"]
    plain(Path("new/0.png"), 0)
    data = made("nowhere", "predict", predict="new")
    assert load(data, state, "predict").class_names == ["ant", "bee", "cow"]


def test_test_pictures_have_the_numbers_of_the_fits_classes(fitted):
    class_folders("others/test", 2, ("bee", "cow"))
    data = load(made("others"), fitted.state_dict(), "test")
    assert data.class_names == ["ant", "bee", "cow"]
    assert sorted(pairs(data.test_dataloader())) == [(0, 1), (1, 1), (2, 2), (3, 2)]
    class_folders("others/test", 2, ("dog",))
    with pytest.raises(ValueError, match=r"class dog in others is none of those that are trained"):
        load(made("others"), fitted.state_dict(), "test")


def test_a_fit_goes_on_with_the_same_pictures_alone(fitted):
    state = fitted.state_dict()
    load(made(), state, "fit")
    plain(Path("photos/ant/999.png"), 999)
    with pytest.raises(ValueError, match=r"--data.path=photos has other pictures or classes than"):
        load(made(), state, "fit")
    load(made(), {"class_names": state["class_names"], "trained": "of an older version"}, "fit")


def test_a_fit_goes_on_with_the_same_labels_alone():
    class_folders("photos")
    rows = [(f"{name}/{n:03}.png", name) for name, n in (("ant", 0), ("bee", 8), ("cow", 16))]
    write_csv("photos/list.csv", rows)
    state = made("photos/list.csv").state_dict()
    load(made("photos/list.csv"), state, "fit")
    rows[:2] = [(rows[0][0], "bee"), (rows[1][0], "ant")]
    write_csv("photos/list.csv", rows)
    with pytest.raises(ValueError, match="has other pictures or classes than the run was trained"):
        load(made("photos/list.csv"), state, "fit")


@pytest.mark.parametrize("memory", [0.0, 2.0])
def test_an_epoch_resumes_and_is_shared_out(memory):
    class_folders("photos")
    whole = pairs(made(memory=memory).train_dataloader())
    loader = made(memory=memory).train_dataloader()
    list(islice(loader, 2))
    resumed = made(memory=memory).train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    assert pairs(resumed) == whole[8:]
    shares = [
        made(memory=memory, batch_size=2, rank=rank, world_size=2).train_dataloader()
        for rank in range(2)
    ]
    for rank, share in enumerate(shares):
        assert pairs(share) == whole[rank::2]


def test_a_run_is_fitted_tested_and_predicts_where_its_pictures_are_not(recipe):
    """With the classes in the checkpoint, which holds plain values alone."""
    class_folders("photos")
    damage("bee/010.png")
    plain(Path("new/0.png"), 1)
    flags = [
        *("--data=ImageFolder", "--data.path=photos", "--data.size=8", "--data.batch_size=4"),
        *("--model.network=ConvNet", "--model.network.inputs=3", "--model.network.outputs=3"),
        *("--model.network.channels=[4]", "--trainer.max_epochs=1", "--trainer.callbacks=[]"),
        "--data.on_error=skip",
    ]
    recipe("classify", "fit", "--name=a", *flags)
    skipped = Path("runs/classify/a/skipped-fit.csv").read_text().splitlines()
    assert len(skipped) == 2 and skipped[1].startswith("photos/bee/010.png,")
    last = "runs/classify/a/checkpoints/last.ckpt"
    state = torch.load(last, weights_only=True)["ImageFolder"]
    assert state["class_names"] == ["ant", "bee", "cow"]
    recipe("classify", "test", f"--ckpt_path={last}")
    Path("photos").rename("elsewhere")
    recipe("classify", "predict", f"--ckpt_path={last}", "--data.predict=new/")
    lines = Path("runs/classify/a/predictions.csv").read_text().splitlines()
    assert lines[0].startswith("file,prediction,probability_ant") and len(lines) == 2


@pytest.mark.slow
def test_decoding_is_ended_by_a_signal_at_once():
    """With exit status 143, and without a part of the file, or a run's folder."""
    noise("photos/a/0.png", size=(1500, 1500))
    for number in range(1, 300):
        shutil.copy("photos/a/0.png", f"photos/a/{number}.png")
    flags = ("--data=ImageFolder", "--data.path=photos", "--model.network.inputs=3")
    run = Forked("recipes.classify", "fit", *flags)
    until(lambda: list(Path().glob("data/pictures/*.partial")) or run.poll() is not None)
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 143, run.output()
    assert list(Path("data/pictures").iterdir()) == []


def test_a_classifier_is_refused_what_it_cannot_learn(recipe):
    class_folders("photos")
    flags = ["--data=ImageFolder", "--data.size=8", "--trainer.max_epochs=1"]
    with pytest.raises(ValueError, match=r"^--model.network.outputs=2: --data=ImageFolder has 3"):
        recipe("classify", "fit", *flags, "--data.path=photos", "--model.network.outputs=2")
    Path("bare").mkdir()
    for file in Path("photos").rglob("*.png"):
        shutil.copy(file, Path("bare", f"{file.parent.name}-{file.name}"))
    with pytest.raises(ValueError, match=r"^--data=ImageFolder has pictures without labels"):
        recipe("classify", "fit", *flags, "--data.path=bare", "--model.network.outputs=3")
    assert not Path("runs").exists() or not list(Path("runs").rglob("config.yaml"))
