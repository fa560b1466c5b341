"""Fine-tuning with few labels: what is chosen by which data, and the table."""

import json
from pathlib import Path

import pytest

import finetune
from finetune import CHOOSING, METHODS, RATES, SEEDS, START, TASKS
from recipes.seeds.wanted import Wanted

DIGITS, FASHION = TASKS["digits"], TASKS["fashion"]


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """The runs that were made, with their subcommands; validation likes a rate of 0.03 best."""
    done = []

    def finish(run, *subcommands):
        done.append((run.name, subcommands))

    def final(folder):
        rate = float(folder.name.split("-")[-2])
        seed = int(folder.name.split("-s")[-1])
        start = finetune.START.replace(" ", "_") in folder.name
        accuracy = 0.9 - abs(rate - 0.03) - 0.01 * seed - 0.1 * start
        return {"val/accuracy": accuracy, "test/accuracy": accuracy}

    monkeypatch.setattr(Wanted, "folder", property(lambda run: Path(run.name)))
    monkeypatch.setattr(finetune, "FILE", tmp_path / "found.json")
    monkeypatch.setattr(finetune, "finish", finish)
    monkeypatch.setattr(finetune, "final", final)
    return done


def test_test_data_are_used_by_the_rate_that_validation_chose_alone(trained):
    finetune.make(FASHION, "LoRA", 10)
    tested = [name for name, subcommands in trained if "test" in subcommands]
    assert tested == [f"fashion-finetune-LoRA-10-0.03-s{seed}" for seed in SEEDS]
    tried = [name for name, subcommands in trained if "pretrain" not in name]
    assert len(tried) == len(RATES) * len(CHOOSING) + len(SEEDS)
    assert not {f"s{seed}" for seed in CHOOSING} & {name.split("-")[-1] for name in tested}
    before = len(trained)
    finetune.make(FASHION, "LoRA", 10)
    assert len(trained) == before, "what is kept is not made again"


def test_all_but_the_start_have_the_weights_of_their_own_seed(trained):
    for task in (DIGITS, FASHION):
        for method in METHODS:
            flags = task.wanted(method, 20, 0.01, 3).flags
            weights = [flag for flag in flags if flag.startswith("--model.weights=")]
            own = f"--model.weights=runs/classify/{task.name}pretrain-s3/network.pt"
            assert weights == ([] if method == START else [own])
    data = "--data.data_dir=data/fashion-mnist"
    assert data in FASHION.wanted("full", 10, 0.01, 0).flags
    assert "--data.data_dir=data/mnist" in FASHION.base(0).flags


def test_the_table_has_what_is_whole(trained):
    for method in (START, "full"):
        finetune.make(DIGITS, method, 10)
    assert finetune.chosen(DIGITS, "full", 20) is None
    assert finetune.compared()[1:] == [
        ["digits", START, "78.0 ± 1.6", "", "", "0.03, , "],
        ["digits", "full", "88.0 ± 1.6 (+10.0 ± 0.0)", "", "", "0.03, , "],
    ]
    found = json.loads(finetune.FILE.read_text())
    del found[DIGITS.wanted("full", 10, 0.03, 4).name]
    finetune.FILE.write_text(json.dumps(found))
    assert len(finetune.compared()) == 2, "of seeds that are not all there nothing"
