"""What a study leaves: a table, the members and their history as files, a picture, W&B runs."""

import csv
import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import wandb
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger

from recipes.parts.files import replace_file, replacing
from recipes.parts.keys import wandb_definition
from recipes.study.metrics import metrics, sums
from recipes.study.picture import draw
from recipes.study.record import Choice, Record, choose

if TYPE_CHECKING:
    from recipes.study.module import Study

Row = dict[str, Any]


def mean_std(values: Sequence[float], digits: int = 4) -> str:
    """For example "3.055 ± 0.24": mean and standard deviation (n - 1), as significant digits."""
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.{digits}g}"
    equal = len(values) < 2 or statistics.stdev(values) < 1e-9 * abs(statistics.fmean(values))
    return mean if equal else f"{mean} ± {statistics.stdev(values):.2g}"


def markdown(rows: Sequence[Row]) -> str:
    """A table of rows that have the same keys; a column without any value is left out."""
    keys = [key for key in rows[0] if any(row[key] != "" for row in rows)]
    lines = [keys, ["---"] * len(keys), *([str(row[key]) for key in keys] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes rows as CSV, at once; their keys may differ."""
    text = io.StringIO()
    keys = list({key: None for row in rows for key in row})
    writer = csv.DictWriter(text, keys, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue())


def by_optimizer(choices: Sequence[Choice]) -> dict[str, list[Choice]]:
    """The choices of each optimizer: one, or one for each split."""
    found: dict[str, list[Choice]] = {}
    for choice in choices:
        found.setdefault(choice.trial.optimizer, []).append(choice)
    return found


def spread(values: Sequence[float | None]) -> str:
    """For example "0.01", or "0.001 to 0.1, median 0.01" where splits have chosen differently."""
    numbers = sorted(value for value in values if value is not None)
    if not numbers:
        return ""
    low, high = f"{numbers[0]:.3g}", f"{numbers[-1]:.3g}"
    middle = f"{statistics.median(numbers):.3g}"
    return low if low == high else f"{low} to {high}, median {middle}"


def last(records: Sequence[Record], choices: Sequence[Choice], name: str) -> list[float]:
    """A series' latest values of the chosen members."""
    return [records[c.record].latest(name, i) for c in choices for i in c.ids]


def until(
    records: Sequence[Record], choices: Sequence[Choice], name: str, metric: str, target: float
) -> str:
    """What it took the chosen members to reach the target: mean ± std, and how many did not."""
    found, members = [], 0
    for choice in choices:
        record = records[choice.record]
        reached = record.reached(metric, target)[list(choice.ids)].tolist()
        members += len(reached)
        for i, row in zip(choice.ids, reached, strict=True):
            if row >= 0:
                series = record.epochs if name == "epochs" else record.series[name]
                found.append(float(series[row] if name == "epochs" else series[row][i]))
    missed = members - len(found)
    return (mean_std(found, 3) + (f" ({missed} of {members} never)" if missed else "")).strip()


def table(study: "Study", choices: Sequence[Choice], train: dict[Choice, list[float]]) -> list[Row]:
    """A row for each optimizer: its choice, its metrics, what it cost, how often it diverged."""
    rows, metric, records = [], study.metric, study.records
    scored = records[-1].decides(metric)
    diverged = [
        (member.trial.optimizer, lost)
        for record in records
        for member, lost in zip(record.members, record.diverged.tolist(), strict=True)
    ]
    for optimizer, chosen in by_optimizer(choices).items():
        of = [lost for other, lost in diverged if other == optimizer]
        row: Row = {
            "optimizer": optimizer,
            "network": ", ".join(dict.fromkeys(c.trial.network for c in chosen)),
            "schedule": ", ".join(dict.fromkeys(c.trial.schedule for c in chosen)),
            "learning rate": spread([c.trial.learning_rate for c in chosen]),
            "weight decay": spread([c.trial.weight_decay for c in chosen]),
            f"train {metric}": mean_std([v for c in chosen for v in train[c]]),
            scored.replace("/", " "): mean_std(last(records, chosen, scored)),
            "evaluations": mean_std(last(records, chosen, "evaluations"), 6),
            "seconds": mean_std(last(records, chosen, "seconds"), 3),
        }
        for name in ("epochs", "evaluations", "seconds") if study.target is not None else ():
            reached = until(records, chosen, name, metric, study.target)
            row[f"{name} to {study.target:g}"] = reached
        row["diverged"] = f"{sum(of)} of {len(of)}"
        rows.append(row)
    return rows


@torch.no_grad()
def train_metric(study: "Study", choices: Sequence[Choice]) -> dict[Choice, list[float]]:
    """The metric of the chosen members on the rows that they were trained on."""
    found: dict[Choice, list[float]] = {choice: [] for choice in choices}
    best = study.best()
    for choice in choices:
        for i in choice.ids:
            if (choice.record, i) not in best:  # lost
                continue
            member = study.records[choice.record].members[i]
            split = study.trainer.datamodule.splits(member.split)
            network = study.networks[member.trial.network].eval()
            weights = best[choice.record, i][0].to(study.device).unsqueeze(0)
            rows = split.train.to(weights.dtype)
            inputs, targets = (t.to(study.device).unsqueeze(0) for t in (rows.inputs, rows.targets))
            total = sums(study.loss, network(weights, inputs), targets)
            unit = torch.tensor([split.target_std], device=study.device)
            values = metrics(total, unit, study.loss.needs_noise)
            found[choice].append(values[study.metric].item())
    return found


def at_the_edge(records: Sequence[Record], choices: Sequence[Choice]) -> list[str]:
    """The optimizers whose chosen rate is the lowest or the highest of three or more tried."""
    tried: dict[str, set[float]] = {}
    for record in records:
        for member in record.members:
            tried.setdefault(member.trial.optimizer, set()).add(member.trial.learning_rate)
    found = [
        c.trial.optimizer
        for c in choices
        if len(rates := tried[c.trial.optimizer]) > 2
        and c.trial.learning_rate in (min(rates), max(rates))
    ]
    return list(dict.fromkeys(found))


def member_rows(records: Sequence[Record]) -> list[Row]:
    """Every member's settings and latest values."""
    rows = []
    for number, record in enumerate(records):
        trained = torch.stack(record.series["train/loss"]).isfinite().sum(0).tolist()
        epochs, diverged = [0.0, *record.epochs], record.diverged.int().tolist()
        latest = {name: series[-1].tolist() for name, series in record.series.items()}
        for i, member in enumerate(record.members):
            row: Row = {"round": number, "member": i, **vars(member.trial)}
            row |= {"split": member.split, "seed": member.seed}
            row |= {"diverged": diverged[i], "epochs": epochs[trained[i]]}
            rows.append(row | {name: values[i] for name, values in latest.items()})
    return rows


def report_fit(study: "Study") -> None:
    """Writes the files, draws the picture, and prints the table.

    Args:
        study: whose fit has ended, on the process that writes
    """
    folder, records = Path(study.trainer.default_root_dir), study.records
    if not records[-1].epochs:
        print("nothing to compare: no epoch has ended with an evaluation", flush=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    choices = choose(records, study.metric, study.per_split)
    rows = table(study, choices, train_metric(study, choices))
    write_rows(folder / "members.csv", member_rows(records))
    chosen = [
        {**vars(c.trial), "split": "" if c.split is None else c.split, "score": c.score}
        for c in choices
    ]
    write_rows(folder / "chosen.csv", chosen)
    history = {
        f"{number}/{name}": torch.stack(values).numpy()
        for number, record in enumerate(records)
        for name, values in record.series.items()
    }
    history |= {f"{n}/epochs": np.array(record.epochs) for n, record in enumerate(records)}
    with replacing(folder / "history.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **history)
    replace_file(folder / "table.md", markdown(rows))
    draw(folder / "study.png", records, by_optimizer(choices), study.metric, study.target)
    log_to_wandb(study.trainer, folder, records, choices, rows)
    print(markdown(rows), end="", flush=True)
    if edge := at_the_edge(records, choices):
        print(f"chosen at the edge of the rates that were tried: {', '.join(edge)}", flush=True)


def report_test(study: "Study", rows: Sequence[Row]) -> dict[str, float]:
    """Writes test.csv and test.md, and prints the latter.

    Args:
        study: that was tested
        rows: metrics of each chosen member, and of each ensemble, of one optimizer and split

    Returns:
        the means over splits and seeds, to be logged
    """
    folder = Path(study.trainer.default_root_dir)
    if not study.trainer.fast_dev_run:
        write_rows(folder / "test.csv", rows)
    lines, logged = [], {}
    for optimizer in dict.fromkeys(row["optimizer"] for row in rows):
        line: Row = {"optimizer": optimizer}
        for name in ("rmse", "mae", "nll"):
            for kind in ("", "ensemble"):
                values = [
                    row[name]
                    for row in rows
                    if row["optimizer"] == optimizer
                    and name in row
                    and (row["seed"] == "ensemble") == bool(kind)
                ]
                line[f"test {name} {kind}".strip()] = mean_std(values)
                if values:
                    key = f"test/{kind and kind + '_'}{name}/{optimizer}"
                    logged[key] = statistics.fmean(values)
        lines.append(line)
    if not study.trainer.fast_dev_run:
        replace_file(folder / "test.md", markdown(lines))
    print(markdown(lines), end="", flush=True)
    return logged


def log_to_wandb(
    trainer: Trainer,
    folder: Path,
    records: Sequence[Record],
    choices: Sequence[Choice],
    rows: Sequence[Row],
) -> None:
    """The table and the picture to the study's own W&B run, and a run for each optimizer.

    Args:
        trainer: whose WandbLogger says where to
        folder: of the study's run
        records: all rounds
        choices: the best settings
        rows: of the table, one an optimizer
    """
    logger = next((log for log in trainer.loggers if isinstance(log, WandbLogger)), None)
    if logger is None or logger.experiment.disabled:
        return
    main = logger.experiment
    cells = [[str(value) for value in row.values()] for row in rows]
    picture = wandb.Image(str(folder / "study.png"))
    main.log({"study": picture, "table": wandb.Table(columns=list(rows[0]), data=cells)})
    for chosen, row in zip(by_optimizer(choices).values(), rows, strict=True):
        log_optimizer(main, folder, trainer.global_step, records, chosen, row)


def log_optimizer(
    main: wandb.Run,
    folder: Path,
    step: int,
    records: Sequence[Record],
    chosen: Sequence[Choice],
    row: Row,
) -> None:
    """One optimizer's W&B run, in the study's group: curves of its choice, mean and std of members.

    Args:
        main: the study's own W&B run
        folder: of the study's run, whose name is that of the group
        step: at which the fit ended; one that was resumed to train on has runs of its own
        records: all rounds
        chosen: the optimizer's settings
        row: of the table
    """
    study, optimizer = folder.name, chosen[0].trial.optimizer
    run = wandb.init(
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
    record = records[chosen[0].record]
    for name in record.series:
        run.define_metric(**wandb_definition(name))
    ids = [i for c in chosen if c.record == chosen[0].record for i in c.ids]
    for number, epoch in enumerate(record.epochs):
        values: dict[str, float] = {"epoch": epoch}
        for name, series in record.series.items():
            values[name] = float(series[number][ids].mean())
            if len(ids) > 1:
                values[f"{name}_std"] = float(series[number][ids].std())
        run.log(values, step=number)
    run.summary.update({f"table/{key}": value for key, value in row.items() if value != ""})
    run.finish()
