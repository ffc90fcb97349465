"""Whose pixels they are."""

import torch

from moa.where.presence import complaint, leads


def test_a_pixel_is_of_whoever_weighs_most_there():
    maps = torch.tensor([[[0.4, 0.2, 0.6]], [[0.3, 0.2, 0.1]]])  # of alice and bob; the prior: 0.3, 0.6, 0.3
    torch.testing.assert_close(leads(maps), torch.tensor([[[0.1, -0.4, 0.3]], [[-0.1, -0.4, -0.5]]]))
    assert leads(maps[:0]).shape == (0, 1, 3)


def test_complaints_of_nothing_and_of_two_regions():
    assert "may be missing" in complaint("bob", torch.zeros(16, 16, dtype=torch.bool))
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[2:8, 2:6] = True
    assert complaint("bob", mask) is None
    mask[2:8, 10:14] = True
    assert "2 separate regions" in complaint("bob", mask)
