"""Hub-style datasets from local files: batches, order, shares, resuming, and errors. Offline."""

import gc
import io
import json
import multiprocessing
import socket
import sys
import time
from itertools import chain, islice
from pathlib import Path

import pytest
import torch
import yaml

from datamodules import HuggingFace
from forks import Forked, ended_well
from marks import slow, some
from recipes.classify import Classify
from recipes.running.cli import main
from trains import interrupt_after, middle_of_epoch, seen_by

datasets = pytest.importorskip("datasets", reason="needs the extra: huggingface")
np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
split_dataset_by_node = pytest.importorskip("datasets.distributed").split_dataset_by_node

FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=[f"class {c}" for c in range(10)]),
        "id": datasets.Value("int32"),
        "x": datasets.Value("float64"),
        "flag": datasets.Value("bool"),
        "word": datasets.Value("string"),
    }
)


def rows_of(ids):
    """Images that are all of one value, the row's number, and columns that follow from it."""
    return datasets.Dataset.from_dict(
        {
            "image": [np.full((4, 6), i, np.uint8) for i in ids],
            "label": [i % 10 for i in ids],
            "id": list(ids),
            "x": [i / 7 for i in ids],
            "flag": [i % 2 == 0 for i in ids],
            "word": [str(i) for i in ids],
        },
        features=FEATURES,
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """103 rows for training in three files of row groups of 16, and 33 for testing in two."""
    datasets.disable_progress_bars()
    folder = tmp_path_factory.mktemp("shards")
    for name, first, last in [("a", 0, 50), ("b", 50, 80), ("c", 80, 103)]:
        rows_of(range(first, last)).to_parquet(folder / f"train-{name}.parquet", batch_size=16)
    for name, first, last in [("a", 0, 20), ("b", 20, 33)]:
        rows_of(range(first, last)).to_parquet(folder / f"test-{name}.parquet", batch_size=16)
    yield folder
    datasets.enable_progress_bars()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def made(shards, cache):
    """Makes the data, set up; the target is the row's number."""

    def make(path=shards / "*.parquet", rank=0, world_size=1, stage="fit", **kwargs):
        kwargs = {"inputs": "image", "target": "id", "batch_size": 8, "val_size": 0, **kwargs}
        data = HuggingFace(str(path), cache_dir=str(cache), **kwargs)
        data.trainer = seen_by(rank, world_size)
        data.prepare_data()
        data.setup(stage)
        return data

    return make


def seen(loader):
    """The numbers of the rows, batch by batch."""
    return [batch[1].tolist() for batch in loader]


def advance(loader, batches):
    """Leaves an epoch after some batches."""
    assert len(list(islice(loader, batches))) == batches


MODES = [{"streaming": False}, {"streaming": True, "block": 12}]
WORKERS = [{}, *({"streaming": True, "block": 12, "num_workers": n} for n in (0, 1, 2))]


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_of_images_is_bytes_that_are_scaled_after_the_transfer(made, mode):
    data = made(**mode)
    assert data.input_shape == (1, 4, 6)
    for images, ids in data.train_dataloader():
        assert images.shape == (8, 1, 4, 6) and images.dtype == torch.uint8
        assert ids.shape == (8,) and ids.dtype == torch.int64
        assert (images == ids.view(8, 1, 1, 1)).all(), "each has its own image"
        scaled, same = data.on_after_batch_transfer((images, ids), 0)
        torch.testing.assert_close(scaled, images / 255)
        assert scaled.dtype == torch.float32 and same is ids


@pytest.mark.parametrize("mode", MODES)
def test_numbers_are_joined_and_follow_the_networks_type(made, mode):
    data = made(inputs=["x", "id", "flag"], target="label", **mode)
    data.trainer.lightning_module.dtype = torch.float64
    batch = next(iter(data.train_dataloader()))
    inputs, labels = data.on_after_batch_transfer(batch, 0)
    assert data.input_shape == (3,) and inputs.dtype == torch.float64
    ids = inputs[:, 1]
    torch.testing.assert_close(inputs[:, 0], ids / 7, rtol=1e-15, atol=0)
    assert inputs[:, 2].tolist() == (ids % 2 == 0).tolist()
    assert labels.tolist() == (ids % 10).tolist() and labels.dtype == torch.int64
    data = made(inputs="id", target="x", **mode)
    inputs, targets = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert inputs.shape == (8, 1) and inputs.dtype == targets.dtype == torch.float32
    torch.testing.assert_close(targets, inputs[:, 0] / 7)


@pytest.mark.parametrize("mode", MODES)
def test_order_is_a_function_of_seed_and_epoch(made, mode):
    one, two = (made(seed=3, **mode).train_dataloader() for _ in range(2))
    one.set_epoch(5)
    two.set_epoch(2)
    assert seen(one) != seen(two)
    two.set_epoch(5)
    assert seen(one) == seen(two)
    other = made(seed=4, **mode).train_dataloader()
    other.set_epoch(5)
    assert seen(one) != seen(other)


@pytest.mark.parametrize("workers", [1, 2])
def test_streams_do_not_depend_on_the_number_of_workers(made, workers):
    alone = made(**MODES[1]).train_dataloader()
    shared = made(num_workers=workers, **MODES[1]).train_dataloader()
    for epoch in range(2):
        alone.set_epoch(epoch)
        shared.set_epoch(epoch)
        assert seen(shared) == seen(alone)


def test_workers_are_stopped_when_an_epoch_is_left(made, monkeypatch):
    """Also by the garbage collector, where torch's own loader waits for each, 5 s as it is.

    Here it would wait a minute, which no load of the machine comes to.
    """
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 60.0)
    loader = made(num_workers=2, **MODES[1]).train_dataloader()
    batches = iter(loader)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    cycle = [batches, loader]
    cycle.append(cycle)
    start = time.monotonic()
    del batches, loader, cycle
    gc.collect()
    assert not multiprocessing.active_children() and time.monotonic() - start < 30


