"""Distill: its step against the definition, its teacher's invariants, its paired control."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.nn import functional as F

from beside.pictures import RandomColours
from datamodules.augmentation import Flip
from datamodules.augmentation.mixing import MixUp
from marks import some
from recipes.classify import Classify
from recipes.distill import Distill
from recipes.distill.losses import DKD, kd
from recipes.distill.teacher import load_teacher
from recipes.parts.networks import MLP, ConvNet, Frozen
from trains import digits, fit, weights


def sgd(params):
    return torch.optim.SGD(params, lr=0.1)


def distill(scheme="frozen", seed=1, **kwargs):
    torch.manual_seed(seed)
    student, teacher = MLP(64, [8]), ConvNet([4])
    kwargs = {"temperature": 3.0, "alpha": 0.7, "optimizer": sgd, **kwargs}
    return Distill(student, teacher, scheme=scheme, **kwargs)


@pytest.mark.parametrize("scheme", ["frozen", "online", "mutual"])
@pytest.mark.parametrize("control", [False, True])
def test_one_step_is_the_definition(tmp_path, scheme, control):
    module = distill(scheme, control=control)
    slow = {name: copy.deepcopy(module.student) for name in ("student", "control")}
    teacher = copy.deepcopy(module.teacher.network if scheme == "frozen" else module.teacher)
    fit(module, digits(), tmp_path, max_steps=1, limit_val_batches=0)

    data = digits()
    data.setup("fit")
    images, targets = next(iter(data.train_dataloader()))
    inputs = images / 16
    teacher.train(scheme != "frozen")
    student_logits, teacher_logits = slow["student"](inputs), teacher(inputs)
    hard = F.cross_entropy(student_logits, targets)
    loss = 0.7 * kd(student_logits, teacher_logits.detach(), 3.0) + 0.3 * hard
    loss.backward()
    if scheme != "frozen":
        teacher_loss = F.cross_entropy(teacher_logits, targets)
        if scheme == "mutual":
            back = kd(teacher_logits, student_logits.detach(), 3.0)
            teacher_loss = 0.7 * back + 0.3 * teacher_loss
        teacher_loss.backward()
    F.cross_entropy(slow["control"](inputs), targets).backward()

    def stepped(network):
        return torch.cat([(p - 0.1 * p.grad).flatten() for p in network.parameters()])

    def flat(network):
        return torch.cat([p.flatten() for p in network.parameters()])

    torch.testing.assert_close(flat(module.student), stepped(slow["student"]))
    if scheme != "frozen":
        torch.testing.assert_close(flat(module.teacher), stepped(teacher))
    if control:
        torch.testing.assert_close(flat(module.control), stepped(slow["control"]))


def test_a_frozen_teacher_is_untouched_and_not_saved(tmp_path):
    module = distill(teacher_cache="off")
    before = weights(module.teacher.network).clone()
    _, trainer = fit(module, digits(), tmp_path, max_epochs=2)
    assert torch.equal(weights(module.teacher.network), before), "batch-norm statistics included"
    assert all(p.grad is None for p in module.teacher.network.parameters())
    optimized = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    assert optimized == {id(p) for p in module.student.parameters()}
    assert all(name.startswith("student.") for name in module.state_dict())


def test_a_teacher_without_frozen_would_drift(tmp_path):
    """The negative control: a stock submodule without gradients is still in training mode."""

    class Stock(Distill):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.teacher = self.teacher.network.requires_grad_(False)

    torch.manual_seed(1)
    module = Stock(MLP(64, [8]), ConvNet([4]).train(), teacher_cache="off", optimizer=sgd)
    module.teacher.train()
    before = weights(module.teacher).clone()
    fit(module, digits(), tmp_path)
    assert not torch.equal(weights(module.teacher), before)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("cache", some(["float16", "float32"], 1))
def test_cached_logits_give_the_same_student(tmp_path, shift, cache):
    students = []
    for setting in ("off", cache):
        module = distill(teacher_cache=setting)
        calls = []
        module.teacher.network.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        fit(module, digits(shift=shift), tmp_path, max_epochs=3)
        students.append(weights(module.student))
        # Twice 2 for the sizes; then once a thousand rows, not once a batch.
        assert (len(calls) > 48) is (setting == "off")
    tolerance = 1e-5 if cache == "float32" else 2e-3
    torch.testing.assert_close(students[1], students[0], rtol=0, atol=tolerance)
    assert not torch.allclose(students[0], weights(distill().student), atol=0.05), "it trained"


WHY = {
    None: "",
    "augment": "the pictures are changed by --data.augment",
    "mix": "the pictures are changed by --data.mix",
    "short": "this fit is too short to need all of its logits",
}


@pytest.mark.parametrize("changes", WHY)
def test_logits_of_pictures_that_stay_as_they_are_are_kept(tmp_path, changes, caplog):
    students, asked = [], []
    length = {"max_epochs": 1, "limit_train_batches": 5} if changes == "short" else {}
    for setting in ("off", "float32"):
        torch.manual_seed(1)
        networks = ConvNet([4], inputs=3), ConvNet([8], inputs=3)
        module = Distill(*networks, teacher_cache=setting, optimizer=sgd)
        sizes = []
        networks[1].register_forward_hook(lambda _, x, out, sizes=sizes: sizes.append(len(x[0])))
        data = RandomColours(rows=120, batch_size=20)
        data.augment = [Flip(0.5)] if changes == "augment" else []
        data.mix = MixUp() if changes == "mix" else None
        fit(module, data, tmp_path, **({"max_epochs": 3} | length))
        students.append(weights(module.student))
        asked.append(len(sizes))
    torch.testing.assert_close(students[1], students[0], rtol=0, atol=1e-5)
    assert asked[0] > 18 or changes == "short", "18 steps, and validation"
    assert (asked[1] < 18) is (changes in (None, "short"))
    assert (f"in every training step: {WHY[changes]}" in caplog.text) is bool(changes)


@pytest.mark.parametrize("scheme", ["frozen", "online", "mutual"])
def test_the_control_is_the_student_trained_alone(tmp_path, scheme):
    module = distill(scheme, control=True)
    alone = Classify(copy.deepcopy(module.student), optimizer=sgd)
    fit(module, digits(), tmp_path, max_epochs=2)
    fit(alone, digits(), tmp_path, max_epochs=2)
    torch.testing.assert_close(weights(module.control), weights(alone.network))
    assert not torch.allclose(weights(module.student), weights(module.control), atol=1e-2)


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_the_student_does_not_depend_on_who_learns_beside_it(tmp_path, algorithm):
    """Lightning's own clipping takes one norm over all networks: the negative control."""

    class Stock(Distill):
        def configure_gradient_clipping(self, optimizer, **kwargs):
            self.clip_gradients(optimizer, **kwargs)

    def student(kind, control):
        torch.manual_seed(1)
        module = kind(MLP(64, [8]), ConvNet([4]), scheme="frozen", control=control, optimizer=sgd)
        clip = {"gradient_clip_val": 0.02, "gradient_clip_algorithm": algorithm}
        fit(module, digits(), tmp_path, **clip)
        return weights(module.student)

    assert torch.equal(student(Distill, True), student(Distill, False))
    if algorithm == "norm":
        assert not torch.allclose(student(Stock, True), student(Stock, False))
    else:  # by value no network depends on another, so Lightning's own is right
        assert torch.equal(student(Distill, True), student(Stock, True))
    assert torch.equal(student(Distill, False), student(Stock, False))


