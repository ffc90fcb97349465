"""Which device and precision a setting names."""

import pytest
import torch

from moa.device import find_device, find_precision


@pytest.mark.parametrize(("cards", "best"), [(0, "cpu"), (2, "cuda")])
def test_auto_is_the_best_there_is(monkeypatch, cards, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert find_device("auto") == torch.device(best) and find_device("cpu") == torch.device("cpu")
    if cards:
        assert find_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["cuda", "cuda:2", "cuda:x", "cuda:-1", "warp", "cpu:1"])
def test_a_device_that_is_not_here(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: name != "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=f"device='{name}' is not here; choose one of auto, "):
        find_device(name)


@pytest.mark.parametrize(
    ("can", "chosen"), [({"amx_bf16": True}, "bf16"), ({"avx512_bf16": True}, "bf16"), ({"avx2": True}, "no"), ({}, "no")]
)
def test_auto_precision_on_a_processor(monkeypatch, can, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can, raising=False)
    assert find_precision("auto", torch.device("cpu")) == chosen
    assert find_precision("bf16", torch.device("cpu")) == "bf16" and find_precision("auto", torch.device("mps")) == "no"


@pytest.mark.parametrize(("can", "chosen"), [(True, "bf16"), (False, "fp16")])
def test_auto_precision_on_a_card(monkeypatch, can, chosen):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: can)
    assert find_precision("auto", torch.device("cuda")) == chosen