def test_making_batches_leaves_the_global_generator_alone(made):
    state = torch.get_rng_state()
    seen(made(num_workers=1, streams=1, streaming=True).train_dataloader())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("mode", WORKERS)
def test_evaluation_sees_every_row_once_in_equally_many_batches(made, mode):
    shares = [
        seen(made(stage="test", rank=rank, world_size=2, **mode).test_dataloader())
        for rank in range(2)
    ]
    assert sorted(chain.from_iterable(chain.from_iterable(shares))) == list(range(33))
    assert [len(share) for share in shares] == [3, 3]
    assert all(0 < len(batch) <= 8 for share in shares for batch in share)


@pytest.mark.parametrize("mode", WORKERS)
@pytest.mark.parametrize("world_size", [1, 2])
def test_training_shares_are_disjoint_and_lack_no_full_batch(made, mode, world_size):
    loaders = [
        made(rank=r, world_size=world_size, **mode).train_dataloader() for r in range(world_size)
    ]
    left_out = []
    for epoch in range(2):
        for loader in loaders:
            loader.set_epoch(epoch)
        shares = [seen(loader) for loader in loaders]
        assert {len(share) for share in shares} == {103 // 8 // world_size} == {len(loaders[0])}
        assert all(len(batch) == 8 for share in shares for batch in share)
        sets = [set(chain.from_iterable(share)) for share in shares]
        union = set.union(*sets)
        assert len(union) == sum(map(len, sets)) == 96 and union < set(range(103))
        left_out.append(set(range(103)) - union)
    assert left_out[0] != left_out[1], "no row is left out for ever"


def test_rows_are_mixed_within_blocks_and_across_files(made):
    loader = made(streaming=True, block=1000, streams=1).train_dataloader()
    ids = torch.tensor(seen(loader)).flatten()
    assert ids.diff().abs().float().mean() > 20, "34 in a perfect shuffle, 1 in the stored order"
    narrow = made(streaming=True, block=2, streams=1).train_dataloader()
    firsts = [torch.tensor(seen(narrow)).flatten()[:2].min().item()]
    for epoch in range(1, 6):
        narrow.set_epoch(epoch)
        firsts.append(torch.tensor(seen(narrow)).flatten()[:2].min().item())
    assert len({first // 16 for first in firsts}) > 2, "epochs begin in other row groups"


@pytest.mark.parametrize("batches", some([7, 4, 1, 12], 1))
@pytest.mark.parametrize("mode", WORKERS)
def test_an_epoch_resumes_at_its_position(made, mode, batches):
    """After 1 batch of 8 a stream is within its first block of 12, after 7 within the second."""
    loader = made(**mode).train_dataloader()
    loader.set_epoch(4)
    whole = seen(loader)
    advance(loader, batches)
    file = io.BytesIO()
    torch.save(loader.state_dict(), file)
    file.seek(0)
    resumed = made(**mode).train_dataloader()
    resumed.load_state_dict(torch.load(file, weights_only=True))
    resumed.set_epoch(4)
    assert seen(resumed) == whole[batches:]
    assert seen(resumed) == whole, "only the first epoch after a resume is shortened"


def test_an_epoch_resumes_with_another_number_of_workers(made):
    loader = made(num_workers=2, **MODES[1]).train_dataloader()
    whole = seen(loader)
    advance(loader, 5)
    resumed = made(**MODES[1]).train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    assert seen(resumed) == whole[5:]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"world_size": 2},
            r"\(--trainer.devices\)=2, but the checkpoint is from the middle of an epoch with 1",
        ),
        ({"block": 13}, "--data.block=13, but"),
        ({"streams": 2}, "--data.streams=2, but"),
        ({"batch_size": 9}, "--data.batch_size=9, but"),
    ],
)
def test_another_order_is_refused_in_the_middle_of_an_epoch(made, change, line):
    loader = made(**MODES[1]).train_dataloader()
    advance(loader, 1)
    changed = made(**{**MODES[1], **change}).train_dataloader()
    changed.load_state_dict(loader.state_dict())
    with pytest.raises(ValueError, match=line):
        seen(changed)
    seen(loader)
    changed.load_state_dict(loader.state_dict())
    assert seen(changed) == [], "the epoch was complete"
    changed.load_state_dict({**loader.state_dict(), "position": 3})
    changed.set_epoch(1)
    assert len(seen(changed)) == len(changed)