def test_metrics_are_paired(tmp_path):
    _, trainer = fit(distill("online", control=True), digits(), tmp_path, max_epochs=3)
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    gain = metrics["val/accuracy"] - metrics["val/control_accuracy"]
    assert metrics["val/gain"] == pytest.approx(gain, abs=1e-6)
    assert metrics["val/errors"] == pytest.approx(360 * (1 - metrics["val/accuracy"]), abs=1e-3)


@pytest.fixture
def checkpoint(tmp_path):
    """A teacher, as classify saves it from Python."""
    torch.manual_seed(2)
    module, trainer = fit(Classify(ConvNet([4])), digits(), tmp_path)
    path = tmp_path / "teacher.ckpt"
    trainer.save_checkpoint(path)
    return module, str(path)


def test_a_teacher_comes_from_classify(checkpoint):
    module, path = checkpoint
    teacher = load_teacher(ConvNet([4]), path)
    assert torch.equal(weights(teacher), weights(module.network))


def test_checkpoints_from_python_hold_plain_values_only(checkpoint):
    saved = torch.load(checkpoint[1], weights_only=True)
    assert "network" not in saved["hyper_parameters"]


def test_teachers_that_do_not_fit_are_refused(checkpoint, tmp_path):
    _, path = checkpoint
    with pytest.raises(ValueError, match=r"does not fit --model.teacher: .*size mismatch"):
        load_teacher(ConvNet([5]), path)
    with pytest.raises(ValueError, match=r"does not fit --model.teacher: .*state_dict for MLP"):
        load_teacher(MLP(64, [8]), path)
    with pytest.raises(ValueError, match="does not say its network"):
        load_teacher(None, path)
    with pytest.raises(FileNotFoundError, match=r"nothing.ckpt: no such file"):
        load_teacher(ConvNet([4]), str(tmp_path / "nothing.ckpt"))
    (tmp_path / "cut.ckpt").write_bytes(Path(path).read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut.ckpt is damaged"):
        load_teacher(ConvNet([4]), str(tmp_path / "cut.ckpt"))
    with pytest.raises(ValueError, match=r"needs --model.teacher_checkpoint, or --model.teacher_w"):
        Distill(MLP(64, [8]))
    with pytest.raises(ValueError, match=r"--model.scheme=online trains --model.teacher"):
        Distill(MLP(64, [8]), scheme="online")
    with pytest.raises(ValueError, match=r"from no checkpoint"):
        Distill(MLP(64, [8]), ConvNet([4]), path, scheme="mutual")


@pytest.mark.parametrize("cache", ["float32", "off"])
def test_other_classes_are_refused_before_the_first_step(tmp_path, cache):
    module = Distill(MLP(64, [8], outputs=10), ConvNet([4], outputs=7), teacher_cache=cache)
    before = weights(module.student).clone()
    with pytest.raises(ValueError, match=r"--model.teacher.outputs=7: --data=Digits has 10 c"):
        fit(module, digits(), tmp_path)
    assert torch.equal(weights(module.student), before)


def test_a_loss_of_ones_own_is_called_with_the_targets(tmp_path):
    class Recording(DKD):
        def __call__(self, student, teacher, targets, temperature):
            self.seen = (student.shape, teacher.shape, targets.shape, temperature)
            return super().__call__(student, teacher, targets, temperature)

    loss = Recording()
    fit(distill(loss=loss), digits(), tmp_path, max_steps=1, limit_val_batches=0)
    assert loss.seen == ((64, 10), (64, 10), (64,), 3.0)


def test_frozen_takes_any_module_with_weights():
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    module = Distill(MLP(64, [8]), teacher)
    assert isinstance(module.teacher, Frozen) and module.teacher.network is teacher


def test_a_cached_teacher_teaches_only_its_own_student(tmp_path):
    data = digits()
    fit(distill("frozen"), data, tmp_path)
    module = distill("online")
    before = weights(module.teacher).clone()
    fit(module, data, tmp_path)
    assert not torch.equal(weights(module.teacher), before), "it learns, so it was asked"
    fit(Classify(MLP(64, [8])), data, tmp_path)


def test_fused_clipping_in_fp16_is_refused():
    module = distill(optimizer=lambda params: torch.optim.SGD(params, lr=0.1, fused=True))
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    module.trainer = SimpleNamespace(precision_plugin=plugin)
    with pytest.raises(ValueError, match=r"--model.optimizer.fused=false"):
        module.configure_gradient_clipping(module.configure_optimizers(), 0.5, "norm")


def test_subclasses_hyperparameters_are_plain(tmp_path):
    class Mine(Classify):
        def __init__(self, network, extra, sizes, rate=0.5):
            super().__init__(network)

    module, trainer = fit(Mine(MLP(64, [8]), nn.Linear(2, 2), [1, 2]), digits(), tmp_path)
    assert module.hparams == {
        **{"sizes": [1, 2], "rate": 0.5, "label_smoothing": 0.0},
        **{"weights": None, "weights_except": None, "output": None, "groups": None},
    }
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    torch.load(tmp_path / "mine.ckpt", weights_only=True)
