"""The methods of attribution, of captum where it has them exactly enough."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recipes.explain.shapley import shapley_values
from recipes.explain.subjects import Subject, Words

EXACT = 10  # features up to which all coalitions are asked
MOST_STEPS = 3200  # of integrated gradients
WIDTH = 0.25  # of LIME's kernel, as its authors' for texts
EXTRA = "pip install -e '.[explain]'"


@dataclass(frozen=True)
class Options:
    """How much work a method may do, and what it may miss.

    Attributes:
        samples: coalitions, or points of gradients, that are drawn
        tolerance: share of the attributions' absolute sum by which they may miss f(x) - f(b)
        alpha: of LIME's lasso, in standard deviations of the outputs
        window: side of what occlusion hides: pixels, or words
        seed: of what is drawn
    """

    samples: int = 1000
    tolerance: float = 0.01
    alpha: float = 0.01
    window: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Attribution:
    """How much each feature adds.

    Attributes:
        values: (features,), in the unit of what is explained
        reference: f(b), what is explained without any feature; None where a method has none
        map: the same by value of the input, in its shape, where a method has it
        steps: of integrated gradients
    """

    values: Tensor
    reference: float | None = None
    map: Tensor | None = None
    steps: int | None = None

    def miss(self, output: float) -> float | None:
        """By how much the values miss f(x) - f(b), as a share of the larger of it and their size.

        Args:
            output: f(x)
        """
        if self.reference is None:
            return None
        change = output - self.reference
        scale = max(self.values.abs().sum().item(), abs(change))
        return abs(self.values.sum().item() - change) / scale if scale else 0.0


def captum() -> Any:  # noqa: ANN401 - a module that may not be installed
    """captum.attr.

    Raises:
        ValueError: if it is not installed
    """
    try:
        import captum.attr
    except ModuleNotFoundError as error:
        raise ValueError(f"--method needs {error.name}: {EXTRA}") from error
    return captum.attr


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Within it torch and numpy draw by a seed; afterwards they go on as before."""
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


def integrated_gradients(subject: Subject, options: Options) -> Attribution:
    """Sundararajan et al. 2017, equation 1, with twice the steps until the values add up."""
    method = captum().IntegratedGradients(subject.at)
    baseline = subject.baselines.mean(0, keepdim=True)
    ends = torch.stack([subject.point, baseline[0]])
    output, reference = subject.at(ends).tolist()
    steps = 50
    while True:
        found = method.attribute(
            subject.point.unsqueeze(0),
            baseline,
            n_steps=steps,
            # The nodes of Gauss and Legendre take longer than the gradients where there are many.
            method="gausslegendre" if steps <= 100 else "riemann_trapezoid",
            internal_batch_size=256,
        )[0].detach()
        values = subject.by_feature(found.double())
        made = Attribution(values, reference, found, steps)
        if made.miss(output) <= options.tolerance or steps >= MOST_STEPS:
            return made
        steps *= 2


def gradient_shap(subject: Subject, options: Options) -> Attribution:
    """Expected gradients: integrated ones, over baselines of the training data, drawn.

    Lundberg & Lee 2017 and Erion et al. 2021, https://arxiv.org/abs/1906.10670, equation 2.
    """
    method = captum().GradientShap(subject.at)
    with drawing(options.seed):
        found = method.attribute(
            subject.point.unsqueeze(0), subject.background, n_samples=options.samples, stdevs=0.0
        )[0].detach()
    reference = subject.at(subject.background).mean().item()
    return Attribution(subject.by_feature(found.double()), reference, found)


def kernel_shap(subject: Subject, options: Options) -> Attribution:
    """Shapley values, Lundberg & Lee 2017, equation 8; above EXACT features by its theorem 2."""
    count = len(subject.features)
    ends = torch.stack([torch.zeros(count), torch.ones(count)])
    reference, _ = subject.with_present(ends).tolist()
    if count <= EXACT:
        return Attribution(shapley_values(subject.with_present, count), reference)
    method = captum().KernelShap(subject.with_present)
    return Attribution(_by_presence(method, subject, options), reference)


def lime(subject: Subject, options: Options) -> Attribution:
    """Ribeiro et al. 2016, equation 1: a sparse linear model of which features are there.

    captum's own alpha is of outputs of size 1, and leaves nothing of a probability's small changes
    or everything of a price's: here it is in standard deviations of the outputs. Its kernel is of
    distances between inputs; here it is of the share of features that are there.
    """
    attributions = captum()
    from captum._utils.models.linear_model import SkLearnLasso

    count = len(subject.features)
    with drawing(options.seed):
        present = torch.bernoulli(torch.full((200, count), 0.5))
    spread = subject.with_present(present).std().item()
    model = SkLearnLasso(alpha=options.alpha * max(spread, 1e-12))
    method = attributions.Lime(subject.with_present, model, similarity_func=nearness)
    return Attribution(_by_presence(method, subject, options))


def nearness(original: Tensor, perturbed: Tensor, present: Tensor, **_: object) -> Tensor:
    """exp(-D^2 / width^2), D: cosine distance from all features; the paper's section 3.4."""
    distance = 1 - present.float().mean(1).sqrt()
    return (-(distance**2) / WIDTH**2).exp()


def _by_presence(method: Any, subject: Subject, options: Options) -> Tensor:  # noqa: ANN401
    """A method of captum of drawn coalitions, (features,)."""
    ones = torch.ones(1, len(subject.features))
    with drawing(options.seed):
        found = method.attribute(
            ones,
            baselines=torch.zeros_like(ones),
            n_samples=options.samples,
            perturbations_per_eval=min(options.samples, 256),
        )
    return found[0].detach().double()


def feature_ablation(subject: Subject, options: Options) -> Attribution:
    """What is lost without each feature."""
    ones = torch.ones(1, len(subject.features))
    method = captum().FeatureAblation(subject.with_present)
    return Attribution(method.attribute(ones, torch.zeros_like(ones))[0].double())


def occlusion(subject: Subject, options: Options) -> Attribution:
    """Zeiler & Fergus 2014, section 4.2: what is lost without each window, shared by what it hides.

    Raises:
        ValueError: of a table, whose columns have no neighbours
    """
    if isinstance(subject, Words):
        ones, window = (
            torch.ones(1, len(subject.features)),
            min(options.window, len(subject.features)),
        )
        method = captum().Occlusion(subject.with_present)
        found = method.attribute(ones, (window,), baselines=torch.zeros_like(ones))
        return Attribution(found[0].double())
    if subject.point.ndim < 3:
        raise ValueError("--method=occlusion is of pictures and texts: feature_ablation of columns")
    channels, *size = subject.point.shape
    window = (channels, *(min(options.window, side) for side in size))
    strides = (channels, *(max(1, side // 2) for side in window[1:]))
    with torch.no_grad():
        found = (
            captum()
            .Occlusion(subject.at)
            .attribute(
                subject.point.unsqueeze(0),
                window,
                strides,
                baselines=subject.baselines.mean(0, keepdim=True),
            )[0]
        )
    return Attribution(subject.by_feature(found.double()), map=found)


METHODS: dict[str, Callable[[Subject, Options], Attribution]] = {
    "integrated_gradients": integrated_gradients,
    "gradient_shap": gradient_shap,
    "kernel_shap": kernel_shap,
    "lime": lime,
    "feature_ablation": feature_ablation,
    "occlusion": occlusion,
}
GRADIENTS = ("integrated_gradients", "gradient_shap")
EXACTLY = ("integrated_gradients", "kernel_shap")  # have to add up to f(x) - f(b)