def test_the_librarys_own_shards_are_unequal(shards):
    """The negative control: by whole files, one process would wait for another in vain."""
    files = [str(path) for path in sorted(shards.glob("train-*.parquet"))]
    whole = datasets.load_dataset("parquet", data_files=files, streaming=True, split="train")
    shares = [
        [row["id"] for row in split_dataset_by_node(whole, rank, 2, strategy="shards")]
        for rank in (0, 1)
    ]
    assert sorted(shares[0] + shares[1]) == list(range(103))
    assert abs(len(shares[0]) - len(shares[1])) > 8, "by more than a batch"


def test_the_librarys_own_shuffling_does_not_resume():
    """The negative control: what its buffer held is lost."""

    def stream():
        rows = datasets.Dataset.from_dict({"id": list(range(103))}).to_iterable_dataset(3)
        return rows.shuffle(seed=1, buffer_size=30)

    whole = [row["id"] for row in stream()]
    stopped = stream()
    assert [row["id"] for row in islice(stopped, 40)] == whole[:40]
    resumed = stream()
    resumed.load_state_dict(stopped.state_dict())
    rest = [row["id"] for row in resumed]
    assert len(whole) == 103 and rest != whole[40:] and set(rest) != set(whole[40:])


@pytest.mark.parametrize("mode", [[], slow(["--data.streaming=true", "--data.num_workers=2"])])
def test_an_interrupted_run_resumes_from_the_middle_of_an_epoch(
    recipe, monkeypatch, shards, cache, mode
):
    flags = [
        *("--data=HuggingFace", f"--data.path={shards}/*.parquet", f"--data.cache_dir={cache}"),
        *("--data.inputs=image", "--data.target=label", "--data.batch_size=6", "--data.block=20"),
        *("--data.val_split=test", "--model.network=MLP", "--model.network.inputs=24"),
        *("--model.network.widths=[8]", "--model.network.dropout=0.5", "--trainer.max_epochs=3"),
        *mode,
    ]
    recipe("classify", "fit", "--name=whole", *flags)
    with monkeypatch.context() as patch:
        interrupt_after(25, patch)
        with pytest.raises(MemoryError):
            recipe("classify", "fit", "--name=cut", *flags, *middle_of_epoch("runs/classify/cut"))
    middle = "runs/classify/cut/checkpoints/middle.ckpt"
    assert torch.load(middle, weights_only=True)["global_step"] == 20, "17 are an epoch"
    recipe("classify", "fit", f"--ckpt_path={middle}")
    whole, cut = (
        torch.load(f"runs/classify/{name}/checkpoints/last.ckpt", weights_only=True)
        for name in ("whole", "cut")
    )
    assert whole["global_step"] == cut["global_step"] == 51
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, cut["state_dict"][key])


