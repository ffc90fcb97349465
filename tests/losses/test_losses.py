"""Each loss against a case computed by hand."""

import math

import pytest
import torch

from moa.losses import balanced_localization, exclusive_localization, masked_mse, object_loss, router_loss


def test_masked_mse():
    prediction, target = torch.zeros(1, 2, 1, 2), torch.tensor([[[[1.0, 3.0]], [[1.0, 1.0]]]])
    weight = torch.tensor([[[1.0, 0.5]]])
    # pixel errors: (1 + 1) / 2 = 1 and (9 + 1) / 2 = 5; (1 * 1 + 5 * 0.5) / 1.5
    assert masked_mse(prediction, target, weight).item() == pytest.approx(3.5 / 1.5)


def test_masked_mse_of_an_empty_mask_is_zero():
    assert masked_mse(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2)).item() == 0


def test_router_loss():
    prior = torch.tensor([[[0.25, 0.5], [1.0, 0.0]]])
    foreground = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    # background: 0.75^2 + 0 + 1^2 over four pixels
    assert router_loss(prior, foreground).item() == pytest.approx((0.5625 + 0 + 1) / 4)
    # and 0.5^2 of the one foreground pixel, halved
    assert router_loss(prior, foreground, inside=0.5).item() == pytest.approx((0.5625 + 0 + 1 + 0.5 * 0.25) / 4)


def test_object_loss():
    attention = torch.tensor([[[0.2, 0.4], [0.6, 0.8]]])
    mask = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert object_loss(attention, mask).item() == pytest.approx((0.16 + 0.36) / 4)


def test_balanced_localization():
    attention = torch.tensor([[[0.2, 0.4], [0.6, 0.8]]])
    mask = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert balanced_localization(attention, mask).item() == pytest.approx((0.4 + 0.6) / 2 - (0.2 + 0.8) / 2)


def test_exclusive_localization():
    attention = torch.tensor([[[0.3, 0.1]], [[0.1, 0.1]]])
    mask = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    # the first subject's pixel looks three times as much at its word as at the other's, the second's at both alike
    found = exclusive_localization(attention, mask)
    torch.testing.assert_close(found, torch.tensor([-math.log(0.75), -math.log(0.5)]), atol=1e-4, rtol=0)


def test_exclusive_localization_leaves_one_subject_and_padding_alone():
    attention = torch.tensor([[[0.003, 0.7]], [[0.0, 0.0]]])
    mask = torch.tensor([[[1.0, 0.5]], [[0.0, 0.0]]])
    torch.testing.assert_close(exclusive_localization(attention, mask), torch.zeros(2), atol=1e-6, rtol=0)


def test_exclusive_localization_cannot_be_lowered_by_looking_away():
    attention, mask = torch.tensor([[[0.3]], [[0.1]]]), torch.tensor([[[1.0]], [[0.0]]])
    torch.testing.assert_close(exclusive_localization(1e-9 * attention, mask), exclusive_localization(attention, mask))
