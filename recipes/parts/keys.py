"""Names of settings and of metrics: the same on the command line, in W&B, searches and tables."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

# Metrics of which more is better; an extractor's or an optimizer's name may follow.
MORE_IS_BETTER = (
    "accuracy agreement control_accuracy teacher_accuracy gain r2 modes high_quality mode_entropy "
    "classifier_score precision recall density coverage auroc return"
).split()
UNITS = {  # of metrics, beside an axis; of all others the name says it
    **dict.fromkeys(("accuracy", "agreement", "gain", "high_quality", "coverage"), "share"),
    **dict.fromkeys(("precision", "recall", "calibration"), "share"),
    **dict.fromkeys(("nll", "mode_entropy", "reverse_kl", "reconstruction"), "nats"),
    **dict.fromkeys(("rmse", "mae"), "the target's unit"),
    **dict.fromkeys(("errors", "modes", "active_units"), "count"),
    "return": "sum of rewards",
}
# What a recipe is about, rather than its loss.
HEADLINES = (
    *("val/accuracy", "val/rmse", "val/kid", "val/reverse_kl", "val/return", "val/loss"),
    "test/accuracy",
)
# Where a run is, what it is called and who looks at it: no part of what is trained.
PLACES = (
    *("name", "group", "tags", "ckpt_path", "trainer.default_root_dir", "trainer.logger"),
    *("trainer.enable_progress_bar", "trainer.enable_model_summary"),
)
# Settings younger than some stored results, and their values that change nothing.
YOUNGER = {
    r"model\.((student|teacher|generator|discriminator)_)?weights": None,
    r"model\.(weights_except|output|groups)": None,
    r"data\.(only|per_class|tokens)": None,
    r"trainer\.callbacks\.Export(-\d+)?\.which": "best",
    r"trainer\.callbacks\.Curves(-\d+)?\.over": None,
    r"trainer\.callbacks\.Curves(-\d+)?\.losses": True,
}
OURS = ("recipes.", "callbacks.", "datamodules.")  # the packages of this project
# Seeds beside the keys whose name says so.
SEEDS = (
    *("seed_everything", "data.split", "data.fold", "data.repeat"),
    *("model.splits", "model.seeds"),
)


def dotted(config: dict[str, Any]) -> dict[str, Any]:
    """A nested config as flat keys, each of which `fit --<key>=<value>` takes.

    `{"model": {"student": {"class_path": "MLP", "init_args": {"inputs": 64}}}}` is
    `{"model.student.class_path": "MLP", "model.student.inputs": 64}`. Of classes in a list, such
    as callbacks, the key has the class's name, `trainer.callbacks.LRDecay.warmup`: the place in
    the list says nothing. (The command line sets only the last one's arguments.)

    Args:
        config: mappings, lists and plain values, as in a run's config.yaml
    """
    return dict(_walk("", config))


def _walk(key: str, value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - as in a YAML file
    if isinstance(value, dict) and value:
        for name, item in value.items():
            if name == "init_args" and "class_path" in value and isinstance(item, dict):
                yield from _walk(key, item) if item else ()
            else:
                yield from _walk(f"{key}.{name}" if key else name, item)
    elif isinstance(value, list) and value and all(map(_is_class, value)):
        seen: dict[str, int] = {}
        for item in value:
            name = item["class_path"].rpartition(".")[2]
            seen[name] = seen.get(name, 0) + 1
            number = f"-{seen[name]}" if seen[name] > 1 else ""
            yield from _walk(f"{key}.{name}{number}", item)
    else:
        yield key, value


def _is_class(value: object) -> bool:
    return isinstance(value, dict) and "class_path" in value


def is_place(key: str) -> bool:
    """Whether a key says where a run or its files are, and not what it trains."""
    return key.startswith(PLACES) or key.endswith("data_dir")


def is_seed(key: str) -> bool:
    """Whether a key is a seed, or several, of everything or of the data's split."""
    return key in SEEDS or key.endswith("seed")


def is_as_ever(key: str, value: object) -> bool:
    """Whether a setting has the value by which all is as it was before there was the setting."""
    return any(re.fullmatch(pattern, key) and value == old for pattern, old in YOUNGER.items())


def compared(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings by which two runs differ as experiments: neither seeds nor places.

    A class of this project counts by its short name, wherever its module lies. In a checkpoint's
    path, such as a teacher's, the run's own seed does not count where the path says that it is
    one: teacher-s3, seed=3. Another number, as in digits-1, is part of its name.

    Args:
        settings: `dotted`
    """
    seed = rf"(\bs|_s|seed[-_=]?){settings.get('seed_everything')}(?!\d)"
    kept = {
        key: value
        for key, value in settings.items()
        if not (is_seed(key) or is_place(key) or is_as_ever(key, value))
    }
    for key, value in kept.items():
        if key.endswith(("checkpoint", "weights")) and isinstance(value, str):
            kept[key] = re.sub(seed, r"\1{seed}", value)
        if key.endswith("class_path") and str(value).startswith(OURS):
            kept[key] = value.rpartition(".")[2]
    return kept


def config_hash(settings: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that two runs share if they differ by seeds and places alone.

    Args:
        settings: `dotted`
    """
    text = json.dumps(compared(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def more_is_better(metric: str) -> bool:
    """Whether larger values of a logged metric are better: of accuracy, not of a loss or error.

    Args:
        metric: log key, such as val/accuracy, val/recall_lenet or test/ensemble_r2/Adam
    """
    _, _, name = metric.partition("/")
    name = name.partition("/")[0].removeprefix("ensemble_")
    return any(name == word or name.startswith(f"{word}_") for word in MORE_IS_BETTER)


def headline(metrics: Iterable[str]) -> str:
    """The metric to compare runs by where none is named.

    Args:
        metrics: log keys that there are, at least one
    """
    found = sorted(metrics)
    named = (key for name in HEADLINES for key in found if re.match(rf"{name}(_|$)", key))
    return next(named, None) or max(found, key=lambda key: key.startswith(("val/", "test/")))


def wandb_definition(metric: str) -> dict[str, Any]:
    """How W&B shows a metric, as arguments of its `define_metric`.

    What validation measures is drawn over epochs and summarised by its best and its last value;
    the rest is drawn over batches, and only the last value kept. Returns and lengths of episodes
    are drawn over the steps of the environments. Everything can be drawn over `samples` too.

    Args:
        metric: log key
    """
    of_episodes = metric.endswith(("/return", "/length"))
    if not metric.startswith("val/"):
        over = "environment_steps" if of_episodes else "trainer/global_step"
        return {"name": metric, "step_metric": over}
    over = "environment_steps" if of_episodes else "epoch"
    # In a sweep, W&B optimizes the summary of this name, which must be a number: the last value.
    summary = f"{'max' if more_is_better(metric) else 'min'},last"
    in_sweep = "WANDB_SWEEP_ID" in os.environ
    return {"name": metric, "step_metric": over, "summary": None if in_sweep else summary}


def in_words(key: str) -> str:
    """A metric's name beside an axis, with its unit: `val/teacher_accuracy` is "accuracy (share)".

    What comes before or after a known metric, the network or the target that it is of, is left out.
    """
    name = key.partition("/")[2] or key
    words = next((known for known in UNITS if re.search(rf"(^|_){known}($|_|/)", name)), None)
    return f"{words} ({UNITS[words]})".replace("_", " ") if words else name.replace("_", " ")
