"""What is on a dashboard: the sections of each recipe and those of all, as data."""

import wandb_workspaces.reports.v2 as wr
from wandb_workspaces.reports.v2.interface import Panel

# Axes: of validation, of training, of runs that differ by their batches, and of the machine.
EPOCH, BATCH, SAMPLES, SECONDS = "epoch", "trainer/global_step", "samples", "RelativeTime(Process)"
STEPS = "environment_steps"  # of reinforcement learning
Sections = dict[str, list[Panel]]


def curves(title: str, *keys: str, x: str = EPOCH, **options: bool) -> wr.LinePlot:
    """Log keys over the course of training.

    A group of runs, such as seeds, is its mean in a band of a standard deviation.

    Args:
        title: with the unit
        keys: log keys
        x: log key of the axis
        options: of the plot, such as log_y
    """
    band = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
    return wr.LinePlot(title=title, x=x, y=list(keys), **band, **options)


def matching(title: str, pattern: str, x: str = BATCH, **options: bool) -> wr.LinePlot:
    """The same for all log keys that a regular expression finds, such as of any optimizer."""
    plot = curves(title, x=x, **options)
    plot.metric_regex = pattern
    return plot


RETURNS: Sections = {  # of what learns in environments
    "Returns": [
        curves("return of the latest 100 episodes of training", "train/return", x=STEPS),
        curves("return of evaluation episodes", "val/return", x=STEPS),
        curves("length of evaluation episodes (steps)", "val/length", x=STEPS),
        wr.MediaBrowser(title="an evaluation episode", media_keys=["episode"]),
    ],
}
QUALITY = [  # of samples
    matching("KID, and its floor", "^val/kid_", x=EPOCH, log_y=True),
    matching("FID, and its floor", "^val/fid_", x=EPOCH, log_y=True),
    matching("precision and recall (share)", "^val/(precision|recall)_", x=EPOCH),
    curves("modes (count)", "val/modes"),
    curves("samples of high quality (share)", "val/high_quality"),
    curves("entropy of modes (nats): falls in a collapse", "val/mode_entropy"),
]
RECIPES: dict[str, Sections] = {
    "classify": {
        "Accuracy": [
            curves("validation accuracy (share)", "val/accuracy"),
            curves("validation errors (count)", "val/errors"),
        ],
    },
    "distill": {
        "Teacher, student and student alone": [
            curves(
                "validation accuracy (share)",
                "val/accuracy",
                "val/teacher_accuracy",
                "val/control_accuracy",
            ),
            curves("gain over the student alone (share)", "val/gain"),
            curves("agreement with the teacher (share)", "val/agreement"),
        ],
        "Terms of the loss": [
            curves("soft: of the teacher", "train/soft", x=BATCH, log_y=True),
            curves("hard: of the labels (nats)", "train/hard", x=BATCH, log_y=True),
            curves(
                "teacher and student alone (nats)",
                "train/teacher",
                "train/control",
                x=BATCH,
                log_y=True,
            ),
        ],
    },
    "regress": {
        "Errors, in the target's unit": [
            curves("validation RMSE", "val/rmse"),
            curves("validation MAE", "val/mae"),
            curves("validation R2", "val/r2"),
        ],
        "Predictive distribution": [
            curves("validation NLL (nats)", "val/nll"),
            curves("share within the central 90 % interval", "val/coverage"),
            curves("calibration error (share)", "val/calibration"),
        ],
    },
    "language": {
        "Text": [
            wr.WeavePanelSummaryTable(table_name="sample"),
            curves("validation perplexity", "val/perplexity", log_y=True),
            curves("validation bits per character", "val/bits_per_character"),
        ],
    },
    "em": {
        "Mixture": [
            curves("log likelihood of the training rows (nats)", "train/log_likelihood", x=BATCH),
            curves("BIC", "train/bic", x=BATCH),
            curves("components in use", "val/components"),
        ],
    },
    "feedback": {
        "Accuracy": [
            curves("validation accuracy (share)", "val/accuracy"),
            curves("validation errors (count)", "val/errors"),
        ],
        "Alignment": [
            matching("angle of update and gradient (degrees), by layer", "^train/angle/[0-9]+$"),
        ],
    },
    "gan": {
        "Samples": [
            wr.MediaBrowser(title="averaged generator", media_keys=["samples/ema"]),
            wr.MediaBrowser(title="generator", media_keys=["samples/raw"]),
        ],
        "Quality of the samples": QUALITY,
        "The game": [
            curves("losses", "train/generator", "train/discriminator", x=BATCH),
            curves("penalty, weighted", "train/penalty", x=BATCH, log_y=True),
            curves("critic gap: real minus generated", "train/critic_gap", x=BATCH),
            curves("critic's accuracy (share): 0.5 by chance", "train/critic_accuracy", x=BATCH),
            curves("gradient that reaches a sample", "train/fake_gradient", x=BATCH, log_y=True),
        ],
    },
    "dqn": RETURNS
    | {
        "Values and exploration": [
            curves("value of the actions in a batch", "train/value", x=STEPS),
            curves("probability of a random action", "train/epsilon", x=STEPS),
        ],
    },
    "policy_gradient": RETURNS
    | {
        "Policy and values": [
            curves("entropy of actions (nats)", "train/entropy", x=STEPS),
            curves("KL divergence from the policy that acted (nats)", "train/kl", x=STEPS),
            curves("share of clipped actions", "train/clipped", x=STEPS),
            curves("loss of the policy", "train/policy", x=STEPS),
            curves("loss of the values", "train/value", x=STEPS, log_y=True),
        ],
    },
    "diffusion": {
        "Samples": [
            wr.MediaBrowser(title="averaged network", media_keys=["samples/ema"]),
            wr.MediaBrowser(title="network", media_keys=["samples/raw"]),
            wr.MediaBrowser(title="from noise to samples", media_keys=["pictures/trajectory"]),
        ],
        "Quality of the samples": QUALITY,
    },
    "vae": {
        "Bound": [
            curves("reconstruction and KL (nats)", "val/reconstruction", "val/kl"),
            curves("active units: 0 is posterior collapse", "val/active_units"),
            matching("AUROC of anomalies", "^val/auroc_", x=EPOCH),
        ],
        "Pictures": [
            wr.MediaBrowser(title="samples", media_keys=["pictures/samples"]),
            wr.MediaBrowser(title="reconstructions", media_keys=["pictures/reconstructions"]),
            wr.MediaBrowser(title="between two images", media_keys=["pictures/between"]),
            wr.MediaBrowser(title="codes by class", media_keys=["pictures/latent"]),
        ],
    },
    "study": {
        "Optimizers at their best rates": [
            curves("validation RMSE", "val/rmse", log_y=True),
            matching("spread of a metric over members (std)", "^val/[a-z0-9]+_std$", x=EPOCH),
            matching("best setting so far", "^val/[a-z0-9]+/.+$", x=EPOCH, log_y=True),
        ],
        "Sensitivity to the learning rate": [
            wr.MediaBrowser(title="metric by rate, and curves", media_keys=["study"]),
            wr.WeavePanelSummaryTable(table_name="table"),
        ],
    },
}

