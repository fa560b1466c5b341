"""The table of what was killed: how many runs were tried, identical and lost."""

from collections import Counter
from pathlib import Path

FILE = Path(__file__).parents[1] / "faults.json"  # "<arm>: <case>" to what is wrong, or nothing
KINDS = {
    "not killed": "not killed, trained twice",
    "random moment": "SIGKILL at a random moment",
    "during a save": "SIGKILL during the save of a large checkpoint",
    "fixed point": "SIGKILL at a fixed point of training",
    "one process": "SIGTERM or SIGINT",
    "two": "SIGTERM, SIGINT or SIGKILL, two processes",
}


def summary(verdicts: dict[str, str]) -> list[list[str]]:
    """Rows of the table, its header first.

    Args:
        verdicts: as in the file
    """
    header = ["killed", "", "tried", "identical", "lost", "how"]
    rows = [header, ["---"] * len(header)]
    for kind, said in KINDS.items():
        for arm in ("ours", "stock"):
            faults = [v for k, v in verdicts.items() if k.startswith(f"{arm}: {kind},")]
            lost = Counter(fault.partition(":")[0] for fault in faults if fault)
            how = ", ".join(f"{fault} {number}" for fault, number in lost.most_common())
            counts = [len(faults), len(faults) - lost.total(), lost.total()]
            name = "this project" if arm == "ours" else "stock Lightning"
            rows.append([said if arm == "ours" else "", name, *map(str, counts), how])
    return rows
