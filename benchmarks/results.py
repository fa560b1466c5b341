"""The results in results/*.json, of which the tables on the pages are made.

python benchmarks/results.py                  says which are not of the present code and configs
python benchmarks/results.py --run [NAME ...] makes results, all by default, and goes on with what
                                              is in ./runs; then writes the tables on the pages
python benchmarks/results.py --verify NAME ...  makes each result's first seed anew and, if every
                                              number is the same to the last digit, notes that the
                                              present settings give it: say, after an argument was
                                              added that changes nothing

What the results are is in results/results.yaml; the tables are made by benchmarks/pages.py.
"""

import argparse
import subprocess
import sys
from typing import Any

import pages
from recipes.parts.keys import config_hash
from recipes.running.run import git_state
from recipes.seeds.result import final, gathered, save
from result_tables import RESULTS, ROOT, Entry, listed


def run(entries: list[Entry]) -> None:
    """Trains what is missing of some results, then saves them.

    Not one by one: files that were written before a run would make it one of no commit.

    Raises:
        SystemExit: if files differ from the commit
    """
    if git_state(ROOT).get("dirty", True):
        sys.exit("error: --run: commit first, so that the results are of a commit")
    for entry in entries:
        train(entry, str(entry.seeds))
    for entry in entries:
        seeds = list(range(entry.seeds))
        save(entry.path, gathered(entry.runs, seeds, [entry.config], entry.flags))


def verify(entries: list[Entry]) -> None:
    """Notes that the present settings give stored results, if their first seeds show so.

    Raises:
        SystemExit: naming the numbers that differ, or if files differ from the commit
    """
    if entries and git_state(ROOT).get("dirty", True):
        sys.exit("error: --verify: commit first, so that the numbers are of a commit")
    for entry in entries:
        train(entry, "0-0")
    for entry in entries:
        stored, first = entry.stored(), entry.runs[0]
        found = final(first.folder)
        keys = [key for key in stored if key.startswith(("val/", "test/"))]
        if differ := [key for key in keys if stored[key][0] != found.get(key)]:
            sys.exit(f"error: results/{entry.name}.json: {', '.join(differ)} of seed 0 are others")
        save(entry.path, stored | {"config_hash": config_hash(first.settings)})


def train(entry: Entry, seeds: str) -> None:
    """Trains what is missing of a result's runs, and tests it if it is to be tested.

    Args:
        entry: of results.yaml
        seeds: as recipes.seeds takes them
    """
    options = {"recipe": entry.recipe, "config": entry.config, "name": entry.name}
    flags = [f"--{option}={value}" for option, value in options.items()]
    flags += [f"--seeds={seeds}", *(["--test"] if entry.test else []), *entry.flags]
    subprocess.run([sys.executable, "-m", "recipes.seeds", *flags], check=True)


def stale(entry: Entry) -> list[str]:
    """Why a result is not that of the present code and list; nothing if it is."""
    if not entry.path.exists():
        return ["missing"]
    result = entry.stored()
    made = [result[key] for key in ("recipe", "config", "flags", "seeds")]
    asked = [entry.recipe, [entry.config], entry.flags, list(range(entry.seeds))]
    faults = {
        "made with other settings than results.yaml has": made != asked,
        "the config or a default has changed since": not is_present(entry, result),
        "made from files that are in no commit": result["dirty"] is not False,
        f"commit {result['commit']} is not in the history": not is_known(result["commit"]),
        "fewer than 3 seeds": len(result["seeds"]) < 3,
    }
    return [fault for fault, holds in faults.items() if holds]


def is_present(entry: Entry, result: dict[str, Any]) -> bool:
    """Whether a result was made with the settings that its entry now has."""
    return result["config_hash"] == config_hash(entry.runs[0].settings)


def is_known(commit: str) -> bool:
    """Whether a commit is in the history of this checkout, as far as that is here."""

    def git(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)

    try:
        if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
            return True  # no checkout, or one without its history
        return git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0
    except OSError:  # no git
        return True


def stale_results() -> list[str]:
    """What is wrong with the results, each with the command that puts it right."""
    entries = listed()
    strangers = sorted({path.stem for path in RESULTS.glob("*.json")} - entries.keys())
    return [f"results/{name}.json is not in results.yaml" for name in strangers] + [
        f"results/{name}.json: {fault}; python benchmarks/results.py --run {name}"
        for name, entry in entries.items()
        for fault in stale(entry)
    ]


def main() -> None:
    """Runs the command.

    Raises:
        SystemExit: with status 1 and a line for each thing that does not match
    """
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--run", nargs="*", metavar="NAME", help="make results")
    parser.add_argument("--verify", nargs="+", metavar="NAME", help="make first seeds anew")
    arguments = parser.parse_args()
    entries = listed()
    named = [*(arguments.run or ()), *(arguments.verify or ())]
    if strangers := [name for name in named if name not in entries]:
        sys.exit(f"error: {' '.join(strangers)}: results.yaml has {', '.join(entries)}")
    verify([entries[name] for name in arguments.verify or ()])
    if arguments.run is not None:
        run([entries[name] for name in arguments.run or entries])
        pages.write()
    if faults := stale_results():
        sys.exit("\n".join(f"error: {fault}" for fault in faults))


if __name__ == "__main__":
    main()
