"""Bad input: every mistake ends in one line that names it, and leaves everything as it was.

Each row is a command and what its line must contain. In a command <a|b|c> stands for one row with
each of these, NAME=value in front is the environment, and a value '@text' is a file of that text.
"""

import re
import shlex
from pathlib import Path

import pytest
import torch

from recipes.compare.__main__ import main as compare
from recipes.running.cli import main
from recipes.running.recipe import find_recipe
from recipes.seeds.__main__ import main as seeds
from recipes.tune.__main__ import main as tune

TOOLS = {"compare": compare, "seeds": seeds, "tune": tune}
RUN = "runs/classify/a/checkpoints/last.ckpt"
REGRESSION = "runs/regress/r/checkpoints/last.ckpt"

COMMANDS = (
    ("classify", "subcommand"),
    ("classify fitt", "fitt"),
    ("classify --config=digits fit", "--config goes behind the subcommand"),
    ("classify <test|validate|predict>", "--ckpt_path"),
    ("classify fit --config=<nope|nope.yaml|.>", "--config="),
    ("classify fit --trainer.epochs=3", "--trainer.epochs"),
    ("classify fit --trainer.max_epoch=3", "is it --trainer.max_epochs?"),
    ("classify fit --epochs=3", "--epochs"),
    ("classify fit --model.lr=3", "--model.lr"),
    ("classify fit 3", "3"),
    ("classify fit --name=<a|../b|a/b|.>", "name"),
    ("classify fit --seed_everything=<-1|x|1.5|4294967296>", "--seed_everything"),
    ("classify fit --tags=3", "--tags"),
)
TRAINER = (
    ("classify fit --trainer.max_epochs=<0|-2|1.5|many|[1]>", "--trainer.max_epochs"),
    ("classify fit --trainer.max_steps=<0|-2|x>", "--trainer.max_steps"),
    ("classify fit --trainer.min_epochs=<-1|9>", "--trainer.min_epochs"),
    ("classify fit --trainer.limit_train_batches=<0|-1|1.5|x>", "--trainer.limit_train_batches"),
    ("classify fit --trainer.limit_val_batches=<-1|1.5|x>", "--trainer.limit_val_batches"),
    ("classify fit --trainer.overfit_batches=<-1|1.5|x>", "--trainer.overfit_batches"),
    ("classify fit --trainer.val_check_interval=<0|0.0|-1|1.5|x|999>", "val_check_interval"),
    ("classify fit --trainer.check_val_every_n_epoch=<0|-1|0.5>", "check_val_every_n_epoch"),
    ("classify fit --trainer.num_sanity_val_steps=<-2|x>", "--trainer.num_sanity_val_steps"),
    ("classify fit --trainer.log_every_n_steps=<-1|x>", "--trainer.log_every_n_steps"),
    ("classify fit --trainer.accumulate_grad_batches=<0|-1|0.5>", "accumulate_grad_batches"),
    ("classify fit --trainer.gradient_clip_val=<-1|x>", "--trainer.gradient_clip_val"),
    ("classify fit --trainer.gradient_clip_algorithm=<norm|middle>", "gradient_clip_algorithm"),
    ("classify fit --trainer.devices=<0|-2|99|x>", "--trainer.devices"),
    ("classify fit --trainer.accelerator=<tpu|abacus>", "--trainer.accelerator"),
    ("classify fit --trainer.strategy=<ddp_spwan|fsdp|3>", "--trainer.strategy"),
    ("classify fit --trainer.precision=<8|x>", "--trainer.precision"),
    ("classify fit --trainer.num_nodes=0", "--trainer.num_nodes"),
    ("classify fit --trainer.max_time=<0|x|00:00:00:00>", "--trainer.max_time"),
    ("classify fit --trainer.fast_dev_run=<-1|x>", "--trainer.fast_dev_run"),
    ("classify fit --trainer.profiler=<slow|3>", "--trainer.profiler"),
    ("classify fit --trainer.default_root_dir=s3://a", "--trainer.default_root_dir"),
    ("classify fit --trainer.default_root_dir=notes.txt", "notes.txt"),
    ("classify fit --trainer.<benchmark|deterministic|inference_mode>=x", "=x"),
    ("classify fit --trainer.reload_dataloaders_every_n_epochs=-1", "reload_dataloaders"),
    ("classify fit --trainer.logger=<NeptuneLogger|3>", "--trainer.logger"),
    ("classify fit --trainer.logger=MLFlowLogger", "pip install mlflow"),
    ("classify fit --trainer.logger=TensorBoardLogger --trainer.logger.save_dir=x", "pip install"),
    ("classify fit --trainer.logger=TensorBoardLogger", "--trainer.logger.save_dir"),
    ("classify fit --trainer.logger=CSVLogger --trainer.logger.savedir=x", "is it save_dir?"),
    ("classify fit --trainer.plugins=<nope|3>", "--trainer.plugins"),
    ("classify fit --config=fsdp --trainer.devices=1", "data_parallel_size"),
    ("gan fit --config=fsdp --trainer.devices=1", "data_parallel_size"),
    ("gan fit --trainer.strategy=fsdp --trainer.accelerator=cpu", "--trainer.strategy"),
)
OPTIMIZERS = (
    ("classify fit --model.optimizer=<Adamm|torch.optim.No|nowhere.Adam>", "--model.optimizer="),
    ("classify fit --model.optimizer=<torch.nn.Linear|3|null>", "--model.optimizer"),
    ("classify fit --model.optimizer.lr=<-1|x|nan>", "--model.optimizer.lr"),
    ("classify fit --model.optimizer.<rate|learning_rate|momentum>=1", "no such option; Adam has"),
    ("classify fit --model.optimizer.betas=<[1.9,0.9]|0.9|[0.9]|x>", "--model.optimizer.betas"),
    ("classify fit --model.optimizer.eps=-1", "--model.optimizer.eps"),
    ("classify fit --model.optimizer.weight_decay=-1", "--model.optimizer.weight_decay"),
    ("classify fit --model.optimizer=SGD --model.optimizer.momentum=-1", "optimizer.momentum"),
    ("classify fit --model.optimizer=SGD --model.optimizer.nesterov=true", "=SGD: Nesterov"),
    ("classify fit --model.optimizer=SGD --model.optimizer.lr=1e30", "diverged"),
    ("regress fit --model.optimizer=LBFGS --model.optimizer.max_iter=x", "optimizer.max_iter"),
    ("regress fit --config=lbfgs --data.batch_size=8", "--data.batch_size"),
    ("gan fit --model.generator_optimizer=LBFGS", "--model.generator_optimizer=LBFGS"),
    ("gan fit --model.discriminator_optimizer=LBFGS", "--model.discriminator_optimizer=LBFGS"),
    ("gan fit --model.generator_optimizer.lr=-1", "--model.generator_optimizer.lr"),
    ("gan fit --model.optimizer=Adam", "--model.optimizer"),
    ("study fit --model.optimizers.SGD=Nope", "optimizers"),
    ("study fit --model.optimizers='{a: {class_path: SGD, init_args: {momentun: 1}}}'", "momentun"),
    ("study fit --model.optimizers=<{}|3|SGD>", "--model.optimizers"),
)
CALLBACK = "classify fit --trainer.callbacks+="
OF_CALLBACK = "--trainer.callbacks"
CALLBACKS = (
    (f"{CALLBACK}<LRDecai|3|nowhere.Callback|torch.nn.Linear>", "--trainer.callbacks"),
    ("classify fit --trainer.callbacks.shedule=linear", "--trainer.callbacks.shedule"),
    (f"{CALLBACK}LRDecay {OF_CALLBACK}.shedule=linear", "is it schedule?"),
    (f"{CALLBACK}LRDecay {OF_CALLBACK}.schedule=cos", "--trainer.callbacks.schedule=cos"),
    (f"{CALLBACK}LRDecay {OF_CALLBACK}.warmup=<3x|-1|1.5|200%>", "warmup"),
    (f"{CALLBACK}LRDecay {OF_CALLBACK}.length=<0|0ep|x>", "length"),
    (f"{CALLBACK}LRDecay {OF_CALLBACK}.final=<-1|x>", "final"),
    (f"{CALLBACK}LRDecay {OF_CALLBACK}.gamma=2", "gamma"),
    (f"{CALLBACK}LRDecay {OF_CALLBACK}.optimizers=[SGD]", "optimizers"),
    (f"{CALLBACK}LRDecay {OF_CALLBACK}.optimizers=[3]", "optimizers"),
    (f"{CALLBACK}LRDecay {OF_CALLBACK}.schedule=step {OF_CALLBACK}.every=0", "every"),
    (f"{CALLBACK}LRDecay {OF_CALLBACK}.schedule=multistep", "milestones"),
    (f"{CALLBACK}LossDrivenLR", "LRDecay and LossDrivenLR"),
    (f"{CALLBACK}LossDrivenLR {OF_CALLBACK}.factor=2", "factor"),
    (f"{CALLBACK}StochasticWeightAveraging {OF_CALLBACK}.swa_lrs=0.1", "StochasticWeightAverag"),
    (f"{CALLBACK}StochasticWeightAveraging {OF_CALLBACK}.swa_lrs=-1", "swa_lrs"),
    (f"{CALLBACK}EMA", "EMA needs --trainer.callbacks.module"),
    (f"{CALLBACK}EMA {OF_CALLBACK}.module=nothing", "module=nothing"),
    (f"{CALLBACK}EMA {OF_CALLBACK}.half_life=<0|0ba|-1|x>", "half_life"),
    (f"{CALLBACK}GradientClip {OF_CALLBACK}.limit=<0|-1|x>", "limit"),
    (f"{CALLBACK}MaxNorm {OF_CALLBACK}.limit=0", "limit"),
    (f"{CALLBACK}L1 {OF_CALLBACK}.strength=-1", "strength"),
    (f"{CALLBACK}Prune {OF_CALLBACK}.final=2", "final"),
    (f"{CALLBACK}Prune {OF_CALLBACK}.final=0.5 {OF_CALLBACK}.module=nothing", "module=nothing"),
    (f"{CALLBACK}Export {OF_CALLBACK}.module=nothing", "module=nothing"),
    (f"{CALLBACK}Threads {OF_CALLBACK}.count=0", "count"),
    (f"{CALLBACK}MatmulPrecision {OF_CALLBACK}.precision=low", "precision"),
    (f"{CALLBACK}OptimizerStats {OF_CALLBACK}.every=x", "every"),
    (f"{CALLBACK}HyperparameterSchedule {OF_CALLBACK}.key=nothing", "key"),
    (f"{CALLBACK}EarlyStopping", "EarlyStopping needs --trainer.callbacks.monitor"),
    (f"{CALLBACK}EarlyStopping {OF_CALLBACK}.monitor=val/los", "is it val/loss?"),
    (f"{CALLBACK}EarlyStopping {OF_CALLBACK}.monitor=val/loss {OF_CALLBACK}.mode=low", "mode"),
    (
        f"{CALLBACK}EarlyStopping {OF_CALLBACK}.monitor=val/loss {OF_CALLBACK}.patience=x",
        "patience",
    ),
    (f"{CALLBACK}ModelCheckpoint {OF_CALLBACK}.monitor=val/acuracy", "is it val/accuracy?"),
    (f"{CALLBACK}ModelCheckpoint {OF_CALLBACK}.save_top_k=-3", "save_top_k"),
    (f"{CALLBACK}ModelCheckpoint {OF_CALLBACK}.every_n_epochs=-1", "every_n_epochs"),
    (f"{CALLBACK}ModelCheckpoint {OF_CALLBACK}.mode=low", "mode"),
    (f"{CALLBACK}LearningRateMonitor {OF_CALLBACK}.logging_interval=day", "logging_interval"),
    (f"{CALLBACK}BatchSizeFinder", "--data.batch_size"),
    (f"{CALLBACK}LearningRateFinder", "LearningRateFinder"),
    (f"{CALLBACK}Timer {OF_CALLBACK}.duration=<x|3>", "duration"),
    (f"{CALLBACK}Timer {OF_CALLBACK}.interval=day", "interval"),
    (f"{CALLBACK}DeviceStatsMonitor", "pip install psutil"),
    ("gan fit --trainer.callbacks+=Samples --trainer.callbacks.every=x", "every"),
)
NETWORKS = (
    ("classify fit --model.network=<MPL|nowhere.Net|torch.optim.SGD|3>", "--model.network"),
    ("classify fit --model.network.chanels=[3]", "is it channels?"),
    ("classify fit --model.network.channels=<[]|[0]|0|[-1]|x|[1.5]>", "channels"),
    ("classify fit --model.network.outputs=<0|-1|x>", "outputs"),
    ("classify fit --model.network.dropout=<1|1.5|-0.1|x>", "dropout"),
    ("classify fit --model.network=MLP", "needs --model.network.inputs"),
    ("classify fit --model.network=MLP --model.network.inputs=<-1|0|x>", "inputs"),
    ("regress fit --model.network.widths=<[0]|[8,0]|x>", "widths"),
    ("distill fit --model.teacher.classes=7", "no such option; ConvNet has channels"),
    ("distill fit --model.student=<MPL|null>", "--model.student"),
    ("gan fit --model.generator=<Nope|null>", "--model.generator"),
    ("gan fit --model.generator.channels=[]", "channels"),
    ("gan fit --model.discriminator.blocks=0", "blocks"),
    ("gan fit --model.latent=<0|33>", "--model.latent"),
    ("study fit --model.network.width=[3]", "is it widths?"),
)
LOSSES = (
    ("distill fit --model.scheme=<frosen|frozen>", "scheme"),
    ("distill fit --model.scheme=frozen --model.teacher=null", "--model.teacher_checkpoint"),
    ("distill fit --model.scheme=frozen --model.teacher_checkpoint=<nope|notes.txt>", "teacher_ch"),
    ("distill fit --model.loss=<DKDD|3>", "--model.loss"),
    ("distill fit --model.loss=DKD --model.loss.betta=1", "is it beta?"),
    ("distill fit --model.temperature=<0|-1|x>", "--model.temperature"),
    ("distill fit --model.alpha=<-1|2|x>", "--model.alpha"),
    ("distill fit --model.teacher_cache=float8", "--model.teacher_cache"),
    ("classify fit --model.label_smoothing=<-1|2|x>", "--model.label_smoothing"),
    ("gan fit --model.loss=wgan", "--model.loss"),
    ("gan fit --model.penalties=<R3|3>", "--model.penalties"),
    ("gan fit --model.penalties.wieght=3", "is it weight?"),
    ("gan fit --model.discriminator_steps=<0|3>", "--model.discriminator_steps"),
    ("gan fit --model.pack=<0|3>", "--model.pack"),
    ("gan fit --model.penalties=null --model.penalty_interval=4", "--model.penalty_interval"),
    ("gan fit --model.weight_clip=0", "--model.weight_clip"),
    ("gan fit --model.evaluation=Nope", "--model.evaluation"),
    ("regress fit --model.loss=<rmse|3>", "--model.loss"),
    ("regress fit --model.loss=mse --model.delta=3", "delta"),
    ("regress fit --model.quantiles=<[0]|[1.5]|[]|x>", "quantiles"),
    ("regress fit --model.ensemble=0", "--model.ensemble"),
    ("regress fit --model.mc_samples=-1", "--model.mc_samples"),
)
STUDIES = (
    ("study fit --model.search.learning_rate=<[]|[0]|[-1]|[1,1]|x>", "learning_rate"),
    ("study fit --model.search.weight_decay=<[]|[-1]>", "weight_decay"),
    ("study fit --model.search=<Gridd|3>", "--model.search"),
    ("study fit --model.seeds=<[]|[0,0]|[-1]|x>", "seeds"),
    ("study fit --model.splits=<[]|[0,0]|[-1]|x>", "splits"),
    ("study fit --model.metric=acc", "--model.metric"),
    ("study fit --model.choose=best", "--model.choose"),
    ("study fit --model.halving=<0|2>", "halving"),
    (
        "study fit --model.schedules='{cosine: {class_path: LRDecay, init_args: {finale: 1}}}'",
        "final",
    ),
)
DATA = (
    ("classify fit --data=<Digit|nowhere.Data|3|torch.nn.Linear>", "--data"),
    ("classify fit --data=<Images|null>", "--data"),
    ("classify fit --data.batchsize=3", "is it batch_size?"),
    ("classify fit --data.batch_size=<0|-1|x|5000>", "--data.batch_size"),
    ("classify fit --data.val_size=<0|-1|x|5000>", "--data.val_size"),
    ("classify fit --data.shift=<-1|8>", "--data.shift"),
    ("classify fit --data.labelled=<0|5000>", "labelled"),
    ("classify fit --data.classes=<[]|[11]|[1,1]|x>", "classes"),
    ("classify fit --data.split_seed=-1", "split_seed"),
    ("regress fit --data.val_size=<1|1.5|-0.1>", "--data.val_size"),
    ("regress fit --data.split=-1", "split"),
    ("regress fit --data=UCI --data.dataset=moon", "--data.dataset"),
    ("regress fit --data=UCI --data.data_dir=none --data.dataset=energy", "none"),
    ("regress fit --data=Tabular", "--data=Tabular needs --data.path"),
    ("regress fit --data=Tabular --data.path=<nope.csv|runs>", "no such file"),
    ("regress fit --data=Tabular --data.path=http://127.0.0.1:1/a.csv", "--data.sha256"),
    ("regress fit --data=Tabular --data.path=@", "given.csv"),
    (r"regress fit --data=Tabular --data.path='@a,b\n'", "given.csv"),
    (r"regress fit --data=Tabular --data.path='@a,b\n1,x\n2,3\n'", "given.csv"),
    (r"regress fit --data=Tabular --data.path='@a,b\n1,\n2,3\n'", "given.csv"),
    (r"regress fit --data=Tabular --data.path='@a,b\n1,2,3\n2,3\n'", "given.csv"),
    (r"regress fit --data=Tabular --data.path='@a,b\n1,nan\n2,3\n'", "given.csv"),
    (r"regress fit --data=Tabular --data.path='@a,b\n1,inf\n2,3\n'", "given.csv"),
    (r"regress fit --data=Tabular --data.path='@a,b\n1,2\n2,3\n'", "--data.test_size"),
    (r"regress fit --data=Tabular --data.path='@a,a\n1,2\n2,3\n3,4\n'", "given.csv"),
    (r"regress fit --data=Tabular --data.path='@a\n1\n2\n'", "--data.columns"),
    ("regress fit --data=Tabular --data.path=table.csv --data.target=<z|9|-9>", "target"),
    ("regress fit --data=Tabular --data.path=table.csv --data.columns=<[z]|[9]|[]|x>", "columns"),
    ("regress fit --data=Tabular --data.path=table.csv --data.sha256=00", "sha256"),
    ("regress fit --data=Tabular --data.path=notes.txt", "notes.txt has no rows"),
    ("regress fit --data=Tabular --data.path=bytes.<csv|parquet>", "bytes."),
)
CONFIGS = (
    ("classify fit --config=<notes.txt|bytes.csv|runs>", "--config="),
    ("classify fit --config=@", "given.yaml"),
    ("classify fit --config='@<[a]|a: [|3|text|a: b: c>'", "given.yaml"),
    ("classify fit --config='@{trainer: <[a]|3|text|null>}'", "given.yaml: trainer"),
    ("classify fit --config='@{model: <[a]|3|text|null>}'", "given.yaml: model"),
    (r"classify fit --config='@trainer: {max_epochs: 1}\ntrainer: {}'", "trainer is there twice"),
    (r"classify fit --config='@trainer: {max_epochs: 1, max_epochs: 2}'", "max_epochs is there tw"),
    ("classify fit --config='@{data: Digits, trainr: {max_epochs: 1}}'", "trainr"),
    ("classify fit --config='@{data: Digits, trainer: {epochs: 1}}'", "epochs"),
    ("classify fit --config='@{data: Digits, trainer: {max_epochs: many}}'", "max_epochs"),
    ("classify fit --config='@{data: Digits}'", "network"),
    ("classify fit --config='@{model: {network: {class_path: MPL}}}'", "--model.network=MPL"),
    ("classify fit --config='@{data: {class_path: Digits, init_args: {size: 3}}}'", "size"),
    ("classify fit --config='@{data: {classpath: Digits}}'", "data"),
    ("classify fit --config='@{trainer: {callbacks: [{class_path: LRDecai}]}}'", "is it LRDecay?"),
    (
        "classify fit --config=digits --config='@{trainer: {callbacks: [{init_args: {}}]}}'",
        "trainer.callbacks",
    ),
    ("classify fit --config=digits --config='@{ckpt_path: a.ckpt}'", "ckpt_path"),
    ("classify fit --config=digits --config='@{seed_everything: -3}'", "seed_everything"),
)
CHECKPOINTS = (
    ("classify <fit|test|validate|predict> --ckpt_path=nope.ckpt", "--ckpt_path=nope.ckpt"),
    ("classify <fit|test> --ckpt_path=http://127.0.0.1:1/a.ckpt", "--ckpt_path="),
    (
        "classify <fit|test> --ckpt_path=<notes.txt|empty.ckpt|cut.ckpt|flipped.ckpt>",
        "--ckpt_path=",
    ),
    ("classify <fit|test> --ckpt_path=<state.ckpt|list.ckpt|pickle.ckpt|runs>", "--ckpt_path="),
    ("classify test --ckpt_path=odd.ckpt", "--ckpt_path=odd.ckpt"),
    ("classify fit --ckpt_path=weights.ckpt", "--ckpt_path=weights.ckpt"),
    (f"<regress|distill|gan|study> test --ckpt_path={RUN}", "--ckpt_path"),
    (f"classify <fit|test> --ckpt_path={REGRESSION}", "--ckpt_path"),
    (f"classify fit --ckpt_path={RUN} --data.split_seed=1", "--data.split_seed"),
    (f"classify fit --ckpt_path={RUN} --data.val_size=300", "--data.val_size"),
    (f"classify fit --ckpt_path={RUN} --data.batch_size=32", "--data.batch_size"),
    (f"classify fit --ckpt_path={RUN} --data.shift=1", "--data.shift"),
    (f"classify fit --ckpt_path={RUN} --seed_everything=1", "--seed_everything"),
    (f"classify fit --ckpt_path={RUN} --model.network.channels=[5]", "--model.network.channels"),
    (f"classify fit --ckpt_path={RUN} --model.network=MLP", "--model.network"),
    (f"classify fit --ckpt_path={RUN} --model.optimizer=SGD", "--model.optimizer"),
    (f"classify fit --ckpt_path={RUN} --trainer.accumulate_grad_batches=2", "accumulate_grad"),
    (f"classify test --ckpt_path={RUN} --data.split_seed=1", "--data.split_seed"),
    (f"classify test --ckpt_path={RUN} --model.network.channels=[5]", "--model.network.channels"),
    (f"regress fit --ckpt_path={REGRESSION} --data.split=1", "--data.split"),
    (f"regress fit --ckpt_path={REGRESSION} --model.loss=mse", "--model.loss"),
    (f"regress fit --ckpt_path={REGRESSION} --model.optimizer=LBFGS", "--model.optimizer"),
    (
        "distill fit --model.scheme=frozen --model.teacher=null --model.teacher_checkpoint=cut.ckpt",
        "--model.teacher_checkpoint",
    ),
    ("gan fit --model.evaluation.checkpoint=cut.ckpt", "--model.evaluation.checkpoint"),
)
ENVIRONMENT = (
    ("WANDB_MODE=sideways classify fit", "WANDB_MODE"),
    ("SLURM_NTASKS=2 SLURM_JOB_NAME=a classify fit --trainer.devices=2", "srun"),
    ("classify fit --trainer.num_nodes=2", "--trainer.num_nodes"),
)
SPACE = "method: grid, parameters: {model.label_smoothing: {values: [0, 0.1]}}"
METRIC = "metric: {name: val/loss, goal: minimize}"
TUNE = "tune --recipe=classify --trainer.max_epochs=1"
SEARCHES = (
    ("tune", "--recipe"),
    ("tune --recipe=<nope|nope.nope|>", "--recipe"),
    (f"{TUNE} --space=<nope.yaml|notes.txt|bytes.csv|.>", "--space"),
    (f"{TUNE} --space='@<[a]|a: [|3>'", "given.yaml"),
    (f"{TUNE} --space='@{{{SPACE}}}'", "--metric"),
    (f"{TUNE} --space='@{{{SPACE}, metric: <val/loss|3|[a]>}}'", "given.yaml: metric"),
    (f"{TUNE} --space='@{{{SPACE}, metric: {{name: <3|[a]>}}}}'", "given.yaml: metric"),
    (f"{TUNE} --space='@{{{SPACE}, metric: {{name: a, goal: <up|3|[a]>}}}}'", "given.yaml: metric"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}, run_cap: <many|0|-1|1.5|[3]>}}'", "run_cap"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}, early_terminate: <yes|3|[a]>}}'", "early_terminate"),
    (
        f"{TUNE} --space='@{{{SPACE}, {METRIC}, early_terminate: {{type: envelope}}}}'",
        "early_termi",
    ),
    (
        f"{TUNE} --space='@{{{SPACE}, {METRIC}, early_terminate: {{type: hyperband, min_iter: <x|0>}}}}'",
        "min_iter",
    ),
    (
        f"{TUNE} --space='@{{{SPACE}, {METRIC}, early_terminate: {{type: hyperband, eta: <x|1>}}}}'",
        "eta",
    ),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}, methods: a}}'", "methods"),
    (f"{TUNE} --space='@{{{METRIC}, parameters: {{a: {{values: [1, 2]}}}}}}'", "method"),
    (
        f"{TUNE} --space='@{{{METRIC}, method: <hill|[a]|3>, parameters: {{a: {{values: [1]}}}}}}'",
        "method",
    ),
    (f"{TUNE} --space='@{{{METRIC}, method: grid, parameters: <3|[a]|{{}}|null>}}'", "parameters"),
    (
        f"{TUNE} --space='@{{{METRIC}, method: random, parameters: {{model.rate: <3|{{min: 1}}|"
        "{values: []}|{values: 3}|{min: 2, max: 1}|{min: a, max: 2}|{distribution: beta}|"
        "{distribution: [a]}|{distribution: log_uniform_values, min: 0, max: 1}|"
        f"{{distribution: q_uniform, min: 1, max: 2, q: 0}}>}}}}'",
        "model.rate",
    ),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --sampler=best", "--sampler"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --trials=<0|-1|x>", "--trials"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --jobs=<0|x>", "--jobs"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --pruner=<some|3>", "--pruner"),
    (
        f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --<name|group|ckpt_path>=a",
        "trials have their own",
    ),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --storage=<nosuch://x|text>", "--storage"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --study=<a/b|../b|.>", "--study"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --config=nope", "--config=nope"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --model.optimizer=Adamm", "--model.optimizer=Adamm"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --seed=-1", "--seed"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' --timeout=-1", "--timeout"),
    (f"{TUNE} --space='@{{{SPACE}, {METRIC}}}' fit", "fit"),
)
SEEDS = (
    ("seeds", "--recipe"),
    ("seeds --recipe=<nope|nope.nope|>", "--recipe"),
    ("seeds --recipe=classify --seeds=<x|0|3-1|-1|1.5|3,>", "--seeds"),
    ("seeds --recipe=classify --jobs=<0|x>", "--jobs"),
    ("seeds --recipe=classify --name=<a/b|../b>", "--name"),
    ("seeds --recipe=classify --seed_everything=3", "--seed_everything"),
    ("seeds --recipe=classify --config=nope", "--config=nope"),
    ("seeds --recipe=classify --model.label_smoothing=2", "--model.label_smoothing"),
    ("seeds --recipe=classify --seed=3", "--seed"),
)
COMPARE = (
    ("compare <nowhere|notes.txt>", ""),
    ("compare folder", "folder"),
    ("compare runs --metric=val/acuracy", "is it val/accuracy?"),
    ("compare runs --output=notes.txt", "notes.txt"),
    ("compare runs --metrics=a", "--metrics"),
)
TABLE = (
    *(COMMANDS + TRAINER + OPTIMIZERS + CALLBACKS + NETWORKS + LOSSES + STUDIES + DATA + CONFIGS),
    *(CHECKPOINTS + ENVIRONMENT + SEARCHES + SEEDS + COMPARE),
)


