"""Reports a study: writes its files, draws and prints it, and logs it to W&B."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning.pytorch import Trainer

from recipes.parts.files import replace_file, write_rows
from recipes.study.files import chosen_rows, member_rows, write_history
from recipes.study.picture import draw
from recipes.study.rounds import Rounds
from recipes.study.selection import Key, by_optimizer
from recipes.study.table import Row, at_the_edge, fit_table, markdown, test_means, test_table
from recipes.study.wandb_runs import log_to_wandb


def report_fit(
    trainer: Trainer,
    rounds: Rounds,
    train: Mapping[Key, Mapping[str, float]],
    target: float | None,
) -> None:
    """Reports a fit that has ended; to be called on the process that writes.

    Args:
        trainer: names the run's folder and has the loggers
        rounds: that were trained
        train: metrics of the chosen members on their training rows; lost ones have none
        target: value of the metric that members are to reach, or None
    """
    records, metric, choices = rounds.records, rounds.selection.metric, rounds.choices()
    if not records[-1].epochs:
        print("nothing to compare: no epoch has ended with an evaluation", flush=True)
        return
    if all(record.lost.all() for record in records):
        raise FloatingPointError(
            "every member has diverged: give --model.search.learning_rate lower rates"
        )
    folder = Path(trainer.default_root_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rows = fit_table(records, choices, train, metric, target)
    write_rows(folder / "members.csv", member_rows(records))
    write_rows(folder / "chosen.csv", chosen_rows(choices))
    write_history(folder / "history.npz", records)
    replace_file(folder / "table.md", markdown(rows))
    draw(folder / "study.png", records, by_optimizer(choices), metric, target)
    log_to_wandb(trainer, folder, records, choices, rows)
    print(markdown(rows), end="", flush=True)
    if edge := at_the_edge(records, choices):
        print(f"chosen at the edge of the rates that were tried: {', '.join(edge)}", flush=True)


def report_test(trainer: Trainer, rows: Sequence[Row]) -> dict[str, float]:
    """Reports a test: writes test.csv and test.md, and prints the latter.

    Args:
        trainer: names the run's folder
        rows: metrics of each chosen member, and of each ensemble, of one optimizer and split

    Returns:
        the means over splits and seeds, by log key
    """
    text = markdown(test_table(rows))
    if not trainer.fast_dev_run:
        folder = Path(trainer.default_root_dir)
        write_rows(folder / "test.csv", rows)
        replace_file(folder / "test.md", text)
    print(text, end="", flush=True)
    return test_means(rows)