def test_validation_rows_are_held_out_by_a_key(made):
    def parts(**kwargs):
        data = made(**kwargs)
        return [set(data.tables[part].rows.tolist()) for part in ("train", "val")]

    train, val = parts(val_size=0.2)
    assert len(val) == 21 and train | val == set(range(103)) and not train & val
    assert parts(val_size=0.2) == [train, val] != parts(val_size=0.2, split_seed=1)
    assert len(parts(val_size=30)[1]) == 30
    with pytest.raises(ValueError, match=r"--data.val_size=30.5: a share is below 1"):
        parts(val_size=30.5)

    assert made(streaming=True).val_dataloader() == [] == made().val_dataloader()
    assert len(seen(made(val_split="test", streaming=True).val_dataloader())) == 5


@pytest.mark.parametrize("size", [0, 0.2, 30])
def test_a_run_keeps_the_share_that_it_was_given(size, capsys):
    """It was 0 in config.yaml and in the checkpoint, so that nothing could be run again."""
    data = ("--data=HuggingFace", "--data.path=x", "--data.inputs=image", "--data.target=label")
    network = ("--model.network=MLP", "--model.network.inputs=64", "--model.network.outputs=10")
    with pytest.raises(SystemExit):
        main(Classify, ["fit", *data, *network, f"--data.val_size={size}", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["data"]["init_args"]["val_size"] == size


@pytest.mark.parametrize("streaming", [False, True])
def test_arrow_files_and_saved_datasets_are_mapped_as_they_are(made, tmp_path, cache, streaming):
    before = set(cache.rglob("*"))
    saved = datasets.DatasetDict({"train": rows_of(range(40)), "test": rows_of(range(7))})
    saved.save_to_disk(tmp_path / "saved", num_shards={"train": 3, "test": 1})
    data = made(tmp_path / "saved", streaming=streaming)
    data.setup("test")
    assert sorted(chain.from_iterable(seen(data.test_dataloader()))) == list(range(7))
    assert len(set(chain.from_iterable(seen(data.train_dataloader())))) == 40
    table = rows_of(range(40)).data.table
    with pa.ipc.new_file(tmp_path / "blocks.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=9)
    data = made(tmp_path / "blocks.arrow", streaming=streaming)
    assert len(set(chain.from_iterable(seen(data.train_dataloader())))) == 40
    assert set(cache.rglob("*")) == before, "nothing was copied"


def test_streamed_files_may_differ_in_order_and_width_of_columns(made, tmp_path):
    narrow = pa.table({"x": [1, 2], "id": pa.array([0, 1], pa.int8())})
    wide = pa.table({"id": [2, 3], "more": ["", ""], "x": [3, 4]})
    parquet.write_table(narrow, tmp_path / "a.parquet")
    parquet.write_table(wide, tmp_path / "b.parquet")
    data = made(tmp_path / "*.parquet", inputs="x", batch_size=4, streaming=True)
    ((inputs, ids),) = data.train_dataloader()
    assert (inputs[:, 0] == ids + 1).all() and sorted(ids.tolist()) == [0, 1, 2, 3]
    parquet.write_table(wide.drop(["x"]), tmp_path / "b.parquet")
    data = made(tmp_path / "*.parquet", inputs="x", batch_size=4, streaming=True, num_workers=1)
    with pytest.raises(ValueError, match=r"b.parquet has no column x$"):
        seen(data.train_dataloader())


def test_a_folder_of_another_kind_is_what_the_library_makes_of_it(made, tmp_path):
    lines = [f"{row},{row / 7}" for row in range(20)]
    (tmp_path / "train.csv").write_text("\n".join(["id,x", *lines]))
    data = made(tmp_path, inputs="x")
    assert len(set(chain.from_iterable(seen(data.train_dataloader())))) == 16
    line = r"--data.streaming=true reads Parquet or Arrow, not train.csv; .*refs/convert/parquet"
    with pytest.raises(ValueError, match=line):
        made(tmp_path, inputs="x", streaming=True)
    card = "configs:\n- config_name: one\n  data_files: train.csv\n"
    (tmp_path / "README.md").write_text(f"---\n{card}---\n")
    assert len(made(tmp_path, inputs="x", name="one").train_dataloader()) == 2
    with pytest.raises(ValueError, match=r"--data.name=two: .*not found. Available: \['one'\]"):
        made(tmp_path, inputs="x", name="two")


@pytest.mark.parametrize("streaming", [False, True])
def test_images_of_many_kinds_become_one_kind_if_asked(made, tmp_path, streaming):
    pillow = pytest.importorskip("PIL.Image")
    colours = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    images = [
        pillow.fromarray(colours),
        pillow.fromarray(colours[..., 0]),
        pillow.fromarray(colours[:4]),
    ]
    features = datasets.Features({"image": datasets.Image(), "id": datasets.Value("int64")})
    table = datasets.Dataset.from_dict({"image": images, "id": [0, 1, 2]}, features=features)
    table.to_parquet(tmp_path / "rows.parquet")
    path = tmp_path / "rows.parquet"
    with pytest.raises(
        ValueError, match=r"an image is \(.*the first was .*; say --data.image_size or"
    ):
        seen(made(path, streaming=streaming, batch_size=3).train_dataloader())
    data = made(path, streaming=streaming, batch_size=3, image_size=4, image_mode="RGB")
    ((inputs, _),) = data.train_dataloader()
    assert inputs.shape == (3, 3, 4, 4)
    table.select([0]).to_parquet(path)
    ((inputs, _),) = made(path, streaming=streaming, batch_size=1).train_dataloader()
    assert torch.equal(inputs[0], torch.from_numpy(colours).permute(2, 0, 1))


def test_a_run_records_the_commit_of_the_hub(shards, cache, recipe, monkeypatch):
    """The Hub is a folder here, of which the library says the commit as of the Hub's."""
    from datamodules.reading import sources

    stock = sources.load_dataset_builder

    def of_the_hub(path, **kwargs):
        builder = stock(str(shards) if path == "owner/name" else path, **kwargs)
        builder.hash = "0123456789" * 4
        return builder

    data = (f"--data.cache_dir={cache}", "--data.inputs=x", "--data.target=label")
    network = ("--model.network=MLP", "--model.network.inputs=1", "--model.network.widths=[2]")
    short = ("--trainer.max_epochs=1", "--data.batch_size=64")
    for path in (shards, "owner/name"):
        common = ("--data=HuggingFace", f"--data.path={path}", *data, *network, *short)
        recipe("classify", "fit", *common)
        monkeypatch.setattr(sources, "load_dataset_builder", of_the_hub)
    runs = sorted(Path("runs").glob("*/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    facts = [json.loads(path.read_text()) for path in runs]
    assert [fact.get("data") for fact in facts] == [None, {"commit": "0123456789" * 4}]


@pytest.mark.parametrize("streaming", [False, True])
def test_grey_of_16_bits_is_scaled_and_not_cut_off(made, tmp_path, streaming):
    pillow = pytest.importorskip("PIL.Image")
    values = np.array([[0, 1, 128, 129], [257, 32768, 65279, 65535]], dtype=np.uint16)
    contents = []
    for kind in ("PNG", "TIFF"):
        content = io.BytesIO()
        pillow.fromarray(values).save(content, kind)
        contents.append({"bytes": content.getvalue(), "path": None})
    features = datasets.Features({"image": datasets.Image(), "id": datasets.Value("int64")})
    rows = datasets.Dataset.from_dict({"image": contents, "id": [0, 1]}, features=features)
    rows.to_parquet(tmp_path / "rows.parquet")
    arguments = {"path": tmp_path / "rows.parquet", "streaming": streaming, "batch_size": 2}
    with pytest.raises(ValueError, match=r"mode I;16; say --data.image_mode=L or RGB"):
        seen(made(**arguments).train_dataloader())
    grey = torch.tensor([[0, 0, 0, 1], [1, 128, 254, 255]], dtype=torch.uint8)
    for mode, channels in (("L", 1), ("RGB", 3)):
        ((inputs, _),) = made(**arguments, image_mode=mode).train_dataloader()
        assert torch.equal(inputs, grey.expand(2, channels, 2, 4))


def test_pillow_itself_cuts_off(tmp_path):
    """The negative control of the test above."""
    pillow = pytest.importorskip("PIL.Image")
    values = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    assert np.asarray(pillow.fromarray(values).convert("L")).tolist() == [[0, 255, 255, 255]]


def test_floats_and_integers_whose_white_is_not_known_are_refused(made, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    features = datasets.Features({"image": datasets.Image(), "id": datasets.Value("int64")})
    for dtype, mode in ((np.float32, "F"), (np.int32, "I")):
        content = io.BytesIO()
        pillow.fromarray(np.ones((2, 2), dtype)).save(content, "TIFF")
        images = [{"bytes": content.getvalue(), "path": None}]
        rows = datasets.Dataset.from_dict({"image": images, "id": [0]}, features=features)
        rows.to_parquet(tmp_path / f"{mode}.parquet")
        with pytest.raises(ValueError, match=rf"{mode}.parquet, row 0: .* mode {mode}, .* white"):
            made(tmp_path / f"{mode}.parquet", image_mode="L")


def labelled(path, names, labels, kind="parquet"):
    """A file of labels, with an order of the classes' names of its own."""
    features = datasets.Features(
        {"x": datasets.Value("float32"), "y": datasets.ClassLabel(names=names)}
    )
    numbers = [names.index(label) for label in labels]
    columns = {"x": [0.5] * len(labels), "y": numbers}
    rows = datasets.Dataset.from_dict(columns, features=features)
    (rows.to_parquet if kind == "parquet" else rows.save_to_disk)(path)
    return path


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("where", ["train-b", "validation-a", "test-a"])
@pytest.mark.parametrize("folder", [False, True])
def test_labels_that_mean_other_classes_in_another_file_are_refused(
    made, tmp_path, where, streaming, folder
):
    files = {name: ["cat", "dog", "emu"] for name in ("train-a", "train-b", "test-a")}
    for name, names in (files | {where: ["cat", "emu", "dog"]}).items():
        labelled(tmp_path / f"{name}.parquet", names, ["cat", "dog", "emu", "dog"])
    arguments = {"path": tmp_path if folder else tmp_path / "*.parquet", "inputs": "x"}
    arguments |= {"target": "y", "streaming": streaming, "batch_size": 2}
    if "validation" in where:
        arguments["val_split"] = "validation"
    stage = "test" if "test" in where else "fit"
    line = rf"{where}.parquet: label 1 of column y is emu, and in .*train-a.parquet it is dog"
    with pytest.raises(ValueError, match=line):
        made(stage=stage, **arguments)
    if "validation" not in where:
        made(stage="test" if stage == "fit" else "fit", **arguments)  # which does not look there


@pytest.mark.parametrize("streaming", [False, True])
def test_files_may_have_more_or_fewer_classes_in_one_order(made, tmp_path, streaming):
    labelled(tmp_path / "train-a.parquet", ["cat", "dog", "emu"], ["cat", "emu"] * 2)
    labelled(tmp_path / "train-b.parquet", ["cat", "dog"], ["dog", "cat"] * 2)
    path = tmp_path / "*.parquet"
    data = made(path, inputs="x", target="y", streaming=streaming, batch_size=8)
    ((_, labels),) = data.train_dataloader()
    assert sorted(labels.tolist()) == [0, 0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("workers", [None, 0, 2])
def test_a_damaged_picture_is_named_by_file_and_row(made, shards, tmp_path, workers):
    """In the second row group of the second file, after a shuffle."""
    whole = rows_of(range(40)).cast_column("image", datasets.Image(decode=False))
    whole.to_parquet(tmp_path / "train-a.parquet", batch_size=8)
    broken = whole.map(lambda row: {"image": {"bytes": b"\x89PNG", "path": None}} | {"id": 40})
    rows = datasets.concatenate_datasets([whole.select(range(29)), broken.select([0])])
    rows.cast(FEATURES).to_parquet(tmp_path / "train-b.parquet", batch_size=8)
    data = made(
        tmp_path / "*.parquet", streaming=workers is not None, num_workers=workers or 0, block=16
    )
    line = r"train-b.parquet, row 29: --data.inputs=image: an image is damaged"
    with pytest.raises(ValueError, match=line):
        seen(data.train_dataloader())


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("column", ["image", "x", "label"])
def test_what_is_missing_is_named_by_file_and_row(made, tmp_path, column, streaming):
    whole = rows_of(range(12))
    whole.to_parquet(tmp_path / "a.parquet")
    hole = whole.to_dict()
    hole[column][7] = None if column != "label" else -1
    datasets.Dataset.from_dict(hole, features=FEATURES).to_parquet(tmp_path / "b.parquet")
    inputs = column if column != "label" else "x"
    target = "label" if column == "label" else "id"
    data = made(tmp_path / "*.parquet", inputs=inputs, target=target, streaming=streaming)
    with pytest.raises(ValueError, match=r"b.parquet, row 7: --data.*=.*: a.* is missing"):
        seen(data.train_dataloader())


def test_a_damaged_file_of_a_folder_of_pictures_is_named(made, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    for place in ("cats", "dogs"):
        (tmp_path / "train" / place).mkdir(parents=True)
        for number in range(4):
            image = pillow.fromarray(np.full((4, 4), number, np.uint8))
            image.save(tmp_path / "train" / place / f"{number}.png")
    (tmp_path / "train/dogs/2.png").write_bytes(b"no picture")
    data = made(tmp_path, target="label", batch_size=8)
    with pytest.raises(ValueError, match=r"dogs/2.png: --data.inputs=image: an image is damaged"):
        seen(data.train_dataloader())
    with pytest.raises(
        ValueError, match=r"--data.test_split=test: no such split; there are train$"
    ):
        made(tmp_path, target="label", stage="predict")


@pytest.mark.parametrize("streaming", [False, True])
def test_local_files_need_no_network(made, shards, monkeypatch, streaming):
    """Not even to count downloads, as the library does."""
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: asked.append(args) or [])
    monkeypatch.setattr(socket.socket, "connect", lambda *args: asked.append(args))
    for path in (shards, shards / "*.parquet", shards / "train-a.parquet"):
        assert seen(made(path, batch_size=4, streaming=streaming).train_dataloader())
    assert not asked


@pytest.mark.slow
def test_the_package_is_not_imported_before_it_is_needed(monkeypatch):
    Path("look.py").write_text("import sys, datamodules\nassert 'datasets' not in sys.modules\n")
    ended_well(Forked("look.py"))  # of a process that has imported all recipes
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"^--data=HuggingFace needs: pip install -e '.\[hugg"):
        HuggingFace("path", "image", "label")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"path": "none.parquet"}, "--data.path=none.parquet: no such file or folder"),
        ({"path": "./none"}, "--data.path=./none: no such file or folder"),
        ({"path": "none/*.parquet"}, "--data.path=none/*.parquet: no such file or folder"),
        (
            {"path": "words.txt"},
            "--data.path=words.txt: words.txt: not all .parquet, nor all .arrow",
        ),
        ({"path": "cut.parquet"}, "cut.parquet is damaged or no Parquet file"),
        ({"path": "cut.arrow"}, "cut.arrow is damaged or no Arrow file"),
        ({"path": "empty.parquet"}, "--data.train_split=train has no rows"),
        ({"path": "damaged"}, "cut.parquet is damaged or no Parquet file"),
        (
            {"train_split": "trian"},
            "--data.train_split=trian: no such split; there are test, train",
        ),
        ({"val_split": "val"}, "--data.val_split=val: no such split; there are test, train"),
        ({"inputs": "img"}, "--data.inputs=img: no such column; there are image, label, id, x"),
        ({"target": "y"}, "--data.target=y: no such column; there are image, label, id, x"),
        (
            {"inputs": "word"},
            "--data.inputs=word: a column of string is neither numbers nor images",
        ),
        (
            {"target": "word"},
            "--data.target=word: a column of string is neither numbers nor labels",
        ),
        ({"target": "image"}, "--data.target=image: a column of"),
        ({"inputs": ["x", "id"]}, "--data.inputs=['x', 'id'] has the target among them"),
        ({"inputs": ["x", "image"]}, "--data.inputs=['x', 'image']: images are one column"),
        ({"inputs": []}, "--data.inputs=[] names no column"),
        ({"batch_size": 200}, "--data.batch_size=200 does not fit 103 rows"),
        ({"path": "holes.parquet", "inputs": "x"}, "--data.inputs=x: a value is missing"),
        (
            {"path": "holes.parquet", "inputs": "id", "target": "y"},
            "--data.target=y: a value is mis",
        ),
        (
            {"path": "holes.parquet", "inputs": "id", "target": "z"},
            "--data.target=z: a label is mis",
        ),
        ({"path": "holes.parquet"}, "--data.inputs=image: an image is missing"),
        ({"path": "broken.parquet"}, "--data.inputs=image: an image is damaged"),
    ],
)
def test_a_mistake_is_one_line(made, shards, arguments, line, streaming):
    write_mistakes(shards)
    arguments = {"path": str(shards / "*.parquet"), "batch_size": 2, **arguments}
    with pytest.raises((ValueError, OSError)) as error:
        seen(made(streaming=streaming, **arguments).train_dataloader())
    assert line in str(error.value) and "\n" not in str(error.value)


def write_mistakes(shards):
    Path("words.txt").write_text("words")
    content = (shards / "train-a.parquet").read_bytes()
    Path("cut.parquet").write_bytes(content[:-9])
    Path("cut.arrow").write_bytes(content[:-9])
    Path("damaged").mkdir()
    Path("damaged/cut.parquet").write_bytes(content[:-9])
    rows_of([]).to_parquet("empty.parquet")
    holes = {
        "image": [{"bytes": None, "path": None}, None],
        "id": [0, 1],
        "x": [0.5, None],
        "y": [0.5, float("nan")],
        "z": [0, -1],
    }
    kinds = {
        "image": datasets.Image(),
        "id": datasets.Value("int64"),
        "x": datasets.Value("float32"),
    }
    kinds |= {"y": datasets.Value("float32"), "z": datasets.ClassLabel(num_classes=3)}
    holes["image"][0] = {
        "bytes": rows_of([1]).data.table["image"][0]["bytes"].as_py(),
        "path": None,
    }
    datasets.Dataset.from_dict(holes, features=datasets.Features(kinds)).to_parquet("holes.parquet")
    broken = {"image": [holes["image"][0], {"bytes": b"none", "path": None}], "id": [0, 1]}
    kinds = datasets.Features({"image": datasets.Image(), "id": datasets.Value("int64")})
    datasets.Dataset.from_dict(broken, features=kinds).to_parquet("broken.parquet")
