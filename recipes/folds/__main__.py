"""The command line: python -m recipes.folds."""

import argparse
from pathlib import Path

import recipes.folds
from recipes.running.lock import locked
from recipes.seeds.result import gathered, save
from recipes.seeds.several import complete, end, parsed, refuse
from recipes.seeds.several import parser as shared
from recipes.seeds.wanted import Wanted

OURS = r"data\.(init_args\.)?(folds|fold|repeat)|ckpt_path|group"


def parser() -> argparse.ArgumentParser:
    """Of this command; what it does not know is for `fit`."""
    made = shared("folds", recipes.folds.__doc__, "-f<fold>")
    made.add_argument("--folds", type=int, default=5, help="parts of the rows; by default 5")
    made.add_argument(
        "--repeats", type=int, default=1, help="times that the rows are cut anew; by default 1"
    )
    made.add_argument(
        "--against",
        type=Path,
        metavar="FOLDER",
        help="of another cross-validation on the same folds, runs/<recipe>/<name>: test the "
        "difference",
    )
    return made


def wanted(given: argparse.Namespace, flags: list[str]) -> dict[tuple[int, int], Wanted]:
    """The runs, by repeat and fold.

    Raises:
        ValueError: if a flag sets what this command does, or there is no such number of folds
    """
    for option, least in {"folds": 2, "repeats": 1}.items():
        if (number := getattr(given, option)) < least:
            raise ValueError(f"--{option}={number}: {least} or more")
    refuse(flags, OURS, "recipes.folds sets it, see --folds and --name")
    numbers = [(repeat, fold) for repeat in range(given.repeats) for fold in range(given.folds)]
    return {number: of_fold(given, flags, *number) for number in numbers}


def of_fold(given: argparse.Namespace, flags: list[str], repeat: int, fold: int) -> Wanted:
    """One of the runs."""
    own = [f.replace("{fold}", str(fold)).replace("{repeat}", str(repeat)) for f in flags]
    cut = {"folds": given.folds, "fold": fold, "repeat": repeat}
    own += [f"--data.{key}={value}" for key, value in cut.items()]
    configs = [f"--config={config}" for config in given.config]
    name = f"{given.name}-{f'r{repeat}' if repeat else ''}f{fold}"
    return Wanted(given.recipe, name, (*configs, f"--group={given.name}", *own))


def make(args: list[str]) -> bool:
    """Makes the runs, and tells whether all has gone well.

    Raises:
        ValueError: if another process makes them, or an option is of no use
    """
    given, flags = parsed(parser(), args)
    from recipes.folds.result import read  # seconds of imports, not for --help

    runs = wanted(given, flags)
    other = read(given.against) if given.against else None
    every = list(runs.values())
    folder = every[0].folder.with_name(given.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(
        folder.with_name(f".{given.name}.lock"), f"--name={given.name}: these runs are made"
    ):
        good = all(complete(every, what, given.jobs) for what in ("fit", "test", "predict"))
    if good:
        report(runs, folder, given, flags, other)
    return good


def report(
    runs: dict[tuple[int, int], Wanted],
    folder: Path,
    given: argparse.Namespace,
    flags: list[str],
    other: dict | None,
) -> None:
    """Writes and prints what the folds have come to.

    Args:
        runs: by repeat and fold; trained, tested, and their predictions made
        folder: that the files are written to
        given: this command's options
        flags: of `fit`
        other: the result that this one is tested against
    """
    from recipes.compare.report import compare
    from recipes.folds.result import NAME, comparison, result_of, summary
    from recipes.folds.rows import folds_of, write_predictions

    every = list(runs.values())
    folds = folds_of(runs)
    result = result_of(folds)
    folder.mkdir(exist_ok=True)
    save(folder / NAME, result)
    rows = write_predictions(folder / "out_of_fold.csv", folds)
    if given.save:
        seeds = [fold for _, fold in runs]
        save(given.save, gathered(every, seeds, given.config, flags) | result)
    compare([str(run.folder) for run in every], output=folder)
    print(f"{folder / 'out_of_fold.csv'}: {rows} rows, each by the run that was not trained on it")
    print(summary(result))
    if other is not None:
        print(comparison(result, other, given.against))


def main(args: list[str] | None = None) -> None:
    """Makes the runs; arguments and SystemExit as of `end`."""
    end(make, args)


if __name__ == "__main__":
    main()
