"""Reads search spaces: files in the format of W&B Sweeps."""

import math
from pathlib import Path

import yaml

from recipes.tune.space import Space, Value, quantized

METHODS = {"grid": "grid", "random": "random", "bayes": "tpe"}
# Of a distribution, what else it is described by; W&B has further ones, which it draws itself.
DISTRIBUTIONS = {
    "constant": {"value"},
    "categorical": {"values"},
    "int_uniform": {"min", "max"},
    "uniform": {"min", "max"},
    "q_uniform": {"min", "max", "q"},
    "log_uniform_values": {"min", "max"},
}
FILE_KEYS = frozenset(
    "name description program command project entity method metric parameters early_terminate "
    "run_cap".split()
)


def read_space(path: Path) -> Space:
    """Reads a file in the format of W&B Sweeps.

    Raises:
        FileNotFoundError: if there is none
        ValueError: if it is not understood, naming the entry
    """
    if not path.is_file():
        raise FileNotFoundError(f"--space={path}: no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    try:
        if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
            raise ValueError("no YAML with parameters, as W&B Sweeps have them")
        return understood(content)
    except ValueError as error:
        raise ValueError(f"--space={path}: {error}") from error


def understood(content: dict[str, Value]) -> Space:
    """A space from a file's content.

    Raises:
        ValueError: if something in it is not understood
    """
    if unknown := set(content) - FILE_KEYS:
        raise ValueError(f"{', '.join(sorted(unknown))}: not known")
    method = content.get("method")
    if method is None:
        raise ValueError(f"method is missing: choose from {', '.join(METHODS)}")
    if method not in list(METHODS):
        raise ValueError(f"method: {method}: choose from {', '.join(METHODS)}")
    metric = mapping("metric", content, "{name: val/loss, goal: minimize}")
    if not isinstance(name := metric.get("name"), str | None):
        raise ValueError(f"metric.name: {name}: a log key, such as val/loss")
    if (goal := metric.get("goal")) not in (None, "minimize", "maximize"):
        raise ValueError(f"metric.goal: {goal}: choose from minimize, maximize")
    stop = mapping("early_terminate", content, "{type: hyperband, min_iter: 3}")
    if stop and (stop.get("type") != "hyperband" or set(stop) - {"type", "min_iter", "eta"}):
        raise ValueError("early_terminate: only type: hyperband with min_iter and eta is known")
    for key, least in {"min_iter": 1, "eta": 2}.items():
        check_whole(f"early_terminate.{key}", stop.get(key), least)
    check_whole("run_cap", content.get("run_cap"), 1)
    parameters = {key: described(key, known) for key, known in content["parameters"].items()}
    if all(known["distribution"] == "constant" for known in parameters.values()):
        raise ValueError("parameters: nothing varies")
    return Space(method, parameters, name, goal, stop, content.get("run_cap"))


def mapping(key: str, content: dict[str, Value], example: str) -> dict[str, Value]:
    """An entry that has entries of its own; empty if it is not there.

    Raises:
        ValueError: if it is something else
    """
    found = content.get(key)
    if not isinstance(found, dict | None):
        raise ValueError(f"{key}: {found}: give a mapping, such as {example}")
    return found or {}


def check_whole(key: str, value: Value, least: int) -> None:
    """Refuses what is not a whole number, or too small, unless it is not there.

    Raises:
        ValueError: naming the entry
    """
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{key}: {value}: a whole number, {least} or more")


def described(key: str, known: Value) -> dict[str, Value]:
    """A parameter's description with its distribution, which W&B infers where it is not named.

    Raises:
        ValueError: if it is none that is known, or incomplete
    """
    if not isinstance(known, dict):
        raise ValueError(f"{key}: {known}: give values: [...], or min and max")
    kind = known.get("distribution") or inferred(known)
    if kind not in list(DISTRIBUTIONS):
        raise ValueError(f"{key}: distribution {kind}: choose from {', '.join(DISTRIBUTIONS)}")
    known = {"q": 1, **known} if kind == "q_uniform" else known  # W&B's default
    if set(known) - {"distribution"} != DISTRIBUTIONS[kind]:
        needs, has = sorted(DISTRIBUTIONS[kind]), sorted(set(known) - {"distribution"})
        raise ValueError(f"{key}: {kind} has {', '.join(needs)}, not {', '.join(has)}")
    return {"distribution": kind} | numbers(key, kind, known)


def inferred(known: dict[str, Value]) -> str:
    """The distribution of a parameter that does not name it, by W&B's rules."""
    if "value" in known or "values" in known:
        return "constant" if "value" in known else "categorical"
    whole = all(isinstance(known.get(end), int) for end in ("min", "max"))
    return "int_uniform" if whole else "uniform"


def numbers(key: str, kind: str, known: dict[str, Value]) -> dict[str, Value]:
    """What a distribution is described by, checked.

    Raises:
        ValueError: if it is no range, or no list
    """
    if kind == "categorical" and not (isinstance(known["values"], list) and known["values"]):
        raise ValueError(f"{key}: values: give a list")
    if kind in ("constant", "categorical"):
        return {name: known[name] for name in DISTRIBUTIONS[kind]}
    number = int if kind == "int_uniform" else float  # YAML reads 1e-3 as a string
    try:
        ends = {name: number(known[name]) for name in sorted(DISTRIBUTIONS[kind])}
    except (TypeError, ValueError):
        raise ValueError(f"{key}: min, max and q are numbers") from None
    if not ends["min"] < ends["max"] or (kind == "log_uniform_values" and ends["min"] <= 0):
        above = " above 0" if kind == "log_uniform_values" else ""
        raise ValueError(f"{key}: give min < max{above}, not {known['min']} and {known['max']}")
    if not ends.get("q", 1) > 0:
        raise ValueError(f"{key}: give q above 0, not {known['q']}")
    return ends | multiples(**ends) if kind == "q_uniform" else ends


def multiples(min: float, max: float, q: float) -> dict[str, float]:
    """The least and the greatest multiple of q that a number between two rounds to, as in W&B.

    Args:
        min: least number
        max: greatest, above that
        q: step
    """
    # Exactly half a step beyond an end has no probability. Without the last digits, which are
    # rounding's: 0.15 / 0.1 is below 1.5.
    least, greatest = round(min / q, 9), round(max / q, 9)
    numbers = math.floor(least + 0.5), math.ceil(greatest - 0.5)
    return {
        end: quantized(number * q, q) for end, number in zip(("min", "max"), numbers, strict=True)
    }
