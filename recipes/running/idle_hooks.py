"""Hooks that a callback does not have cost nothing.

Lightning 2.6 calls each hook of every callback, in a context of its profiler, whether the callback
does anything there or not: with the twenty of a run, 120 calls a batch. What is not callable it
leaves out (`lightning.pytorch.trainer.call._call_callback_hooks`).
"""

from lightning.pytorch import Callback

OFTEN = ("batch", "backward", "optimizer_step", "zero_grad")  # in the names of a batch's hooks
HOOKS = [
    name for name in vars(Callback) if name.startswith("on_") and any(o in name for o in OFTEN)
]


def leave_out_idle_hooks(callback: Callback) -> None:
    """Takes the hooks of a batch that a callback inherits from Callback, and so are empty, from it.

    Args:
        callback: of any class
    """
    for name in HOOKS:
        inherited = getattr(type(callback), name) is getattr(Callback, name)
        if inherited and name not in vars(callback):
            setattr(callback, name, None)
