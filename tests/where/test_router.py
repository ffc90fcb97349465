"""Routers: where they start, what they can tell apart, how they blend."""

import pytest
import torch

from moa.where.router import ROUTERS, ConstantRouter, ConvRouter, HardRouter, TimestepRouter, blend, override

WIDTH = 16


@pytest.mark.parametrize("name", ROUTERS)
def test_every_router_gives_one_float32_logit_a_pixel(name):
    router = ROUTERS[name](WIDTH).half()
    logits = router(torch.randn(2, 12, WIDTH, dtype=torch.float16), (3, 4), torch.tensor([10.0, 900.0]))
    assert logits.shape == (2, 12) and logits.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in router.parameters())


@pytest.mark.parametrize("name", ["mlp", "linear", "conv", "timestep", "hard"])
def test_learned_routers_start_constant_and_towards_the_prior(name):
    logits = ROUTERS[name](WIDTH, prior_bias=3.0)(torch.randn(2, 12, WIDTH), (3, 4), torch.tensor([10.0, 900.0]))
    assert torch.equal(logits, torch.full_like(logits, -3.0))


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_constant_router_is_its_weight(weight):
    logits = ConstantRouter(WIDTH, weight=weight)(torch.randn(1, 4, WIDTH), (2, 2), torch.zeros(1))
    torch.testing.assert_close(blend(logits.unsqueeze(-1), [False]), torch.full((1, 4, 1), weight))
    with pytest.raises(ValueError, match="weight=1.5.*between 0"):
        ConstantRouter(WIDTH, weight=1.5)


def test_conv_router_sees_its_neighbours_and_mlp_does_not():
    hidden = torch.randn(1, 9, WIDTH)
    moved = hidden.clone()
    moved[0, 0] += torch.randn(WIDTH)
    for name, sees in (("conv", True), ("mlp", False)):
        router = ROUTERS[name](WIDTH)
        for parameter in router.parameters():
            torch.nn.init.normal_(parameter)
        before, after = (router(x, (3, 3), torch.zeros(1))[0, 4] for x in (hidden, moved))
        assert torch.equal(before, after) != sees


def test_timestep_router_reads_the_time():
    router = TimestepRouter(WIDTH)
    for parameter in router.parameters():
        torch.nn.init.normal_(parameter)
    hidden = torch.randn(1, 4, WIDTH)
    assert not torch.equal(router(hidden, (2, 2), torch.tensor([1.0])), router(hidden, (2, 2), torch.tensor([900.0])))


def test_blend_is_a_softmax_against_the_prior():
    torch.testing.assert_close(blend(torch.tensor([[[0.0, 0.0]]]), [False] * 2), torch.full((1, 1, 2), 1 / 3))
    for logits in ([0.7], [0.7, -0.2]):
        wanted = torch.tensor([[[0.0, *logits]]]).softmax(-1)[..., 1:]
        torch.testing.assert_close(blend(torch.tensor([[logits]]), [False] * len(logits)), wanted)
    assert blend(torch.tensor([[[float("-inf")]]]), [False]).tolist() == [[[0.0]]]


def test_hard_blend_is_top_one_with_the_gradient_of_the_softmax():
    for given, top in (([0.7, -0.2], [1.0, 0.0]), ([0.7], [1.0]), ([-0.1], [0.0])):
        logits, soft = (torch.tensor([[given]], requires_grad=True) for _ in range(2))
        hard = blend(logits, [HardRouter.hard] * len(given))
        assert hard.tolist() == [[top]]
        hard[..., 0].sum().backward()
        blend(soft, [False] * len(given))[..., 0].sum().backward()
        torch.testing.assert_close(logits.grad, soft.grad)


def test_a_hard_expert_beside_a_soft_one_leaves_it_soft():
    """Three pixels whose top is the hard expert, the soft one, and the prior."""
    logits = torch.tensor([[[2.0, 1.0], [0.5, 1.0], [-1.0, -0.5]]])
    weights = blend(logits, [True, False])
    assert weights[0, :, 0].tolist() == [1.0, 0.0, 0.0] and weights[0, 0, 1] == 0
    torch.testing.assert_close(weights[0, 1:, 1], logits[0, 1:, 1].sigmoid())


def test_override():
    weights = torch.tensor([[[0.5, 0.3], [0.5, 0.3]]])
    drawn = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    mixed = override(weights, drawn, torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(mixed, torch.tensor([[[1.0, 0.0], [0.0, 0.3]]]))


def test_override_shares_overlaps():
    mixed = override(torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[1.0, 1.0]]]), torch.zeros(1, 2))
    torch.testing.assert_close(mixed, torch.tensor([[[0.5, 0.5]]]))


def test_conv_router_of_a_grid_that_is_not_square():
    assert ConvRouter(WIDTH)(torch.randn(1, 12, WIDTH), (2, 6), torch.zeros(1)).shape == (1, 12)
