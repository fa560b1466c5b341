"""The equations of policy gradients against their definitions, written the slow way."""

import pytest
import torch
from torch import distributions
from torch.distributions import kl_divergence

from datamodules.environments.environment import Spaces
from recipes.policy_gradient.distributions import Categorical, Normal, distribution_of
from recipes.policy_gradient.losses import generalized_advantages, policy_loss, value_loss
from recipes.policy_gradient.rollout import draws, orders

DISCOUNT = 0.9


@pytest.fixture
def steps():
    """Two environments, nine steps: episodes that terminate, are truncated, and go on."""
    generator = torch.Generator().manual_seed(0)
    rewards, values, following = torch.randn(3, 2, 9, generator=generator, dtype=torch.double)
    terminated, truncated = torch.zeros(2, 2, 9, dtype=torch.bool)
    terminated[0, 3] = truncated[0, 6] = truncated[1, 0] = terminated[1, 8] = True
    going_on = ~(terminated | truncated)[:, :-1]
    following[:, :-1] = torch.where(going_on, values[:, 1:], following[:, :-1])
    return rewards, values, following, terminated, terminated | truncated


def by_definition(rewards, values, following, terminated, over, gae_lambda):
    """The sum over later steps of the same episode of (gamma lambda)^l delta."""
    found = torch.zeros_like(rewards)
    for env in range(2):
        for start in range(9):
            for step in range(start, 9):
                after = 0.0 if terminated[env, step] else following[env, step]
                delta = rewards[env, step] + DISCOUNT * after - values[env, step]
                found[env, start] += (DISCOUNT * gae_lambda) ** (step - start) * delta
                if over[env, step]:
                    break
    return found


@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 0.95, 1.0])
def test_advantages_are_their_sum(steps, gae_lambda):
    found = generalized_advantages(*steps, DISCOUNT, gae_lambda)
    torch.testing.assert_close(found, by_definition(*steps, gae_lambda))


def test_at_lambda_0_an_advantage_is_a_temporal_difference(steps):
    rewards, values, following, terminated, _ = steps
    found = generalized_advantages(*steps, DISCOUNT, 0.0)
    torch.testing.assert_close(found, rewards + DISCOUNT * following * ~terminated - values)


def test_at_lambda_1_an_advantage_is_the_return_minus_the_value(steps):
    """With the value of what follows at a truncation, and behind the last step."""
    rewards, values, following, terminated, over = steps
    found = generalized_advantages(*steps, DISCOUNT, 1.0) + values
    for env in range(2):
        total = following[env, 8]
        for step in reversed(range(9)):
            if over[env, step]:
                total = 0.0 if terminated[env, step] else following[env, step]
            total = rewards[env, step] + DISCOUNT * total
            torch.testing.assert_close(found[env, step], total)


def test_a_truncation_bootstraps_and_a_termination_does_not():
    one, no = torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.bool)
    ends = {"terminated": (~no, ~no), "truncated": (no, ~no)}
    found = {
        name: float(generalized_advantages(one, 3 * one, 10 * one, *flags, 0.5, 0.9))
        for name, flags in ends.items()
    }
    assert found == {"terminated": 1 - 3, "truncated": 1 + 0.5 * 10 - 3}


def test_the_first_ratio_is_1_and_the_first_gradient_a2cs():
    log_probs = torch.randn(50).double().requires_grad_()
    advantages = torch.randn(50).double()
    of_ppo = policy_loss(log_probs, log_probs.detach(), advantages, 0.2)
    torch.testing.assert_close(of_ppo.detach(), -advantages)  # the ratio is 1
    of_a2c = policy_loss(log_probs, log_probs.detach(), advantages, None)
    gradients = [torch.autograd.grad(loss.sum(), log_probs)[0] for loss in (of_ppo, of_a2c)]
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(gradients[0], -advantages)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "moves"),
    [  # figure 1 of the paper, with e = 0.2
        (1.1, 2.0, -2.2, True),
        (1.5, 2.0, -2.4, False),
        (0.5, 2.0, -1.0, True),
        (1.5, -2.0, 3.0, True),
        (0.5, -2.0, 1.6, False),
    ],
)
def test_ppo_stops_an_action_that_has_changed_enough(ratio, advantage, loss, moves):
    log_prob = torch.tensor([ratio]).double().log().requires_grad_()
    one = torch.ones(1).double()
    found = policy_loss(log_prob, 0 * one, advantage * one, 0.2)
    (gradient,) = torch.autograd.grad(found, log_prob)
    assert found.detach().item() == pytest.approx(loss)
    assert float(gradient) == pytest.approx(-ratio * advantage if moves else 0.0)