def rows(table):
    """Each command with one of its values, and what its line must contain."""
    for command, said in table:
        found = re.search(r"<(.*?)>", command, re.DOTALL)
        if found:
            values = found[1].split("|")
            yield from rows((command.replace(found[0], v, 1), said) for v in values)
        else:
            yield command, said


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files good and bad, and two runs that have been trained."""
    where = tmp_path_factory.mktemp("input")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        patch.setenv("WANDB_MODE", "disabled")
        short = ("--trainer.max_epochs=2", "--trainer.enable_progress_bar=false")
        main(find_recipe("classify").module, ["fit", "--name=a", *short])
        main(find_recipe("regress").module, ["fit", "--name=r", *short])
        Path("folder").mkdir()
        Path("notes.txt").write_text("some notes, of nobody's interest\n")
        Path("table.csv").write_text("a,b,c\n" + "1,2,3\n4,5,6\n7,8,0\n" * 9)
        for name in ("bytes.csv", "bytes.parquet"):
            Path(name).write_bytes(bytes(range(256)) * 4)
        content = Path(RUN).read_bytes()
        half = len(content) // 2
        Path("empty.ckpt").touch()
        Path("cut.ckpt").write_bytes(content[:half])
        Path("flipped.ckpt").write_bytes(
            content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        )
        saved = torch.load(RUN, weights_only=True)
        torch.save(saved["state_dict"], "state.ckpt")
        torch.save([1, 2], "list.ckpt")
        torch.save(saved | {"hyper_parameters": {"network": Path()}}, "pickle.ckpt")
        torch.save(saved | {"state_dict": 3}, "odd.ckpt")
        del saved["optimizer_states"], saved["lr_schedulers"]
        torch.save(saved, "weights.ckpt")
    return where


def state(folder):
    """All that is in a folder, with what would tell of a change."""
    files = {path: path.lstat() for path in folder.rglob("*")}
    return {str(path): (s.st_size, path.is_file() and s.st_mtime_ns) for path, s in files.items()}


def run(command, monkeypatch):
    """Runs a row's command in this process, the present folder; returns its exit status."""
    words = shlex.split(command)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    for number, word in enumerate(words):
        option, equals, text = word.partition("=@")
        if equals:
            kind = "csv" if option.startswith("--data") else "yaml"
            Path(f"given.{kind}").write_text(text.replace("\\n", "\n"))
            words[number] = f"{option}=given.{kind}"
    before = state(Path())
    with pytest.raises(SystemExit) as stop:
        if words[0] in TOOLS:
            TOOLS[words[0]](words[1:])
        else:
            short = SHORT if words[1:2] == ["fit"] else ()
            main(find_recipe(words[0]).module, [*words[1:2], *short, *words[2:]])
    return stop.value.code, before


SHORT = ("--trainer.max_epochs=1",)


def check(command, said, folder, monkeypatch, capfd):
    """Fails unless a command ends as a mistake does."""
    monkeypatch.chdir(folder)
    code, before = run(command, monkeypatch)
    err = capfd.readouterr().err
    assert isinstance(code, str) and code.startswith("error: ") and said in code, code
    lines = f"{err}{code}".strip().splitlines()
    assert len(lines) <= 3 and "Traceback" not in err, "\n".join(lines)
    assert state(Path()) == before


ROWS = list(rows(TABLE))


@pytest.mark.parametrize(("command", "said"), ROWS, ids=[command for command, _ in ROWS])
def test_a_mistake_is_one_line_and_changes_nothing(command, said, folder, monkeypatch, capfd):
    check(command, said, folder, monkeypatch, capfd)


def test_there_are_enough():
    assert len(set(ROWS)) == len(ROWS) >= 200
