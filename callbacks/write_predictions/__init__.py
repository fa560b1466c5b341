"""What `predict` computes, as a table and as arrays: the callback, and what only it needs."""

from callbacks.write_predictions.writer import WritePredictions

__all__ = ["WritePredictions"]
