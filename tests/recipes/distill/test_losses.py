"""Each distillation loss against its definition, written the slow way, and its closed forms."""

import math

import pytest
import torch

from recipes.distill.losses import (
    DIST,
    DKD,
    KD,
    LEAST_SPREAD,
    StandardizedKD,
    dist,
    dkd,
    kd,
    standardize,
)

BATCH, CLASSES = 6, 5


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    student = 3 * torch.randn(BATCH, CLASSES, generator=generator, dtype=torch.float64)
    teacher = 3 * torch.randn(BATCH, CLASSES, generator=generator, dtype=torch.float64)
    targets = torch.randint(CLASSES, (BATCH,), generator=generator)
    return student, teacher, targets


def softmax(row, temperature):
    powers = [math.exp(z / temperature) for z in row]
    return [power / sum(powers) for power in powers]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def correlation(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    squares = sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)
    return covariance / math.sqrt(squares)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_kd_is_its_definition(logits, temperature):
    student, teacher, _ = logits
    slow = sum(
        kl(softmax(t, temperature), softmax(s, temperature))
        for s, t in zip(student.tolist(), teacher.tolist(), strict=True)
    )
    expected = temperature**2 * slow / BATCH
    assert kd(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-9)


def test_kd_gradient_tends_to_logit_matching(logits):
    """Hinton et al. 2015, section 2.1: for zero-mean logits and T to infinity."""
    student, teacher, _ = logits
    student = (student - student.mean(1, keepdim=True)).requires_grad_()
    teacher = teacher - teacher.mean(1, keepdim=True)
    (gradient,) = torch.autograd.grad(BATCH * kd(student, teacher, 1e4), student)
    torch.testing.assert_close(gradient, (student - teacher) / CLASSES, rtol=0, atol=1e-3)
    (at_one,) = torch.autograd.grad(BATCH * kd(student, teacher, 1.0), student)
    assert (at_one - (student - teacher) / CLASSES).abs().max() > 0.1


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dkd_is_its_definition(logits, temperature):
    student, teacher, targets = logits
    slow = 0.0
    for s, t, y in zip(student.tolist(), teacher.tolist(), targets.tolist(), strict=True):
        p, q = softmax(t, temperature), softmax(s, temperature)
        tckd = kl([p[y], 1 - p[y]], [q[y], 1 - q[y]])
        others = [c for c in range(CLASSES) if c != y]
        nckd = kl([p[c] / (1 - p[y]) for c in others], [q[c] / (1 - q[y]) for c in others])
        slow += 2.0 * tckd + 3.0 * nckd
    expected = temperature**2 * slow / BATCH
    value = dkd(student, teacher, targets, temperature, alpha=2.0, beta=3.0)
    assert value.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dkd_with_coupled_weights_is_kd(logits, temperature):
    """Zhao et al. 2022, equation 6."""
    student, teacher, targets = logits
    p_target = (teacher / temperature).softmax(1).gather(1, targets[:, None]).squeeze(1)
    coupled = dkd(student, teacher, targets, temperature, alpha=1.0, beta=1 - p_target)
    torch.testing.assert_close(coupled, kd(student, teacher, temperature))
    decoupled = dkd(student, teacher, targets, temperature)
    assert not torch.isclose(decoupled, kd(student, teacher, temperature))


def test_dist_is_its_definition(logits):
    student, teacher, _ = logits
    p, q = (torch.tensor([softmax(row, 4.0) for row in z.tolist()]) for z in (teacher, student))
    inter = [1 - correlation(a, b) for a, b in zip(q.tolist(), p.tolist(), strict=True)]
    intra = [1 - correlation(a, b) for a, b in zip(q.T.tolist(), p.T.tolist(), strict=True)]
    expected = 16 * (2 * sum(inter) / BATCH + 3 * sum(intra) / CLASSES)
    value = dist(student, teacher, 4.0, beta=2.0, gamma=3.0)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_dist_is_zero_for_affinely_related_probabilities(logits):
    _, teacher, _ = logits
    p = teacher.softmax(1)
    flatter = 0.3 * p + 0.7 / CLASSES  # affine along both axes, and still distributions
    assert dist(flatter.log(), teacher, 1.0).item() == pytest.approx(0, abs=1e-12)
    assert kd(flatter.log(), teacher, 1.0) > 0.1


