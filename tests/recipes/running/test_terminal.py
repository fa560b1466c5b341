"""What a newcomer sees: sizes, one metric, and the outcome as the last line; nothing else."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import ModelSummary, RichProgressBar, TQDMProgressBar
from torch import nn

from marks import slow
from recipes.parts.networks import MLP, Frozen
from recipes.running.terminal import Networks, Progress, outcome, shown

SHORT = ("--trainer.max_epochs=2", "--trainer.limit_train_batches=4")


@pytest.fixture
def printed(recipe, capfd):
    def lines(*args):
        recipe(*args)
        captured = capfd.readouterr()
        return [line.strip() for line in captured.out.splitlines() if line.strip()], captured.err

    return lines


def test_the_outcome_is_the_last_line_and_nothing_is_advertised(printed):
    lines, errors = printed("distill", "fit", *SHORT)
    assert lines[0] == "run folder: runs/distill/digits-1"
    assert re.fullmatch(r"run folder: runs/distill/digits-1 \(fit took \d+ s\)", lines[-2])
    percent = r"[\d.]+ %"
    assert re.fullmatch(
        rf"validation accuracy: teacher {percent}, student {percent}, student alone {percent}: "
        r"gain [+-][\d.]+ points; best: val/accuracy [\d.]+ in epoch \d+, best.ckpt",
        lines[-1],
    )
    assert not re.search("FLOP|Tip|Seed set|[GT]PU|v_num", "".join(lines) + errors)


def test_sizes_are_exact_and_of_a_teacher_that_is_not_trained_too(capsys):
    module = nn.Module()
    module.student, module.teacher, module.loss = MLP(4, [3]), Frozen(MLP(4, [5])), nn.Identity()
    Networks().on_fit_start(SimpleNamespace(is_global_zero=True), module)
    rows = [re.findall(r"[\w,]+", line) for line in capsys.readouterr().out.splitlines()]
    assert ["student", "MLP", "55", "55"] in rows and ["teacher", "MLP", "85", "0"] in rows
    assert not any("loss" in row for row in rows)


def test_the_bar_shows_the_one_metric_that_matters():
    metrics = {"val/loss": torch.tensor(0.3), "val/accuracy": torch.tensor(0.5)}
    state = SimpleNamespace(fn="fit")
    trainer = SimpleNamespace(
        progress_bar_metrics={"loss": 2.0, "val/loss": 0.3}, callback_metrics=metrics
    )
    trainer.state, trainer.sanity_checking = state, False
    bar = Progress()
    assert bar.get_metrics(trainer, None) == {"loss": 2.0}, "before the first validation"
    bar.on_validation_end(trainer, None)
    assert bar.get_metrics(trainer, None) == {"val/accuracy": 0.5}


def test_a_recipe_without_a_summary_ends_with_its_main_metric():
    metrics = {"val/loss": torch.tensor(0.25), "train/loss": torch.tensor(1.0)}
    assert outcome(nn.Module(), metrics) == "validation: loss 0.25"
    assert outcome(nn.Module(), {"train/loss": torch.tensor(1.0)}) == ""


def test_the_users_own_bar_and_summary_stay(printed):
    def kinds(*arguments):
        return [type(callback) for callback in shown(*arguments)]

    assert kinds([], True, True) == [Progress, Networks]
    assert kinds([ModelSummary(), TQDMProgressBar()], True, True) == []
    assert kinds([], False, False) == []
    lines, _ = printed("classify", "fit", *SHORT, "--trainer.enable_model_summary=false")
    assert not any("ConvNet" in line for line in lines)


def test_early_stopping_says_why(recipe, capsys):
    stop = "{class_path: EarlyStopping, init_args: {monitor: val/rmse, patience: 2, min_delta: 99}}"
    flags = ("--trainer.max_epochs=9", "--trainer.enable_model_summary=false", "--name=a")
    recipe("regress", "fit", *flags, f"--trainer.callbacks=[{stop}]")
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.search(r"stopped early, after epoch 2: .*val/rmse did not improve .* 2 rec", last)
    assert "Signaling" not in last and last.count("stopped early") == 1
    recipe("regress", "fit", *flags[:2], f"--trainer.callbacks=[{stop}]", "--trainer.max_epochs=1")
    assert "stopped early" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["regress", slow("classify"), slow("two")])
def test_an_evaluation_without_known_targets_says_so(name, printed):
    """It ended with RMSE nan, or accuracy nan, and nothing else."""
    parts = ["train"] * 20 + ["val"] * 10 + ["test"] * 10
    rows = (
        f"{i},{i % 3},{part},{'ab'[i % 2] if part == 'train' else ''}"
        for i, part in enumerate(parts)
    )
    Path("own.csv").write_text("\n".join(["a,z,part,y", *rows]))
    data = ["--data=Tabular", "--data.path=own.csv", "--data.split_column=part"]
    data += ["--data.missing=mean", "--data.batch_size=5", "--data.target=y"]
    if name == "classify":
        data += ["--model.network=MLP", "--model.network.widths=[3]"]
    else:
        text = Path("own.csv").read_text()
        Path("own.csv").write_text(text.replace(",a", ",1").replace(",b", ",2"))
    if name == "two":
        lines = [
            f"{line},{line.rpartition(',')[2]}" for line in Path("own.csv").read_text().split()
        ]
        lines[0] = "a,z,part,y,x"
        Path("own.csv").write_text("\n".join(lines))
        data[-1] = "--data.target=[y,x]"
    recipe = "classify" if name == "classify" else "regress"
    said = "no target is known, so no metric is a number; give it labelled rows, see --data"
    lines, _ = printed(recipe, "fit", "--trainer.max_epochs=1", "--name=a", *data)
    assert lines[-1] == f"validation: {said}"
    checkpoint = f"--ckpt_path=runs/{recipe}/a/checkpoints/last.ckpt"
    assert printed(recipe, "test", checkpoint)[0][-1] == f"test: {said}"
    assert printed(recipe, "validate", checkpoint)[0][-1] == f"validation: {said}"


@pytest.mark.parametrize(("epochs", "said"), [(-1, "Epoch 3"), (5, "Epoch 3/4")])
def test_the_bar_counts_epochs_to_no_end_where_steps_alone_are_given(epochs, said):
    bar = Progress()
    bar._trainer = SimpleNamespace(max_epochs=epochs)
    assert bar._get_train_description(3).strip() == said


def test_the_bar_moves_as_often_as_a_person_sees_and_at_the_last_batch(monkeypatch):
    """Of an epoch, or of a run that ends within one."""
    now, moved = [0.0], []
    monkeypatch.setattr("recipes.running.terminal.time.monotonic", lambda: now[0])
    monkeypatch.setattr(RichProgressBar, "on_train_batch_end", lambda *args: moved.append(args[-1]))
    bar = Progress()
    trainer = SimpleNamespace(num_training_batches=10, global_step=0, max_steps=18)
    for step in range(18):
        now[0] += 0.02
        trainer.global_step = step + 1
        bar.on_train_batch_end(trainer, None, None, None, step % 10)
    assert moved == [2, 5, 8, 9, 2, 5, 7]
