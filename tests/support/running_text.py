"""A short text, and flags of language models that learn it in a second."""

LINES = "".join(f"{n} times {n + 1} is {n * (n + 1)}\n" for n in range(90))
SMALL = (
    *("--data=Text", "--data.path=lines.txt", "--data.batch_size=4", "--data.length=9"),
    *("--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", "--trainer.callbacks=[]"),
)
NETWORKS = {
    "lstm": ("--model.network.width=8", "--model.network.dropout=0.2"),
    "gru": ("--model.network.width=8", "--model.network.cell=gru", "--model.network.layers=2"),
    "transformer": (
        *("--model.network=TransformerLanguageModel", "--model.network.width=8"),
        *("--model.network.layers=1", "--model.network.dropout=0.2", "--data.order=blocks"),
    ),
}
