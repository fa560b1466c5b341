"""What a run's Trainer has beside what the user names: callbacks, and atomic checkpoints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.plugins.io import CheckpointIO

from callbacks import (
    ChangedSettings,
    ClassReport,
    FiniteLoss,
    GradientClip,
    KeyedNoise,
    Requeue,
    Totals,
    WorstMistakes,
    WritePredictions,
)
from callbacks.evaluated import Evaluated
from recipes.parts.convergence import Convergence
from recipes.parts.sharding import ShardedOptimizers
from recipes.parts.stepping import Accumulation, IncompleteAccumulation
from recipes.running.files import AtomicCheckpointIO, with_checkpoints
from recipes.running.idle_hooks import leave_out_idle_hooks
from recipes.running.limits import refuse_finders
from recipes.running.monitors import Monitors
from recipes.running.resume import Remaining, SameBatch
from recipes.running.terminal import shown
from recipes.running.whole_steps import WholeSteps

# Of every run, unless it has its own.
DEFAULTS = (
    KeyedNoise,
    ChangedSettings,
    Evaluated,
    FiniteLoss,
    WritePredictions,
    ClassReport,
    WorstMistakes,
    Totals,
    ShardedOptimizers,
    SameBatch,
    Remaining,
    Convergence,
    Monitors,
    WholeSteps,
    Requeue,  # last, when all others have done what they do after a step
)


def complete(
    config: Namespace,
    callbacks: list[Callback],
    further: Sequence[Callback],
    module: LightningModule,
    folder: Path,
) -> None:
    """Gives the Trainer's settings all callbacks and plugins of a run, in place.

    Args:
        config: the Trainer's settings, with what they name made
        callbacks: the user's
        further: those that no config names
        module: that is run
        folder: of the run

    Raises:
        ValueError: if a callback would choose settings, or write the run's own files
    """
    refuse_finders(callbacks, module)
    plugins = listed(config.plugins)
    if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        plugins.append(AtomicCheckpointIO())
    before, after = instead_of_settings(config, module)
    callbacks = [IncompleteAccumulation(), *before, *callbacks, *after, *further]
    for default in DEFAULTS:
        if not any(isinstance(callback, default) for callback in callbacks):
            callbacks.append(default())
    if not config.barebones:
        bar, summary = config.enable_progress_bar, config.enable_model_summary
        callbacks += shown(callbacks, bar is not False, summary is not False)
        if not any(isinstance(callback, ModelSummary) for callback in callbacks):
            config.enable_model_summary = False  # ours is there, or none is wanted
        if config.enable_checkpointing is not False:
            callbacks = with_checkpoints(callbacks, module, folder)
    for callback in callbacks:
        leave_out_idle_hooks(callback)
    config.callbacks, config.plugins = callbacks, plugins


def instead_of_settings(
    config: Namespace, module: LightningModule
) -> tuple[list[Callback], list[Callback]]:
    """Callbacks that do what Lightning does not for some modules; their settings are taken out.

    Returns:
        those that come before the user's, and those that come after them
    """
    before: list[Callback] = []
    after: list[Callback] = []
    clip = config.gradient_clip_val
    if clip and clip > 0 and not module.automatic_optimization:
        # Lightning refuses it there, and cannot know when to clip.
        after.append(GradientClip(clip, config.gradient_clip_algorithm or "norm"))
        config.gradient_clip_val = config.gradient_clip_algorithm = None
    if getattr(module, "accumulates", False) and config.accumulate_grad_batches > 1:
        before.append(Accumulation(config.accumulate_grad_batches))
        config.accumulate_grad_batches = 1
    return before, after


def listed(value: Any) -> list[Any]:  # noqa: ANN401 - what Trainer takes: nothing, one, several
    """A Trainer argument that may be None, one thing or a list, as a new list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