LOSS: Sections = {
    "Loss": [
        curves("validation loss", "val/loss"),
        curves("training loss", "train/loss", x=BATCH),
        curves("training loss by samples: compares batch sizes", "train/loss", x=SAMPLES),
    ],
}
OPTIMIZERS: Sections = {
    "Learning rates": [matching("learning rates", "^lr/")],
    "Optimizers": [  # with the callback OptimizerStats
        matching("update ratio", "^optimizer/[^/]+/update_ratio$", log_y=True),
        matching("gradient norm", "^optimizer/[^/]+/gradient_norm$", log_y=True),
        matching("effective step", "^optimizer/[^/]+/effective_step_q[0-9]+$", log_y=True),
        matching("second moment", "^optimizer/[^/]+/second_moment_q[0-9]+$", log_y=True),
        matching("cosine of momentum and gradient", "^optimizer/[^/]+/momentum_cosine$"),
        matching("share of clipped steps", "^optimizer/[^/]+/clipped$"),
    ],
}
COMPUTE: Sections = {
    "Throughput": [  # with the callback Throughput
        curves("samples per second", "throughput/samples_per_second", x=BATCH),
        curves("peak memory of the GPU (bytes)", "throughput/peak_memory", x=BATCH),
    ],
    "Hardware": [
        curves("CPU (%)", "system/cpu", x=SECONDS),
        curves("memory of the process (MB)", "system/proc.memory.rssMB", x=SECONDS),
        matching("GPU (%)", r"^system/gpu\.[0-9]+\.gpu$", x=SECONDS),
        matching("memory of the GPU (%)", r"^system/gpu\.[0-9]+\.memoryAllocated$", x=SECONDS),
    ],
}


def sections(recipe: str) -> Sections:
    """All sections of a recipe's dashboard; one that is not in `RECIPES` has those of all."""
    own = RECIPES.get(recipe, {})
    # A study's optimizers, each of many rates, log no rate; an M-step has none.
    return own | LOSS | ({} if recipe in ("em", "study") else OPTIMIZERS) | COMPUTE
