"""A student that learns from a teacher: frozen, learning beside it, or learning from it too."""

import copy
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jsonargparse import Namespace
from jsonargparse.typing import ClosedUnitInterval, restricted_number_type
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from datamodules.loading.missing import is_known
from recipes.distill.losses import KD, SoftLoss
from recipes.distill.teacher import NEEDS, check_same_classes, check_split, load_teacher
from recipes.parts.clipping import clip_groups
from recipes.parts.embedded import show_inputs
from recipes.parts.fitting import check_classifier, count_classes
from recipes.parts.groups import Groups
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import class_numbers, full, mean_of_known
from recipes.parts.labels import accuracy, cross_entropies, cross_entropy, errors
from recipes.parts.logs import log_count, log_means, log_terms
from recipes.parts.networks import Frozen
from recipes.parts.outputs import Output, take_output
from recipes.parts.sharding import distribute, shard_over_all
from recipes.parts.trained_on import say_other_data
from recipes.parts.weights import Patterns, Start

# Beyond it float32 rounds the softened classes to one another, or to 0 and 1.
Temperature = restricted_number_type("Temperature", float, [(">=", 0.001), ("<=", 1000)])


class Distill(LightningModule):
    """Trains a small student on labels and on a large teacher's logits.

    Args:
        student: maps inputs (batch, ...) to logits (batch, classes); any class_path
        teacher: the same, larger; not needed with a teacher_checkpoint that classify saved
        teacher_checkpoint: path of a checkpoint that recipes.classify saved, for scheme frozen
        scheme: frozen: the teacher only answers; online: it learns from the labels beside the
            student; mutual: it also learns from the student (Zhang et al. 2018,
            https://arxiv.org/abs/1706.00384)
        loss: of student and teacher: KD (if none is given), DKD, DIST, StandardizedKD, or any
            class_path
        temperature: T, divides both logits; no unit, 0.001 to 1000
        alpha: weight of the teacher's term, 0 to 1; the labels have the rest
        control: train a copy of the student from the labels alone in the same run: same
            initialisation, same batches; logs val/gain, the student's accuracy minus the copy's
        teacher_cache: type in which a frozen teacher's logits are kept with the data and not
            computed anew in every epoch (float32: in float64 with 64-true), or off; kept by images
            in memory, CIFAR and folders of pictures, unless these are augmented or mixed
        shard_teacher: split a frozen teacher over the processes of `ddp`, each of which has the
            whole student: for a teacher that does not fit one GPU
        optimizer: of all that learns, one parameter group a network; any class_path;
            default: fused Adam at 0.001
        student_weights: file of the weights that the student, and the control, start from: a
            state_dict of anyone, by torch.save or safetensors, or a checkpoint; not read when a run
            is resumed or tested
        teacher_weights: likewise, of the teacher; of a frozen one read in every run that asks it
        weights_except: layers, or patterns of names, that stay as initialised in what learns: head
        output: of a student or teacher whose output is a dict or tuple, the logits' name, or number
            from 0
        groups: parameter groups: rates and weight decay by patterns of names, and layer-wise
            decay; by default none
    """

    monitor = ("val/accuracy", "max")  # by which a state is the best
    data_arguments: ClassVar = {"class_target": "whole"}  # where the user gives none

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None = None,
        teacher_checkpoint: str | None = None,
        scheme: Literal["frozen", "online", "mutual"] = "frozen",
        loss: SoftLoss | None = None,
        temperature: Temperature = 4.0,
        alpha: ClosedUnitInterval = 0.9,
        control: bool = False,
        teacher_cache: Literal["float32", "float16", "off"] = "float32",
        shard_teacher: bool = False,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, fused=True),
        student_weights: str | None = None,
        teacher_weights: str | None = None,
        weights_except: Patterns = None,
        output: Output = None,
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.scheme, self.loss = scheme, loss or KD()
        self.temperature, self.alpha = temperature, alpha
        self.teacher_checkpoint, self.teacher_cache = teacher_checkpoint, teacher_cache
        self.teacher_file = teacher_checkpoint or teacher_weights
        self.optimizer = optimizer
        self.groups = groups
        self.student = student
        self.start = Start(
            weights_except, student_weights=student_weights, teacher_weights=teacher_weights
        )
        if scheme == "frozen":
            # What the command line named; those of recipes.parts come without weights of their own.
            named = (self.hparams.get("teacher") or {}).get("class_path", "")
            if self.teacher_file is None and named.startswith("recipes.parts."):
                raise ValueError(f"{NEEDS}, for {named}")
            self.teacher = Frozen(load_teacher(teacher, teacher_checkpoint, teacher_weights))
        elif teacher is None or teacher_checkpoint is not None:
            raise ValueError(f"--model.scheme={scheme} trains --model.teacher, from no checkpoint")
        else:
            self.teacher = teacher
        frozen = isinstance(self.teacher, Frozen)
        take_output(output, student, self.teacher.network if frozen else self.teacher)
        self.control = copy.deepcopy(student) if control else None
        if shard_teacher and scheme != "frozen":
            raise ValueError(f"--model.shard_teacher: with scheme {scheme} the teacher is trained")
        self.shard_teacher = shard_teacher

    def setup(self, stage: str) -> None:
        data = self.trainer.datamodule
        count = check_classifier(self.student, data, stage, "--model.student")
        if stage == "predict":
            return
        teacher = self.teacher.network if isinstance(self.teacher, Frozen) else self.teacher
        path = self.teacher_checkpoint
        option = f"--model.teacher_checkpoint={path}" if path else "--model.teacher"
        check_same_classes(count, check_classifier(teacher, data, stage, option))
        if stage == "fit" and not self.trainer.ckpt_path:
            for name, network in self.learning().items():
                show_inputs(network, data, f"--model.{name}")

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, int | None]:
        """The sizes of student and teacher that the data need, where they are not given."""
        return {"outputs": count_classes(data)}

    def configure_model(self) -> None:
        frozen = isinstance(self.teacher, Frozen)
        teacher = self.teacher.network if frozen else self.teacher
        if self.shard_teacher and self._trainer is not None:
            shard_over_all(teacher, self.trainer.strategy.root_device)
        distribute(self, student=self.student, teacher=teacher, control=self.control)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.student(inputs)

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        inputs, targets, student, teacher = self._ask_both(batch)

        def of_labels(logits: Tensor) -> Tensor:
            return mean_of_known(self, cross_entropies(logits, targets), numbers)

        numbers = class_numbers(targets)
        soft = self.loss(student, teacher.detach(), numbers, self.temperature)
        hard = of_labels(student)
        loss = self.alpha * soft + (1 - self.alpha) * hard
        terms = {"train/loss": loss, "train/soft": soft, "train/hard": hard}

        # Whatever else learns shares no parameter with the student: their losses can be added.
        if self.scheme != "frozen":
            terms["train/teacher"] = of_labels(teacher)
        if self.scheme == "mutual":
            back = self.loss(teacher, student.detach(), numbers, self.temperature)
            hard_teacher = terms["train/teacher"]
            terms["train/teacher"] = self.alpha * back + (1 - self.alpha) * hard_teacher
        if self.control is not None:
            terms["train/control"] = of_labels(full(self.control(inputs)))
        log_terms(self, terms, len(targets))
        return loss + terms.get("train/teacher", 0) + terms.get("train/control", 0)

    def _ask_both(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inputs, targets, and the logits of student and teacher, cached or computed."""
        inputs, targets, *cached = batch
        student = full(self.student(inputs))
        teacher = full(cached[0] if cached else self.teacher(inputs))
        check_same_classes(student.shape[1], teacher.shape[1])
        return inputs, targets, student, teacher

    def _evaluate(self, batch: tuple[Tensor, ...], split: str) -> dict[str, Tensor]:
        inputs, targets, student, teacher = self._ask_both(batch)
        agreement = accuracy(student, teacher.argmax(1))
        log_means(self, {f"{split}/agreement": agreement}, len(targets))
        known = is_known(targets)
        student, teacher, targets = student[known], teacher[known], targets[known]
        means = {
            f"{split}/loss": cross_entropy(student, targets),
            f"{split}/accuracy": accuracy(student, targets),
            f"{split}/teacher_accuracy": accuracy(teacher, targets),
        }
        if self.control is not None:
            control = accuracy(full(self.control(inputs))[known], targets)
            means[f"{split}/control_accuracy"] = control
            means[f"{split}/gain"] = means[f"{split}/accuracy"] - control
        size = len(targets)
        log_means(self, means, size)
        log_count(self, f"{split}/errors", errors(student, targets), size)
        return {"target": targets, "probability": student.softmax(1)}

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """Who knows how much at the end: validation accuracies in percent, the gain in points."""
        percent = {name.removeprefix("val/"): 100 * float(value) for name, value in metrics.items()}
        text = f"validation accuracy: teacher {percent['teacher_accuracy']:.1f} %, "
        text += f"student {percent['accuracy']:.1f} %"
        if self.control is not None:
            text += f", student alone {percent['control_accuracy']:.1f} %"
            text += f": gain {percent['gain']:+.1f} points"
        return text

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        return self._evaluate(batch, "test")  # of which ClassReport and WorstMistakes make theirs

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        inputs, targets, *_ = batch
        logits = full(self.student(inputs))
        return {"target": targets, "prediction": logits.argmax(1), "probability": logits.softmax(1)}

    def on_fit_start(self) -> None:
        """Computes a frozen teacher's logits once, where the data can keep them.

        Raises:
            ValueError: from `check_split`
        """
        self.start.give(self, student_weights=[self.student, self.control])
        if isinstance(self.teacher, Frozen):
            self.start.note("teacher", self.teacher_file)
            if self.teacher_file:
                say_other_data("--model.teacher", self.teacher_file, self)
        else:
            self.start.give(self, teacher_weights=self.teacher)
        data = self.trainer.datamodule
        if self.teacher_checkpoint and data is not None:
            check_split(self.teacher_checkpoint, data)
        if hasattr(data, "drop_columns"):
            data.drop_columns()  # another module's
        if self.scheme == "frozen" and self.teacher_cache != "off" and data is not None:
            if why := self._keep_logits(data):
                rank_zero_info(f"The teacher is asked in every training step: {why}.")

    def _keep_logits(self, data: LightningDataModule) -> str:
        """Computes the teacher's logits once; why not those of training, if so."""
        if not hasattr(data, "compute_column"):
            return "these data keep no logits"
        trainer = self.trainer
        trainer.fit_loop.setup_data()  # before Lightning does, and says so, for the estimate
        if not trainer.train_dataloader:
            return "there is none"
        batches = trainer.estimated_stepping_batches * trainer.accumulate_grad_batches
        # Each process computes all of them.
        if batches < len(trainer.train_dataloader) * trainer.world_size:
            return "this fit is too short to need all of its logits"
        with trainer.precision_plugin.forward_context():
            dtype = getattr(torch, self.teacher_cache)
            if dtype == torch.float32:
                dtype = torch.promote_types(dtype, self.dtype)
            splits = ("train", "val") if trainer.limit_val_batches == 1.0 else ("train",)
            if "train" in data.compute_column(self.teacher, dtype, splits):
                return ""
        named = [f"--data.{name}" for name in ("augment", "mix") if getattr(data, name, None)]
        if named:
            return f"the pictures are changed by {' and '.join(named)}"
        return "its logits are too many to keep"

    def teardown(self, stage: str) -> None:
        if hasattr(self.trainer.datamodule, "drop_columns"):
            self.trainer.datamodule.drop_columns()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips each network by its own norm, so that a teacher or control changes no student.

        Raises:
            ValueError: from `clip_groups`
        """
        clip_groups(self, optimizer, gradient_clip_val, gradient_clip_algorithm)

    def learning(self) -> dict[str, nn.Module]:
        """The networks that are trained, by their attributes."""
        found = {"student": self.student}
        if self.control is not None:
            found["control"] = self.control
        return found if self.scheme == "frozen" else found | {"teacher": self.teacher}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.groups is not None:
            return self.groups.make(self.optimizer, **self.learning())
        groups = [{"params": n.parameters(), "name": k} for k, n in self.learning().items()]
        return self.optimizer(groups)
