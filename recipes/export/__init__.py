"""A trained run as one file that other programs load, checked against the run's own predictions.

    python -m recipes.export runs/classify/digits-1 --format onnx
    python -m recipes.export runs/regress/diabetes-1 --format torch_export --which last

Formats:  onnx for ONNX Runtime, torch_export for torch alone, safetensors: the weights alone;
          adapters of LoRA are merged in all of them; adapter: these and the head alone
Inside:   scaling of pictures or columns as the run's data have it, the network that the run
          evaluated, and what makes predictions of its outputs: softmax, or the target's own unit
Takes:    `inputs` (batch, ...), any number of rows
Gives:    what `predict` writes: `probability` of each class, or `prediction`, and `std` or
          `quantile` where the recipe has them
Checked:  on the run's validation data; the largest difference is printed, and above --tolerance
          no file is left and the exit status is 1
"""
