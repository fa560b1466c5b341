"""Labels that are no class numbers are refused where they are read, by file and row."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch.nn import functional as F

from datamodules import MNIST, Diabetes, HuggingFace, Images, Ring
from datamodules.loading.missing import MISSING, check_known, is_known
from datamodules.reading.classes import Classes
from recipes.classify import Classify
from recipes.gan import GAN
from recipes.parts.labels import cross_entropies, cross_entropy
from recipes.parts.networks import MLP
from trains import digits, fit

datasets = pytest.importorskip("datasets", reason="needs the extra: huggingface")


class Mine(Images):
    """Forty images for training and ten for testing, of classes 0 to 3, but for one."""

    def __init__(self, row=None, label=None, dtype=torch.int64, **kwargs):
        super().__init__(8, 10, **kwargs)
        self.wrong, self.dtype = (row, label), dtype

    def load(self):
        images = torch.zeros(50, 4, 4, dtype=torch.uint8)
        labels = torch.arange(50) % 4
        if self.wrong[0] is not None:
            labels[self.wrong[0]] = self.wrong[1]
        labels = labels.to(self.dtype)
        return (images[:40], labels[:40]), (images[40:], labels[40:])


def classifier(inputs=16, outputs=4):
    return Classify(MLP(inputs, [3], outputs=outputs))


@pytest.mark.parametrize("label", [-1, -100, 4, 77, 10**12])
@pytest.mark.parametrize("row", [7, 12, 33, 45])
def test_a_wrong_label_in_memory_is_named_before_the_first_step(tmp_path, row, label):
    """In whichever split it is; --data.labelled does not hide it."""
    place = f"train.*ing image {row}" if row < 40 else f"testing image {row - 40}"
    line = rf"^--data=Mine: {place}: label {label} is no class"
    for data in (Mine(row, label), Mine(row, label, labelled=1)):
        module = classifier()
        if label >= 4 and row < 40 and data.labelled and row not in validated(data):
            continue  # an image that has lost its label
        with pytest.raises(ValueError, match=line):
            fit(module, data, tmp_path)


def validated(data):
    data.setup("fit")
    return data.rows["val"].tolist()


def test_right_labels_and_missing_ones_are_taken(tmp_path):
    for data in (Mine(), Mine(labelled=5), Mine(3, MISSING)):
        _, trainer = fit(classifier(), data, tmp_path)
        assert trainer.global_step == 3
    check_known(torch.tensor([0, MISSING, 3]), Classes(4, ""), str)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int32, torch.bool])
def test_labels_of_other_types_are_refused(tmp_path, dtype):
    with pytest.raises(ValueError, match=rf"^--data: labels of {dtype} are no class numbers"):
        fit(classifier(), Mine(dtype=dtype), tmp_path)


def test_a_byte_is_no_missing_label():
    """Torch takes the constant for a byte of 0: negative control."""
    labels = torch.tensor([0, 255], dtype=torch.uint8)
    assert (labels != MISSING).tolist() == [False, True]
    assert is_known(labels).all()


def test_a_file_of_mnist_is_named(tmp_path, monkeypatch):
    images = torch.zeros(30, 28, 28, dtype=torch.uint8)
    labels = torch.arange(30, dtype=torch.uint8) % 10
    labels[21] = 10

    def read(path):
        return (images if "images" in path.name else labels)[: 10 if "t10k" in path.name else 30]

    monkeypatch.setattr("datamodules.mnist.read_idx", read)
    line = r"train-labels-idx1-ubyte.gz, row 21: label 10 is no class: --data=MNIST has 0 to 9"
    with pytest.raises(ValueError, match=line):
        MNIST(tmp_path, val_size=5).setup("fit")


def shard(path, labels, kind=None):
    """A Parquet file of two inputs and a label, in row groups of four."""
    features = {"x": datasets.Value("float32"), "z": datasets.Value("float32")}
    features["y"] = kind or datasets.Value("int64")
    rows = {"x": [0.0] * len(labels), "z": [1.0] * len(labels), "y": labels}
    table = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    table.to_parquet(path, batch_size=4)


def hub(folder, **kwargs):
    options = {"batch_size": 4, "val_size": 0, "cache_dir": str(folder / "cache"), **kwargs}
    return HuggingFace(str(folder / "*.parquet"), ["x", "z"], "y", **options)


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


READS = [{}, {"val_size": 5}, {"streaming": True}, {"streaming": True, "num_workers": 2}]


@pytest.mark.parametrize("reads", READS, ids=str)
@pytest.mark.parametrize("label", [-1, -100, 3, MISSING])
def test_a_wrong_label_in_a_file_is_named_by_file_and_row(tmp_path, reads, label):
    """With streaming when it is read, else before the first step."""
    shard(tmp_path / "train-a.parquet", [0, 1, 2] * 4)
    shard(tmp_path / "train-b.parquet", [0, 1, 2, 0, 1, label, 0, 1])
    module, steps = classifier(2, 3), []
    module.on_train_batch_end = lambda *args: steps.append(args)
    line = rf"train-b.parquet, row 5: --data.target=y: label {label} is no class: "
    line += r"--model.network.outputs=3 has 0 to 2$"
    with pytest.raises(ValueError, match=line):
        fit(module, hub(tmp_path, **reads), tmp_path, limit_val_batches=0)
    assert reads.get("streaming") or not steps


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("stage", ["validate", "test"])
def test_evaluations_refuse_wrong_labels_too(tmp_path, stage, streaming):
    shard(tmp_path / "train-a.parquet", [0, 1, 2] * 4)
    shard(tmp_path / "validation-a.parquet", [0, 1, 2, 0, 5, 0])
    shard(tmp_path / "test-a.parquet", [0, 1, 2, 0, 5, 0])
    _, trainer = fit(classifier(2, 6), hub(tmp_path), tmp_path, limit_val_batches=0)
    trainer.limit_val_batches = 1.0
    data = hub(tmp_path, streaming=streaming, val_split="validation")
    with pytest.raises(ValueError, match=r"-a.parquet, row 4: --data.target=y: label 5 is no cla"):
        getattr(trainer, stage)(classifier(2, 3), datamodule=data, verbose=False)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_column_of_labels_says_how_many_there_are(tmp_path, streaming):
    shard(tmp_path / "train-a.parquet", [0, 1, 2] * 4, datasets.ClassLabel(num_classes=3))
    data = hub(tmp_path, streaming=streaming)
    with pytest.raises(ValueError, match=r"^--model.network.outputs=2: --data.target=y has 3 cla"):
        fit(classifier(2, 2), data, tmp_path)
    fit(classifier(2, 5), hub(tmp_path, streaming=streaming), tmp_path, limit_val_batches=0)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_column_of_numbers_is_no_label(tmp_path, streaming):
    shard(tmp_path / "train-a.parquet", [0.0, 1.0] * 4, datasets.Value("float64"))
    with pytest.raises(ValueError, match=r"^--data.target=y: the target is a number, not a class"):
        fit(classifier(2, 2), hub(tmp_path, streaming=streaming), tmp_path)


def test_bytes_and_booleans_in_a_file_are_labels(tmp_path):
    for name in ("uint8", "bool", "int16"):
        (tmp_path / name).mkdir()
        shard(tmp_path / name / "train-a.parquet", [0, 1] * 4, datasets.Value(name))
        _, trainer = fit(classifier(2, 2), hub(tmp_path / name), tmp_path, limit_val_batches=0)
        assert trainer.global_step == 2


def test_generated_labels_and_tables_are_refused_by_the_option(tmp_path):
    with pytest.raises(ValueError, match=r"^--model.network.outputs=4: --data=Ring has 8 classes"):
        fit(classifier(2), Ring(samples=512), tmp_path)
    with pytest.raises(ValueError, match=r"^--data=Diabetes: the target is a number, not a class"):
        fit(classifier(10), Diabetes(), tmp_path)


@pytest.mark.parametrize("count", [3, 12])
@pytest.mark.parametrize(("data", "line"), [(digits, "has 10"), (Diabetes, "is a number")])
def test_a_conditional_game_needs_its_classes(tmp_path, data, line, count):
    module = GAN(MLP(64, [2]), MLP(64, [2]), classes=count)
    with pytest.raises(ValueError, match=rf"^--.*: .*{line}"):
        fit(module, data(), tmp_path)


class Own(LightningDataModule):
    """A user's, which says nothing of its labels."""

    def __init__(self, labels):
        super().__init__()
        self.labels = labels

    def train_dataloader(self):
        return torch.utils.data.DataLoader([(torch.zeros(2), y) for y in self.labels], 2)

    val_dataloader = train_dataloader


