"""Networks that give a dict, a tuple or an object are trained by the part that is named."""

import copy
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from recipes.classify import Classify
from recipes.distill import Distill
from recipes.parts.networks import MLP
from recipes.parts.outputs import take_output
from trains import digits, fit, weights


class Pair(NamedTuple):
    features: Tensor
    logits: Tensor


@dataclass
class Result:
    logits: Tensor
    loss: Tensor | None = None


class Wide(nn.Module):
    """An MLP that gives more than its logits."""

    def __init__(self, form, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.form, self.mlp = form, MLP(64, [8])

    def forward(self, inputs):
        features = self.mlp.features(inputs)
        return self.form(features, self.mlp.head(features))


FORMS = {
    "dict": (lambda f, z: {"features": f, "logits": z, "more": [1]}, "logits"),
    "tuple": (lambda f, z: (f, z), 1),
    "named tuple": (Pair, "logits"),
    "list": (lambda f, z: [z, None], 0),
    "object": (lambda f, z: Result(z), "logits"),
    "tensor": (lambda f, z: z, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_named_part_is_trained(form, tmp_path):
    made, which = FORMS[form]
    module, trainer = fit(Classify(Wide(made), output=which), digits(), tmp_path)
    plain, other = fit(Classify(Wide(FORMS["tensor"][0])), digits(), tmp_path)
    assert torch.equal(weights(module.network), weights(plain.network))
    assert trainer.callback_metrics["val/loss"] == other.callback_metrics["val/loss"]


@pytest.mark.parametrize("scheme", ["frozen", "online"])
def test_a_teacher_may_give_it_and_a_student_a_tensor(scheme, tmp_path):
    found = []
    for form in ("dict", "tensor"):
        made, _ = FORMS[form]
        torch.manual_seed(3)
        module = Distill(MLP(64, [8]), Wide(made), scheme=scheme, output="logits", control=True)
        fit(module, digits(), tmp_path)
        found.append(torch.cat([weights(module.student), weights(module.control)]))
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("form", "which", "said"),
    [
        ("dict", None, "--model.output=None: the network gives a dict, with .* features, logits"),
        ("dict", "more", "--model.output=more: the network gives a dict, with .* features, logits"),
        ("tuple", 2, "--model.output=2: the network gives a tuple, with the tensors 0, 1"),
        ("object", "loss", "--model.output=loss: the network gives a Result, with .* logits"),
    ],
)
def test_what_there_is_is_named(form, which, said):
    network = Wide(FORMS[form][0])
    take_output(which, network)
    for each in (network, copy.deepcopy(network)):
        with pytest.raises(ValueError, match=said):
            each(torch.zeros(2, 64))


@pytest.mark.parametrize(("value", "kind"), [("logits", str), ("1", int)])
def test_the_command_line_takes_a_name_and_a_number(recipe, value, kind):
    short = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2")
    flags = (f"--model.network=factory.{kind.__name__}s", f"--model.output={value}", *short)
    recipe("classify", "fit", "--name=a", *flags)
    recipe("classify", "test", "--ckpt_path=runs/classify/a/checkpoints/last.ckpt")
