"""The results of texts: which runs they are of, how a rate is sought, and their tables."""

import argparse
import json
import math
from pathlib import Path

import pytest

import language_optimizers
import sentence_encoder
import sentences
from recipes.seeds.wanted import Wanted

DATA = Path("texts")
RATE = "model.optimizer.lr"


def values(run, *names):
    """Some of a run's flags; None where there is none."""
    given = dict(flag.removeprefix("--").split("=", 1) for flag in run.flags)
    return [given.get(name) for name in names]


def test_kim_s_sets_have_the_paper_s_splits():
    trec, sst, mr = (sentences.wanted(name, DATA) for name in ("TREC", "SST-2", "MR"))
    assert [len(runs) for runs in (trec, sst, mr)] == [3, 3, 10]
    split = ("data.path", "data.val_path", "data.test_path", "data.split", "seed_everything")
    assert values(trec[2], *split) == [
        "texts/TREC.train.all",
        None,
        "texts/TREC.test.all",
        "2",
        "2",
    ]
    files = [f"texts/stsa.binary.{part}" for part in ("train", "dev", "test")]
    assert values(sst[1], *split) == [*files, "1", "1"]
    folds = [values(run, "data.folds", "data.fold", "seed_everything") for run in mr]
    assert folds == [["10", str(fold), "0"] for fold in range(10)]
    assert values(mr[0], "data.test_path") == ["null"], "a fold is tested, not TREC's file"


def test_a_run_is_tested_by_the_checkpoint_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(Wanted, "folder", tmp_path)
    monkeypatch.setattr(Wanted, "is_finished", True)
    for run, checkpoint in (
        (sentences.wanted("CR", DATA)[0], "best.ckpt"),
        (Wanted("classify", "digits", ()), "last.ckpt"),
    ):
        path = tmp_path / "checkpoints" / checkpoint
        assert run.remaining("test") == ["test", f"--ckpt_path={path}"]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Where the numbers of both scripts are kept, and not in the checkout."""
    path = tmp_path / "found.json"
    for module in (sentences, language_optimizers, sentence_encoder):
        monkeypatch.setattr(module, "FILE", path)
    return path


def test_each_run_is_kept_at_once_and_made_once(file, monkeypatch):
    made = []

    def tested(run):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(run.name)
        return {"run": run.name, "test/accuracy": 0.9 + 0.01 * len(made)}

    monkeypatch.setattr(sentences, "tested", tested)
    with pytest.raises(KeyboardInterrupt):
        sentences.make(["TREC"], DATA)
    assert sentences.beside_paper()[1:] == [], "of a set that is not done nothing is told"
    first, made = made, []
    sentences.make(["TREC"], DATA)
    every = [f"sentences-TREC-{number}" for number in range(3)]
    assert first + made == every == [run["run"] for run in sentences.stored()["TREC"]]
    row = ["TREC", "given test set, 3 seeds", "91.3 ± 0.6", "91.2"]
    assert sentences.beside_paper()[1:] == [row]


@pytest.mark.parametrize(
    ("start", "runs"),
    [(-4, 3), (2, 9), (-7, 6)],
    ids=["at once", "from where all diverge", "from below"],
)
def test_a_rate_is_sought_until_both_neighbours_are_worse(monkeypatch, start, runs):
    asked = []

    def losses(wanted, jobs):
        exponents = [round(2 * math.log10(float(values(run, RATE)[0]))) for run in wanted]
        asked.extend(exponents)
        return [math.inf if exponent > -1 else abs(exponent + 4.1) for exponent in exponents]

    monkeypatch.setattr(language_optimizers, "losses", losses)
    found = {}
    assert language_optimizers.lowest(start, found, 1, "SGD") == -4
    assert sorted(asked) == sorted(found) == list(range(min(found), max(found) + 1))
    assert len(asked) == runs, "each rate is tried once"


def test_a_run_that_failed_is_not_taken_for_one_that_diverged(tmp_path, monkeypatch):
    monkeypatch.setattr(Wanted, "folder", tmp_path / "run")
    run = Wanted("language", "run", ())
    log = tmp_path / "run.log"
    log.write_text(
        "error: train/loss is nan: diverged at step 7 (epoch 0, batch 7); try a lower lr"
    )
    assert language_optimizers.loss(run) == math.inf
    log.write_text("Killed")
    with pytest.raises(SystemExit, match=r"run has failed: see .*run\.log"):
        language_optimizers.loss(run)


def test_what_is_compared_differs_in_one_thing():
    momentum = language_optimizers.wanted("SGD, momentum 0.9", -1, 2)
    names = ("model.optimizer", "model.optimizer.momentum", RATE, "seed_everything")
    assert values(momentum, *names) == ["SGD", "0.9", "0.316", "2"]
    decay = language_optimizers.wanted("step", -4, 0)
    names = ("model.optimizer", "trainer.callbacks.schedule", "trainer.callbacks.every", RATE)
    assert values(decay, *names) == [None, "step", "25%", "0.01"]


def test_the_table_says_which_optimizer_and_decay(file):
    assert len(language_optimizers.compared()) == 1, "nothing yet: the header alone"
    found = {"rate": 0.01, "val/loss": [2.0, 2.2, 2.1]}
    file.write_text(json.dumps({"SGD": found, "wsd": found | {"rate": 0.00316}}))
    assert language_optimizers.compared()[1:] == [
        ["SGD", "cosine", "0.01", "2.100 ± 0.100"],
        ["Adam", "wsd", "0.00316", "2.100 ± 0.100"],
    ]


def test_an_encoder_s_rate_is_chosen_on_validation_texts_alone(file):
    given = argparse.Namespace(data=DATA, model=Path("minilm"))
    fold = sentence_encoder.tuned("full", 0.001, "CR", 7, given)
    names = ("data.fold", "data.test_path", "data.path", "model.network.outputs")
    assert values(fold, *names) == ["7", "null", "texts/custrev.all", "2"]
    run = sentence_encoder.tuned("LoRA", 0.003, "TREC", 2, given)
    assert run.evaluated == "best"
    names = ("data.split", "seed_everything", "data.test_path", "model.network.network.path")
    assert values(run, *names) == ["2", "2", "texts/TREC.test.all", "minilm"]
    key = "full, TREC, validation, rate {}"
    found = {key.format(rate): {"val/accuracy": 0.9} for rate in (0.0001, 0.001)}
    found |= {f"full, TREC, rate {rate}, 0": {"test/accuracy": 0.95} for rate in (0.0003, 0.001)}
    file.write_text(json.dumps(found))
    assert sentence_encoder.chosen("full") is None, "a rate is still to be tried"
    found |= {
        key.format(0.0003): {"val/accuracy": 0.91},
        "full, TREC, rate 0.0003, 1": {"test/accuracy": 0.97},
    }
    file.write_text(json.dumps(found))
    assert sentence_encoder.chosen("full") == 0.0003
    rows = {row[0]: row[1:] for row in sentence_encoder.beside_paper()}
    assert rows["MiniLM, full"] == ["96.0 ± 1.4 (2 of 3)", "", "0.0003"]
    assert rows["MiniLM, LoRA"] == ["", "", ""]
