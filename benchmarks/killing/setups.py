"""The runs that are killed: small networks, a checkpoint every few steps, a row of metrics each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RECIPES = (
    *("classify", "diffusion", "distill", "dqn", "em", "feedback", "gan", "language"),
    *("policy_gradient", "regress", "study", "vae"),
)
READ = ("classify", "distill", "gan", "regress")  # whose data workers can read
ALONE = ("dqn", "em", "feedback", "policy_gradient")  # which are not tried on two processes
AT_ONCE = ("dqn", "policy_gradient")  # whose validation is one batch: nothing is in its middle
HERE = Path(__file__).parent
NAME, SAVED = "a", "middle"  # of the run, and of the checkpoint within epochs
SHUFFLED = (*READ, "feedback")  # whose rows torch's loader can draw for stock Lightning
BATCH = {r: 14 if r in ("regress", "study") else 50 for r in RECIPES}
# Batches of an epoch, of each size of a batch: some checkpoints within epochs are at their ends.
LENGTH = {50: 8, 14: 6}

# Of checkpoints whose save takes a while: tens of megabytes.
WIDE = "[1700,1700]"
BIG = {
    "classify": (f"--model.network.widths={WIDE}", "--trainer.max_epochs=2"),
    "diffusion": ("--model.network.width=1000", "--trainer.max_epochs=2"),
    "distill": (f"--model.student.widths={WIDE}", "--trainer.max_epochs=2"),
    "dqn": (f"--model.network.widths={WIDE}", "--trainer.max_epochs=2"),
    "feedback": ("--model.network.widths=[1200,1200]", "--trainer.max_epochs=2"),
    "gan": (f"--model.generator.widths={WIDE}", "--trainer.max_epochs=2"),
    "language": ("--model.network.width=600", "--data.length=2", "--trainer.max_epochs=2"),
    "policy_gradient": ("--model.network.widths=[1200,1200]", "--trainer.max_epochs=2"),
    "regress": (f"--model.network.widths={WIDE}", "--trainer.max_epochs=3"),
    "study": ("--model.network.widths=[700,700]", "--trainer.max_epochs=3"),
    "vae": (f"--model.encoder.widths={WIDE}", "--trainer.max_epochs=2"),
}
# What else a run may be asked for, of the recipe and of the Trainer ...
MORE = {
    "classify": ("--trainer.accumulate_grad_batches=2", "--trainer.val_check_interval=0.5"),
    "diffusion": ("--model.path=RectifiedFlow", "--model.sampler=Heun", "--model.sampler.steps=5"),
    "distill": ("--model.scheme=mutual", "--trainer.gradient_clip_val=1"),
    "dqn": (
        "--model.network=DuellingMLP",
        "--model.network.widths=[16,16]",
        "--model.double=true",
        "--model.target_rate=0.1",
    ),
    "em": ("--model.stepwise=null", "--model.optimizer=Adam", "--trainer.val_check_interval=0.5"),
    "feedback": ("--model.network.feedback=alignment", "--trainer.val_check_interval=0.5"),
    "gan": ("--model.discriminator_steps=2", "--trainer.val_check_interval=0.5"),
    "language": (
        *("--config", str(HERE / "transformer.yaml")),
        *("--trainer.accumulate_grad_batches=2", "--trainer.val_check_interval=0.5"),
    ),
    "policy_gradient": ("--model.clip=null", "--model.passes=1", "--data.batch_size=32"),
    "regress": ("--model.ensemble=2", "--model.mc_samples=2", "--trainer.precision=64-true"),
    "study": ("--model.halving=2", "--model.rungs=2"),
    "vae": ("--model.method=iwae", "--model.samples=3", "--trainer.val_check_interval=0.5"),
}
# ... and of this project's callbacks, which stock Lightning does not have.
EXTRA = {
    "classify": ("--trainer.callbacks+=EMA", "--trainer.callbacks.module=network"),
    "diffusion": ("--trainer.callbacks+=EMA", "--trainer.callbacks.module=network"),
    "distill": ("--trainer.callbacks+=LRDecay", "--trainer.callbacks+=OptimizerStats"),
    "dqn": ("--trainer.callbacks+=EMA", "--trainer.callbacks.module=network"),
    "em": ("--trainer.callbacks+=LRDecay",),
    "feedback": ("--trainer.callbacks+=LRDecay",),
    "gan": (
        "--trainer.accumulate_grad_batches=2",
        *("--trainer.callbacks+=EMA", "--trainer.callbacks.module=generator"),
    ),
    "language": ("--trainer.callbacks+=EMA", "--trainer.callbacks.module=network"),
    "policy_gradient": ("--trainer.callbacks+=LRDecay",),
    "regress": ("--trainer.callbacks+=LRDecay",),
    "study": (),
    "vae": ("--trainer.callbacks+=LRDecay",),
}


@dataclass(frozen=True)
class Setup:
    """A kind of run.

    Attributes:
        recipe: the technique
        kind: plain; more: with further settings; big: with a large checkpoint
        workers: processes that read the data
        processes: that train
    """

    recipe: str
    kind: Literal["plain", "more", "big"] = "plain"
    workers: int = 0
    processes: int = 1

    def __str__(self) -> str:
        return f"{self.recipe}-{self.kind}-{self.workers}w-{self.processes}p"

    @property
    def flags(self) -> list[str]:
        """Those that stock Lightning understands, too."""
        flags = [f"--config={HERE / self.recipe}.yaml", "--trainer.log_every_n_steps=1"]
        flags += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
        flags += [f"--trainer.limit_train_batches={LENGTH[BATCH[self.recipe]]}"]
        flags += ["--trainer.limit_val_batches=3"]
        if self.processes > 1:
            half = BATCH[self.recipe] // self.processes
            flags += ["--trainer.accelerator=cpu", f"--trainer.devices={self.processes}"]
            flags += [f"--trainer.strategy={self.strategy}", f"--data.batch_size={half}"]
        return flags + list({"more": MORE, "big": BIG}.get(self.kind, {}).get(self.recipe, ()))

    @property
    def strategy(self) -> str:
        """A GAN's networks take turns."""
        return "ddp_find_unused_parameters_true" if self.recipe == "gan" else "ddp"

    @property
    def cadence(self) -> int:
        """Steps from one checkpoint within an epoch to the next."""
        return 6 if self.kind == "big" else LENGTH[BATCH[self.recipe]] // 2

    def ours(self, data: Path) -> list[str]:
        """The arguments of this project's `fit`.

        Args:
            data: folder of the files that workers read
        """
        flags = ["fit", *self.flags, f"--name={NAME}"]
        flags += ["--trainer.callbacks+=ModelCheckpoint"]
        dirpath = f"runs/{self.recipe}/{NAME}/checkpoints"
        own = {"every_n_train_steps": self.cadence, "dirpath": dirpath, "filename": SAVED}
        own["enable_version_counter"] = "false"
        flags += [f"--trainer.callbacks.{name}={value}" for name, value in own.items()]
        if self.kind == "more":
            flags += EXTRA[self.recipe]
        return flags + (self.streamed(data) if self.workers else [])

    def streamed(self, data: Path) -> list[str]:
        """Flags that read the same rows from files, by workers."""
        kind = "table" if self.recipe == "regress" else "images"
        inputs = [f"x{i}" for i in range(10)] if kind == "table" else "image"
        own = {"path": data / kind / "*.parquet", "inputs": inputs, "target": "target"}
        own |= {"val_split": "validation", "streaming": "true", "block": 100}
        own |= {"num_workers": self.workers, "batch_size": BATCH[self.recipe]}
        own |= {"cache_dir": data / "cache"}
        return ["--data=HuggingFace", *(f"--data.{name}={value}" for name, value in own.items())]
