"""A trained run with smaller numbers in it: its size, speed and accuracy before and after.

    python -m recipes.quantize runs/classify/digits-1 --scheme static_int8
    python -m recipes.quantize runs/regress/diabetes-1 --scheme bf16 --which last

Schemes:  static_int8: integers of 8 bits in linear and convolutional layers, their inputs' ranges
          from training rows, or from the run's own FakeQuantize; dynamic_int8: in linear layers,
          the ranges from each batch anew; int4_weight: 4 bits for weights of linear layers alone;
          bf16: 16 bits for all weights
Writes:   a file for ONNX Runtime, from raw inputs to predictions, as recipes.export does
Measures: bytes, milliseconds of a batch of the network alone, and the run's own metrics on
          validation and test data; the table is kept beside the file, as JSON
Checked:  the file's predictions against those of the network that was measured; above
          --tolerance no file is left and the exit status is 1
"""