OWN = {
    "-100": torch.tensor([0, -100, 1, 1]),
    "3": torch.tensor([0, 3, 1, 1]),
    "float32": torch.tensor([0.0, 1, 1, 1]),
    "uint8": torch.tensor([0, 1, 1, 1], dtype=torch.uint8),
}


@pytest.mark.parametrize("wrong", OWN)
@pytest.mark.parametrize("sanity", [0, 2])
def test_labels_of_ones_own_loader_are_refused_in_the_step(tmp_path, wrong, sanity):
    module = classifier(2, 3)
    with pytest.raises(ValueError, match=rf"^--data: .*{wrong} .*no class"):
        fit(module, Own(OWN[wrong]), tmp_path, num_sanity_val_steps=sanity)


def test_minus_100_counts_nowhere_in_silence():
    """Torch's own loss leaves it out: negative control."""
    logits, labels = torch.randn(3, 4), torch.tensor([0, -100, 1])
    assert F.cross_entropy(logits, labels).isfinite()
    for loss in (cross_entropy, cross_entropies):
        with pytest.raises(ValueError, match="label -100 is no class: the network has 0 to 3"):
            loss(logits, labels)
    marked = torch.tensor([0, MISSING, 1])
    expected = F.cross_entropy(logits[[0, 2]], labels[[0, 2]])
    torch.testing.assert_close(cross_entropy(logits, marked), expected)


def test_predictions_need_no_labels(tmp_path):
    """A number as target is no hindrance to predicting what a network takes."""
    module = classifier(10, 3)
    module.trainer = SimpleNamespace(datamodule=Diabetes())
    module.trainer.datamodule.setup("predict")
    module.setup("predict")
