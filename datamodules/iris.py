"""Scikit-learn's bundled iris data: three kinds of flowers without a download."""

import torch
from torch import Tensor

from datamodules.tabular import TabularData


class Iris(TabularData):
    """150 iris flowers of three species: length and width of sepals and petals, in cm.

    Fisher, "The use of multiple measurements in taxonomic problems" (1936). The species is the
    target, a class: setosa, versicolor or virginica.
    """

    def load(self) -> tuple[Tensor, Tensor]:
        from sklearn.datasets import load_iris  # half a second

        data = load_iris()
        self.feature_names, self.target_name = list(data.feature_names), "species"
        self.class_names = data.target_names.tolist()
        return torch.from_numpy(data.data).double(), torch.from_numpy(data.target).long()
