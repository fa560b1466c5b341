"""A study in W&B: its table and picture, and a run for each optimizer."""

from collections.abc import Sequence
from pathlib import Path

import wandb
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger

from recipes.parts.keys import wandb_definition
from recipes.study.record import Record
from recipes.study.selection import Choice, by_optimizer
from recipes.study.table import Row


def log_to_wandb(
    trainer: Trainer,
    folder: Path,
    records: Sequence[Record],
    choices: Sequence[Choice],
    rows: Sequence[Row],
) -> None:
    """Logs table and picture to the study's own W&B run, and a run for each optimizer.

    Args:
        trainer: has the WandbLogger; without one nothing is done
        folder: of the study's run; holds the picture
        records: all rounds
        choices: the best settings
        rows: of the table, one for each optimizer
    """
    logger = next((log for log in trainer.loggers if isinstance(log, WandbLogger)), None)
    if logger is None or logger.experiment.disabled:
        return
    main = logger.experiment
    cells = [[str(value) for value in row.values()] for row in rows]
    picture = wandb.Image(str(folder / "study.png"))
    main.log({"study": picture, "table": wandb.Table(columns=list(rows[0]), data=cells)})
    for chosen, row in zip(by_optimizer(choices).values(), rows, strict=True):
        run = open_run(main, folder, trainer.global_step, chosen)
        # Splits may have chosen trials of several rounds; the curves are of one.
        first = chosen[0].record
        ids = [i for choice in chosen if choice.record == first for i in choice.ids]
        log_curves(run, records[first], ids)
        run.summary.update({f"table/{key}": value for key, value in row.items() if value != ""})
        run.finish()


def open_run(main: wandb.Run, folder: Path, step: int, chosen: Sequence[Choice]) -> wandb.Run:
    """Opens one optimizer's W&B run, in the study's group.

    Args:
        main: the study's own W&B run
        folder: of the study's run, whose name is that of the group
        step: at which the fit ended; one that was resumed to train on has runs of its own
        chosen: the optimizer's settings
    """
    study, optimizer = folder.name, chosen[0].trial.optimizer
    return wandb.init(
        project=main.project,
        entity=main.entity or None,
        group=f"study/{study}",
        job_type=optimizer,
        name=f"{study}/{optimizer}",
        id=f"{main.id}-{step}-{''.join(filter(str.isalnum, optimizer))}",
        tags=["study", "optimizer"],
        dir=str(folder),
        config={
            **main.config,
            "run.study": study,
            "run.choices": [vars(choice.trial) for choice in chosen],
        },
        settings=wandb.Settings(
            silent=True, console="off", mode="offline" if main.offline else "online"
        ),
        reinit="create_new",
        resume="allow",
    )


def log_curves(run: wandb.Run, record: Record, ids: Sequence[int]) -> None:
    """Logs mean and standard deviation of some members' series, row by row.

    Args:
        run: of one optimizer
        record: of the members' round
        ids: the members' numbers in it
    """
    for name in record.series:
        run.define_metric(**wandb_definition(name))
    for number, epoch in enumerate(record.epochs):
        values: dict[str, float] = {"epoch": epoch}
        for name, series in record.series.items():
            values[name] = float(series[number][ids].mean())
            if len(ids) > 1:
                values[f"{name}_std"] = float(series[number][ids].std())
        run.log(values, step=number)
