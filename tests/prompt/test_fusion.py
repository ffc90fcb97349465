"""Fusion of picture and word, and space-time conditioning."""

import math

import torch

from moa.prompt.fusion import SpaceTime, SubjectFusion


def make_fusion(**options) -> SubjectFusion:
    torch.manual_seed(0)
    return SubjectFusion(24, 16, **{"layers": 3, "tokens": 2, "hidden": 32, **options})


def test_every_token_starts_as_the_noun_with_a_share_of_the_picture():
    noun, pictures = torch.randn(64, 16), torch.randn(64, 7, 24)
    fusion = make_fusion(tokens=3)
    seen = fusion.fuse(pictures, noun) - noun.unsqueeze(1)
    assert seen.shape == (64, 3, 16)
    assert 0.02 < seen.square().mean().sqrt() < 0.3  # beside nouns of size 1
    other = fusion.fuse(pictures.roll(1, 0), noun) - noun.unsqueeze(1)
    assert (other - seen).square().mean().sqrt() > 0.01


def test_space_time_starts_at_zero_and_reads_time_and_layer():
    module = SpaceTime(3, 16)
    times = torch.tensor([0.0, 500.0])
    assert torch.equal(module(times), torch.zeros(2, 3, 16))
    torch.nn.init.ones_(module.gain.weight)
    offsets = module(times)
    assert (offsets[0] - offsets[1]).abs().max() > 1e-3 and (offsets[:, 0] - offsets[:, 1]).abs().max() > 1e-3


def test_neighbouring_times_share_their_code_as_in_neti():
    """Random frequencies in radians: the codes of times a step of d apart have the cosine exp(-(0.03 d)^2 / 2), on average."""
    codes = []
    module = SpaceTime(2, 16)
    module.net[0].register_forward_pre_hook(lambda _, given: codes.append(given[0]))
    module(torch.tensor([500.0, 510.0, 600.0]))
    alike = codes[0] @ codes[0].T
    first_layer = alike[0, ::2]
    torch.testing.assert_close(first_layer, torch.tensor([1.0, math.exp(-0.045), math.exp(-4.5)]), atol=0.05, rtol=0)
    torch.testing.assert_close(alike[0, 1], torch.tensor(math.exp(-2.0)), atol=0.05, rtol=0)


def test_without_space_time_every_offset_is_zero():
    assert torch.equal(make_fusion(space_time=False).offsets(torch.tensor([1.0])), torch.zeros(1, 3, 16))


def test_fusion_stays_in_float32():
    fusion = make_fusion().half()
    assert all(p.dtype == torch.float32 for p in fusion.parameters())


def test_frequencies_are_the_same_in_every_process_and_not_saved():
    torch.testing.assert_close(SpaceTime(3, 16).frequency, SpaceTime(3, 16).frequency)
    assert not any("frequency" in name for name in make_fusion().state_dict())
