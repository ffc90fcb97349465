"""Averages: closed form, and parameters put back bit for bit."""

import pytest
import torch

from moa.training.ema import Average, averaged


def test_average_of_steps() -> None:
    parameters = {"w": torch.zeros(2)}
    average = Average(parameters, decay=0.5)
    expected = 0.0
    for step in range(1, 30):
        parameters["w"].fill_(step)
        average.update(parameters, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    torch.testing.assert_close(average.tensors["w"], torch.full((2,), expected))


def test_swapped_in_and_back() -> None:
    parameters = {"w": torch.randn(3)}
    before = parameters["w"].clone()
    average = Average(parameters, decay=0.9)
    parameters["w"].add_(1)
    moved = parameters["w"].clone()
    with pytest.raises(RuntimeError, match="inside"), averaged(parameters, average):
        assert torch.equal(parameters["w"], before)
        raise RuntimeError("inside")
    assert torch.equal(parameters["w"], moved)
