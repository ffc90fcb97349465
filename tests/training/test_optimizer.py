"""Which parameters go to which optimizer, at which rates."""

import pytest
import torch
from torch import nn

from moa.training.optimizer import adamw, is_matrix, muon

COMMON = dict(learning_rate=0.02, weight_decay=0.1, betas=(0.9, 0.99))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, 16, 3)
        self.conv_input = nn.Conv2d(16, 16, 3)
        self.text = nn.Linear(16, 16)


def groups(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict[str, object]]:
    names = {p: name for name, p in model.named_parameters()}
    return {names[p]: group for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize(
    ("name", "shape", "matrix"),
    [
        ("a.weight", (16, 16, 3, 3), True),
        ("a.weight", (16, 15, 3, 3), False),
        ("a.weight", (16, 400), True),
        ("a.bias", (16,), False),
        ("text.weight", (16, 16), False),
        ("texts.weight", (16, 16), True),
    ],
)
def test_matrices_have_channels_on_both_sides(name: str, shape: tuple, matrix: bool) -> None:
    assert is_matrix(name, shape, min_channels=16, exclude=["text"]) is matrix


def test_muon_shares_out_the_parameters() -> None:
    model = Model()
    settings = dict(adam_learning_rate=0.002, min_channels=16, exclude=["text", "conv_in.bias"])
    found = groups(muon(dict(model.named_parameters()), **COMMON, **settings), model)
    assert found.keys() == dict(model.named_parameters()).keys()
    assert {name for name, group in found.items() if "momentum" in group} == {"conv_input.weight"}
    assert found["conv_input.weight"]["lr"] == 0.02 and found["text.weight"]["lr"] == 0.002
    assert found["text.weight"]["weight_decay"] == 0.1 and found["text.bias"]["weight_decay"] == 0


def test_adamw_decays_matrices_only() -> None:
    model = Model()
    found = groups(adamw(dict(model.named_parameters()), **COMMON), model)
    assert {name: group["weight_decay"] > 0 for name, group in found.items()} == {name: name.endswith("weight") for name in found}
    assert all(group["lr"] == 0.02 for group in found.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exclude": ["txt"]}, r"exclude names 'txt', but nothing that trains is called so"),
        ({"min_channels": 17}, r"finds no matrix with 17 channels on both sides"),
    ],
)
def test_settings_that_name_nothing_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        muon(dict(Model().named_parameters()), **COMMON, adam_learning_rate=0.1, **settings)
