"""Damaged files are named and kept, and what needs them not goes on; so it is on a full disk."""

import json
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from marks import some
from recipes.parts.files import append_line, keep, replace_file, replacing
from recipes.running.files import AtomicCheckpointIO
from recipes.running.folders import read_facts
from recipes.running.restart import unfinished
from trains import rows

MLP = ("--model.network=MLP", "--model.network.inputs=64", "--model.network.widths=[16]")
RUN = Path("runs/classify/a")
RESUME = ("classify", "fit", f"--ckpt_path={RUN}/checkpoints/last.ckpt", "--trainer.max_epochs=2")
DAMAGE = {
    "empty": b"",
    "cut": b'{"recipe": "classify", "comm',
    "binary": b"\xff\x00\xfe",
    "a list": b"[1, 2]",
    "text": b"nonsense",
    "deep": b"[" * 100_000,
}
OF_A_KIND = {
    "settings": b'{"settings": []}',
    "process": b'{"process": {"id": "abc", "host": "b"}}',
    "continued": b'{"continued": 3}',
    "command": b'{"command": ["fit"]}',
    "in continued": b'{"continued": [{"process": {"id": [1]}}]}',
}


@pytest.fixture
def run(recipe):
    recipe("classify", "fit", "--name=a", "--trainer.max_epochs=1", *MLP)
    return RUN


@pytest.mark.parametrize("content", some([*DAMAGE.values(), *OF_A_KIND.values()], 1))
def test_a_damaged_run_json_is_named_and_kept_and_the_run_goes_on(run, recipe, content):
    before = rows(run)
    (run / "run.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"run.json is damaged: .+: the run goes on without it"):
        recipe("classify", "validate", f"--ckpt_path={run}/checkpoints/last.ckpt")
    assert (run / "run.json").read_bytes() == content
    kept = pytest.warns(UserWarning, match=r"the damaged run.json is kept as .*\.bak")
    with kept, pytest.warns(UserWarning, match="goes on without it"):
        recipe(*RESUME)
    (kept,) = run.glob("run.json.*.bak")
    assert kept.read_bytes() == content
    assert rows(run)[: len(before)] == before and len(rows(run)) > len(before)
    facts = read_facts(run)
    assert facts["finished"] and facts["recipe"] == "classify" and facts["wandb_id"]
    assert facts["settings"]["trainer.max_epochs"] == 2


@pytest.mark.parametrize("content", some(DAMAGE.values(), 1))
def test_a_damaged_config_is_named_and_nothing_is_changed(run, recipe, content):
    (run / "config.yaml").write_bytes(content)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"runs/classify/a/config.yaml is damaged: .+"):
        recipe(*RESUME)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    recipe(*RESUME, "--config=digits", "--name=b", *MLP)  # which does not need it


@pytest.mark.parametrize(
    "content", some([b'{"val/loss": 1}', b'{"step": "x"}', b"3", b"null", *DAMAGE.values()], 2)
)
def test_damaged_rows_are_named_and_kept_and_the_others_stay(run, recipe, content):
    before = rows(run)
    path = run / "metrics.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    damaged = first + content + b"\n" + b"".join(others) + b'{"step": 3'  # and cut off by a kill
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match=r"a/metrics.jsonl, line 2 is damaged") as said:
        recipe(*RESUME)
    assert len([each for each in said if "is damaged" in str(each.message)]) == 1
    (kept,) = run.glob("metrics.jsonl.*.bak")
    assert kept.read_bytes() == damaged
    assert rows(run)[: len(before)] == before and len(rows(run)) > len(before)


def test_a_damaged_run_is_passed_over_by_a_job_that_starts_again(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    facts = {"job": "torchrun mine", "command": "fit"}
    for name, text in (("mine", json.dumps(facts)), ("other", "{"), ("old", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    with pytest.warns(UserWarning, match=r"other/run.json is damaged"):
        assert unfinished(tmp_path, "fit") == (tmp_path / "mine", None)


def test_no_copy_that_is_kept_replaces_another(tmp_path):
    path = tmp_path / "a.txt"
    copies = []
    for number in range(3):
        path.write_text(str(number))
        copies.append(keep(path))
    assert [copy.read_text() for copy in copies] == ["0", "1", "2"]


def test_a_row_behind_one_that_was_cut_off_is_a_line_of_its_own(tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text('{"a": 1}\n{"a"')
    append_line(path, "{}")
    append_line(path, "{}")
    assert path.read_text() == '{"a": 1}\n{"a"\n{}\n{}\n'


# A full disk


@contextmanager
def full_after(size):
    """No file grows beyond a size, bytes; the system's error is as that of a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def save_array(path):
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, np.zeros(10_000))


WRITERS = {
    "text": lambda path: replace_file(path, "a" * 10_000),
    "a checkpoint": lambda path: AtomicCheckpointIO().save_checkpoint(
        {"weights": torch.zeros(10_000)}, path
    ),
    "an array": save_array,
    "a row": lambda path: append_line(path, "a" * 10_000),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("before", [None, "before\n"])
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, write, before):
    path = tmp_path / "kept"
    if before:
        path.write_text(before)
    with full_after(5_000), pytest.raises(OSError, match=str(path)):
        write(path)
    assert [found.name for found in tmp_path.iterdir() if found.stat().st_size] == (
        ["kept"] if before else []
    )
    assert not before or path.read_text() == before


def test_a_run_on_a_full_disk_keeps_its_checkpoints(run, recipe):
    before = {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    assert sorted(path.name for path in before) == ["best.ckpt", "last.ckpt"]
    size = min(map(len, before.values()))
    with full_after(size // 2), pytest.raises(OSError, match=r"(best|last)\.ckpt"):
        recipe(*RESUME)
    assert {path: path.read_bytes() for path in (run / "checkpoints").iterdir()} == before
    recipe(*RESUME)


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (RuntimeError("other"), FileNotFoundError(2, "no such file", "data.csv")):
        with pytest.raises(type(error), match=r"other|data\.csv"), replacing(tmp_path / "a"):
            raise error
