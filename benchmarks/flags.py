"""Which flags of the Trainer and which overlays each recipe works with: a table on a page.

A slow test runs each recipe with each of them, and compares what is refused.
"""

from recipes.running.recipe import recipe_names

FLAGS = {
    "accumulate_grad_batches": ("--trainer.accumulate_grad_batches=2",),
    "gradient_clip_val": ("--trainer.gradient_clip_val=1",),
    "max_steps": ("--trainer.max_steps=2", "--trainer.max_epochs=-1"),
    "overfit_batches": ("--trainer.overfit_batches=2",),
    "precision=64-true": ("--trainer.precision=64-true",),
    "precision=bf16-mixed": ("--trainer.precision=bf16-mixed",),
    "precision=bf16-true": ("--trainer.precision=bf16-true",),
    "--config ddp": ("--config=ddp", "--trainer.devices=1"),
    "--config ddp_spawn": ("--config=ddp_spawn", "--trainer.devices=1"),
    "--config fsdp": (
        *("--config=fsdp", "--trainer.devices=1"),
        "--trainer.strategy.init_args.data_parallel_size=1",
    ),
}
WHOLE = {"--config fsdp": "a policy acts by its whole network"}
DENSITIES = "rounds away the differences of densities"
REFUSED = {  # in the words of the error
    "dqn": {
        "accumulate_grad_batches": "rows are drawn from the replay",
        **WHOLE,
    },
    "em": {
        "gradient_clip_val": "here gradients are sums over rows, which clipping would falsify",
        "precision=bf16-mixed": DENSITIES,
        "precision=bf16-true": DENSITIES,
        "--config fsdp": "an M-step needs whole parameters",
    },
    "feedback": {"--config fsdp": "angles need the gradients of whole layers"},
    "policy_gradient": WHOLE,
    "study": {"--config fsdp": "a study's networks are small"},
}


def table() -> list[list[str]]:
    """What recipes refuse of FLAGS, and why; those that refuse nothing in one row."""
    all_of_them = ", ".join(f"`{name}`" for name in recipe_names() if name not in REFUSED)
    rows = [["recipe", "refused"], [all_of_them, "none"]]
    for recipe, refused in REFUSED.items():
        said = "; ".join(f"`{name}`: {why}" for name, why in refused.items())
        rows.append([f"`{recipe}`", said])
    return rows
