"""Quantization-aware training: the callback, and what it rounds by."""

from callbacks.fake_quantize.fake_quantize import FakeQuantize

__all__ = ["FakeQuantize"]