def test_the_expected_gradient_is_that_of_the_expected_reward():
    """Williams 1992, theorem 1, over all actions of one state; a baseline changes nothing."""
    logits = torch.randn(4).double().requires_grad_()
    rewards, probabilities = torch.randn(4).double(), logits.detach().softmax(0)
    log_probs = Categorical.log_prob(logits.expand(4, 4), torch.arange(4))
    (wanted,) = torch.autograd.grad(-(logits.softmax(0) * rewards).sum(), logits, retain_graph=True)
    for baseline in (0.0, 5.0):
        losses = policy_loss(log_probs, log_probs.detach(), rewards - baseline, None)
        (found,) = torch.autograd.grad((probabilities * losses).sum(), logits, retain_graph=True)
        torch.testing.assert_close(found, wanted)


def test_value_losses_with_and_without_a_clip():
    values, old, targets = torch.tensor([[1.0, 3.0, -1.0], [0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    assert value_loss(values, old, targets, None).tolist() == [0.5, 0.5, 4.5]
    # Clipped at 0.5: |0.5 - 2| > |1 - 2|; |0.5 - 2| > |3 - 2|; |-0.5 - 2| < |-1 - 2|.
    assert value_loss(values, old, targets, 0.5).tolist() == [1.125, 1.125, 4.5]


def test_distributions_are_torchs():
    outputs = torch.randn(7, 6).double()
    choices = torch.randint(6, (7,))
    theirs = distributions.Categorical(logits=outputs)
    torch.testing.assert_close(Categorical.log_prob(outputs, choices), theirs.log_prob(choices))
    torch.testing.assert_close(Categorical.entropy(outputs), theirs.entropy())
    assert torch.equal(Categorical.mode(outputs), outputs.argmax(1))
    mean, log_deviation = outputs.split(3, 1)
    theirs = distributions.Independent(distributions.Normal(mean, log_deviation.exp()), 1)
    actions = torch.randn(7, 3).double()
    torch.testing.assert_close(Normal.log_prob(outputs, actions), theirs.log_prob(actions))
    torch.testing.assert_close(Normal.entropy(outputs), theirs.entropy())
    assert torch.equal(Normal.mode(outputs), mean)


def test_samples_are_of_the_distribution():
    uniform = draws(torch.arange(20_000), 1, 3, 0)[0]
    assert 0 < uniform.min() and uniform.max() < 1
    logits = torch.tensor([0.0, 1.0, 2.0]).double()
    found = Categorical.sample(logits.expand(20_000, 3), Categorical.noise(uniform))
    counts = torch.bincount(found, minlength=3).double() / 20_000
    torch.testing.assert_close(counts, logits.softmax(0), atol=0.012, rtol=0)
    outputs = torch.tensor([1.0, -1.0, 0.0, 0.5, 0.0, -1.0]).double().expand(20_000, 6)
    found = Normal.sample(outputs, Normal.noise(uniform))
    torch.testing.assert_close(found.mean(0), outputs[0, :3], atol=0.05, rtol=0)
    torch.testing.assert_close(found.std(0).log(), outputs[0, 3:], atol=0.03, rtol=0)
    empirical = distributions.Normal(found.mean(0), found.std(0))
    wanted = distributions.Normal(outputs[0, :3], outputs[0, 3:].exp())
    assert kl_divergence(empirical, wanted).max() < 1e-3


def test_which_distribution_an_environment_needs():
    assert distribution_of(Spaces(4, 2)) is Categorical
    assert distribution_of(Spaces(3, 1, (-2.0,), (2.0,))) is Normal
    assert (Categorical.outputs(Spaces(4, 5)), Normal.outputs(Spaces(3, 2, (0, 0), (1, 1)))) == (
        5,
        4,
    )


def test_minibatches_take_each_step_once_and_do_not_depend_on_the_division():
    together = orders(torch.arange(4), 8, 3, 7)
    assert together.shape == (3, 4, 8)
    assert torch.equal(together.sort(2).values, torch.arange(8).expand(3, 4, 8))
    assert torch.equal(orders(torch.tensor([1, 3]), 8, 3, 7), together[:, [1, 3]])
    rows = together.flatten(0, 1).tolist()
    assert len(set(map(tuple, rows))) == len(rows), "each pass and environment has its own"
    noise = draws(torch.arange(4), 5, 2, 7)
    assert torch.equal(draws(torch.tensor([1, 3]), 5, 2, 7), noise[:, [1, 3]])
