"""The original files: read, checked, downloaded, and refused when they are something else."""

import gzip
import hashlib
import http.server
import threading
from functools import partial

import pytest
import torch

from datamodules import MNIST, FashionMNIST
from datamodules.mnist import read_idx
from datamodules.reading.download import fetch

IMAGES = torch.randint(0, 256, (30, 28, 28), dtype=torch.uint8)
LABELS = torch.arange(30, dtype=torch.uint8) % 10


def idx(values):
    header = bytes([0, 0, 8, values.ndim])
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return gzip.compress(header + sizes + values.numpy().tobytes())


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Small files of MNIST's names and format, with their own checksums."""
    contents = {
        "train-images-idx3-ubyte.gz": idx(IMAGES),
        "train-labels-idx1-ubyte.gz": idx(LABELS),
        "t10k-images-idx3-ubyte.gz": idx(IMAGES[:10]),
        "t10k-labels-idx1-ubyte.gz": idx(LABELS[:10]),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(
        MNIST, "md5", {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    )
    return tmp_path


def test_files_that_are_there_are_used_as_they_lie(files, monkeypatch):
    monkeypatch.setattr(MNIST, "url", "http://127.0.0.1:9/")
    data = MNIST(data_dir=files, val_size=5)
    data.prepare_data()
    data.setup("fit")
    assert torch.equal(data.tables["test"].images, IMAGES[:10])
    assert torch.equal(data.tables["test"].labels, LABELS[:10].long())
    assert len(data.tables["train"]) == 25 and len(data.tables["val"]) == 5


def test_missing_files_are_downloaded_and_checked(files, tmp_path, monkeypatch):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=files))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(MNIST, "url", f"http://127.0.0.1:{server.server_port}/")
    target = tmp_path / "new" / "folder"
    data = MNIST(data_dir=target, val_size=5)
    data.prepare_data()
    assert sorted(path.name for path in target.iterdir()) == sorted(MNIST.md5)
    (files / "t10k-labels-idx1-ubyte.gz").write_bytes(b"something else")
    (target / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(OSError, match=r"cannot download .*t10k-labels-idx1-ubyte.gz"):
        data.prepare_data()
    assert not (target / "t10k-labels-idx1-ubyte.gz").exists()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("damage", ["truncated", "corrupt", "other"])
def test_a_wrong_file_is_named_and_kept(files, damage):
    path = files / "train-labels-idx1-ubyte.gz"
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    wrong = {"truncated": content[:-9], "corrupt": bytes(flipped), "other": b"<html>"}[damage]
    path.write_bytes(wrong)
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte.gz is not the original"):
        MNIST(data_dir=files).prepare_data()
    assert path.read_bytes() == wrong


@pytest.mark.parametrize(
    "content",
    [idx(LABELS)[:-9], b"<html>", gzip.compress(b"<html>"), gzip.compress(b""), idx(LABELS)[:3]],
    ids=["truncated", "html", "zipped html", "zipped nothing", "start"],
)
def test_a_file_that_is_no_idx_is_named(tmp_path, content):
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"labels.gz is (damaged|not an IDX)"):
        read_idx(path)


def test_without_a_network_the_line_names_url_and_file(tmp_path):
    with pytest.raises(
        OSError, match=r"download http://127.0.0.1:9/a.gz to .*a.gz.*--data.data_dir"
    ):
        fetch("http://127.0.0.1:9/a.gz", tmp_path / "new" / "folder" / "a.gz", "md5:" + "0" * 32)
    assert not list(tmp_path.iterdir()), "no empty folder stays behind"


def test_fashion_mnist_has_files_of_its_own():
    assert set(FashionMNIST.md5) == set(MNIST.md5)
    assert not set(FashionMNIST.md5.values()) & set(MNIST.md5.values())
    assert FashionMNIST().data_dir != MNIST().data_dir


def test_hyperparameters_are_plain_and_complete(files):
    data = MNIST(data_dir=files, shift=2)
    assert data.hparams == {
        "data_dir": str(files),
        "batch_size": 128,
        "val_size": 10_000,
        "shift": 2,
        "classes": None,
        "labelled": None,
        "split_seed": 0,
        "seed": 0,
        "only": None,
        "per_class": None,
    }