def test_standardized_kd_ignores_affine_maps_of_each_sample(logits):
    student, teacher, targets = logits
    scale = torch.linspace(0.5, 4, BATCH, dtype=torch.float64)[:, None]
    shift = torch.linspace(-7, 3, BATCH, dtype=torch.float64)[:, None]
    loss = StandardizedKD()
    mapped = loss(scale * student + shift, teacher / scale - shift, targets, 2.0)
    torch.testing.assert_close(mapped, loss(student, teacher, targets, 2.0), rtol=1e-6, atol=0)
    assert not torch.isclose(kd(scale * student, teacher, 2.0), kd(student, teacher, 2.0))
    torch.testing.assert_close(
        standardize(student).square().mean(1), torch.ones(BATCH, dtype=torch.float64)
    )


@pytest.mark.parametrize("loss", [KD(), DKD(), DIST(), StandardizedKD()])
def test_losses_of_extreme_logits_have_finite_gradients(loss):
    student = torch.tensor([[1000.0, -1000, 0], [0, 0, 0]], requires_grad=True)
    teacher = torch.tensor([[-1000.0, 1000, 0], [500, 0, 0]])
    value = loss(student, teacher, torch.tensor([0, 1]), 1.0)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()


# Of the gradient's norm, from the docstrings; of temperature, batch and classes.
LIMITS = {
    DIST: lambda t, n, c: 2 * t * 2 * (1 + t / (LEAST_SPREAD * math.sqrt(n * c))),
    StandardizedKD: lambda t, n, _: math.sqrt(2 / n) * t / LEAST_SPREAD,
}
NEARLY_EQUAL = {
    "all": lambda z: 0 * z,
    "nearly": lambda z: z,
    "of each sample": lambda z: z[:1].repeat(len(z), 1),  # one sample for all
    "but for each class's size": lambda z: z + torch.linspace(-5, 5, z.shape[1]),
    "but for each sample's size": lambda z: z + torch.linspace(-5, 5, len(z))[:, None],
}


def gradient_norm(loss, student, teacher, temperature):
    student = student.clone().requires_grad_()
    targets = torch.zeros(len(student), dtype=torch.long)
    (gradient,) = torch.autograd.grad(loss(student, teacher, targets, temperature), student)
    assert gradient.isfinite().all()
    return gradient.norm().item()


@pytest.mark.parametrize("case", NEARLY_EQUAL)
@pytest.mark.parametrize("loss", LIMITS)
def test_the_gradient_of_equal_logits_is_within_its_limit(loss, case):
    generator = torch.Generator().manual_seed(1)
    for batch, classes in ((1, 3), (6, 5), (64, 10), (32, 200)):
        noise, teacher = torch.randn(2, batch, classes, generator=generator)
        for temperature in (1.0, 4.0, 20.0):
            limit = LIMITS[loss](temperature, batch, classes)
            for scale in (1e-12, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1, 10):
                student = NEARLY_EQUAL[case](scale * noise)
                assert gradient_norm(loss(), student, 3 * teacher, temperature) <= limit


def test_the_published_definitions_have_no_limit(logits):
    """The negative control of the test above: correlation, and a deviation of 1e-7 at least."""
    _, teacher, _ = logits
    student = 1e-9 * logits[0]

    def correlations(student, teacher, targets, temperature):
        a, b = (z.softmax(1) - 1 / CLASSES for z in (student, teacher))
        return 1 - torch.nn.functional.cosine_similarity(a, b).mean()

    def standardized(student, teacher, targets, temperature):
        def scaled(z):
            return (z - z.mean(1, keepdim=True)) / (z.std(1, keepdim=True) + 1e-7)

        return kd(scaled(student), scaled(teacher), temperature)

    assert gradient_norm(correlations, student, teacher, 1.0) > 1e6
    assert gradient_norm(standardized, student, teacher, 1.0) > 1e6


@pytest.mark.parametrize("loss", [DIST(), StandardizedKD()])
def test_equal_logits_learn_all_the_same(loss):
    """A student that starts at zero comes to the teacher's relations."""
    generator = torch.Generator().manual_seed(2)
    teacher = 3 * torch.randn(8, CLASSES, generator=generator)
    student = torch.zeros(8, CLASSES, requires_grad=True)
    optimizer = torch.optim.SGD([student], lr=0.1)
    targets, values = torch.zeros(8, dtype=torch.long), []
    for _ in range(400):
        value = loss(student, teacher, targets, 2.0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.05 * values[0]


@pytest.mark.parametrize("loss", [KD(), DKD(), DIST(), StandardizedKD()])
def test_losses_are_least_for_the_teachers_own_logits(loss, logits):
    student, teacher, targets = logits
    own = loss(teacher.clone().requires_grad_(), teacher, targets, 2.0)
    assert own.item() == pytest.approx(0, abs=1e-9)
    assert loss(student, teacher, targets, 2.0) > 0.1
