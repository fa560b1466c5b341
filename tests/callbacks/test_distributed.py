"""Callbacks on two processes: what one process does, with replicated and with sharded weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from forks import Forked, ended_well, ranks
from launches import ROOT
from recipes.running.cli import main
from stepped.module import Automatic
from trains import rows

PATHS = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests/support")))}

CALLBACKS = [
    {"class_path": "LRDecay", "init_args": {"schedule": "wsd", "warmup": "5%"}},
    {
        "class_path": "LossDrivenLR",
        "init_args": {
            "monitor": "loss",
            "interval": "batch",
            "small": 4.0,
            "patience": 5,
            "multiply": True,
        },
    },
    {"class_path": "OptimizerStats", "init_args": {"every": 5}},
    {"class_path": "EMA", "init_args": {"module": "one", "half_life": "320im"}},
    {"class_path": "L1", "init_args": {"strength": 0.01}},
    {"class_path": "Prune", "init_args": {"final": 0.5, "module": "two"}},
    {"class_path": "Export", "init_args": {"module": "one"}},
]


def process(*command):
    done = subprocess.run(
        [sys.executable, *command], env={**os.environ, **PATHS}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def assert_close(one, two):
    assert len(one) == len(two)
    for expected, found in zip(one, two, strict=True):
        shared = {key for key in expected if not key.startswith("train/")}  # the process's own
        assert expected.keys() == found.keys()
        for key in shared:
            assert found[key] == pytest.approx(expected[key], rel=1e-3, abs=1e-5), key
        rates = {key: value for key, value in expected.items() if key.startswith("lr/")}
        assert rates == {key: found[key] for key in rates}, "bit by bit"


@pytest.mark.slow
def test_replicated_weights(monkeypatch):
    """Batches of 64 on one process, and of 32 on each of two."""
    monkeypatch.setenv("RECIPES_DEBUG", "1")
    Path("callbacks.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": CALLBACKS}}))
    flags = ["--config=digits", "--config=callbacks.yaml", "--model.one.dropout=0"]
    flags += ["--trainer.max_epochs=2", "--trainer.val_check_interval=6"]
    main(Automatic, ["fit", "--name=one", *flags])
    two = ["--data.batch_size=32", "--trainer.devices=2", "--trainer.strategy=ddp"]
    process("-m", "stepped", "fit", "--name=two", *flags, *two)
    folders = [Path("runs/stepped", name) for name in ("one", "two")]
    assert_close(*[rows(folder) for folder in folders])
    one, two = (torch.load(folder / "one.pt", weights_only=True) for folder in folders)
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_sharded_weights(tmp_path):
    """FSDP2 on two processes trains what one does, and resumes bit-identically.

    With every callback whose arithmetic touches weights or gradients.
    """
    script = str(ROOT / "tests/support/sharded.py")
    found = []
    for name, arguments in {"1": ["1"], "2": ["2"], "cut": ["2", "interrupted"]}.items():
        folder = tmp_path / name
        folder.mkdir()
        given = (script, arguments[0], str(folder), *arguments[1:])
        ended_well(*(ranks(2, *given) if arguments[0] == "2" else [Forked(*given)]))
        weights = torch.load(folder / "network.pt", weights_only=True)
        kept = json.loads((folder / "rows.json").read_text())
        assert any("throughput/samples_per_second" in row for row in kept)
        kept = [{k: v for k, v in row.items() if "throughput" not in k} for row in kept]
        found.append(([row for row in kept if row.keys() - {"step", "epoch"}], weights))
    (one, average), (two, sharded), (resumed, again) = found
    assert_close(one, two)
    assert min(row["lr/AdamW"] for row in one[:10] if "lr/AdamW" in row) < 0.01, "it was steered"
    assert [key for row in two for key in row if key.endswith("gradient_norm/network.2.weight")]
    for key, value in average.items():
        torch.testing.assert_close(sharded[key], value, rtol=1e-4, atol=1e-6)
    clipped = [row["optimizer/AdamW/clipped"] for row in one if "optimizer/AdamW/clipped" in row]
    assert 0 < sum(clipped) < len(clipped), "some steps were clipped, and some were not"
    weights = [average[f"{i}.weight"] for i in (0, 2)]
    assert max(row["sparsity"] for row in two if "sparsity" in row) == pytest.approx(0.3)
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    assert zeros >= round(0.3 * sum(weight.numel() for weight in weights))
    units = torch.cat([weight.norm(dim=1) for weight in weights])
    assert units.max() < 0.5 + 1e-6
    assert (units > 0.49).sum() > 5, "the bound bites"
    assert resumed == two
    assert all(torch.equal(again[key], value) for key, value in sharded.items())
