"""The MoA layer against attention computed by hand, and its options against each other."""

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, SlicedAttnProcessor

from moa.where import Trace, mount, remove
from moa.where.attention import attend, attend_and_show, place, room_for
from moa.where.context import grid_of
from moa.where.layout import Placed
from moa.where.router import ConstantRouter, HardRouter, MaskRouter
from moa.where.subjects import Subjects

from experts import alice, features, make_adapter, make_scene
from families import make_unet, unet_call


def both(**scale) -> Subjects:
    return Subjects([[alice(), Placed("bob", "people", 4, features(3, pictures=2))], [alice(5)]], **scale)


def test_attend_is_diffusers_attention():
    torch.manual_seed(0)
    layer = Attention(query_dim=16, cross_attention_dim=12, heads=2, dim_head=8, processor=AttnProcessor()).eval()
    x, text = torch.randn(2, 9, 16), torch.randn(2, 5, 12)
    mine = layer.to_out[0](attend(layer.to_q(x), layer.to_k(text), layer.to_v(text), 2, layer.scale))
    torch.testing.assert_close(mine, layer(x, text))
    shown, probs = attend_and_show(layer.to_q(x), layer.to_k(text), layer.to_v(text), 2, layer.scale)
    torch.testing.assert_close(layer.to_out[0](shown), mine)
    torch.testing.assert_close(probs.sum(-1), torch.ones(2, 9))


def test_attend_in_training_on_a_cpu_is_the_same_attention():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, n, 12, requires_grad=True) for n in (6, 5, 5))
    bias = torch.zeros(2, 1, 1, 5).index_fill_(3, torch.tensor([4]), float("-inf"))
    usual = attend(q, k, v, 3, 0.5, bias)
    wanted = torch.autograd.grad(usual.square().sum(), (q, k, v))
    with torch.autocast("cpu", torch.bfloat16):
        quick = attend(q, k, v, 3, 0.5, bias)
    torch.testing.assert_close(quick.float(), usual, atol=0.03, rtol=0.03)
    for found, expected in zip(torch.autograd.grad(quick.float().square().sum(), (q, k, v)), wanted, strict=True):
        torch.testing.assert_close(found, expected, atol=0.08, rtol=0.08)


def test_place_replaces_appends_and_drops():
    text, tokens = torch.zeros(1, 4, 1), torch.tensor([[[1.0], [2.0], [3.0]]])
    placed = place(room_for(text, 6), tokens, torch.tensor([[2, 4, 6]]))
    assert placed.flatten().tolist() == [0, 0, 1, 0, 2, 0]


@pytest.mark.parametrize(("pixels", "size", "grid"), [(64, (8, 8), (8, 8)), (12, (7, 5), (4, 3)), (4, (7, 5), (2, 2))])
def test_grid_of(pixels, size, grid):
    assert grid_of(pixels, size) == grid


def test_a_mixed_layer_by_hand():
    """Z = Z_0 + r (Z_1 - Z_0), Z_1 with W + delta and the subject's token in the prompt, on one cross-attention layer."""
    scene = make_scene("sd15", batch=1, layers=["down_blocks.0.attentions.0.transformer_blocks.0.attn2"], space_time=False)
    layer = scene.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    kept = {}
    handle = layer.register_forward_hook(lambda m, args, kwargs, out: kept.update(x=args[0], kwargs=kwargs, out=out), with_kwargs=True)
    scene.answer(Subjects([[alice()]]))
    handle.remove()
    x, moa = kept["x"], kept["kwargs"]["moa"]
    text = scene.call["encoder_hidden_states"].clone()
    prior = layer(x, text)
    branch, router = layer.personal["people"], layer.router["people"]
    text[:, 2] = moa.experts[0].tokens[0, 0, :, 0]
    centres = (2 * torch.arange(8) + 1) / 8 - 1
    xy = torch.stack([centres.repeat(8), centres.repeat_interleave(8)], dim=1)
    place = torch.cat([xy, (torch.pi * xy).sin(), (torch.pi * xy).cos(), (2 * torch.pi * xy).sin(), (2 * torch.pi * xy).cos()], dim=1)
    q, k, v = (
        layer.to_q(x) + branch.q_delta(x) + place @ branch.q_place.up.weight.T,
        layer.to_k(text) + branch.k_delta(text),
        layer.to_v(text) + branch.v_delta(text),
    )
    heads = attend(q, k, v, layer.heads, layer.scale)
    personal = layer.to_out[0](heads) + branch.out_delta(heads)
    r = router(x, (8, 8), torch.tensor([500.0])).sigmoid().unsqueeze(-1)
    torch.testing.assert_close(kept["out"], prior + r * (personal - prior), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("processor", [AttnProcessor(), SlicedAttnProcessor(1)], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("share_out", [False, True])
def test_the_fused_path_equals_any_other_processor(family, processor, tokens, share_out):
    scene = make_scene(family, tokens=tokens, share_out=share_out)
    fused = scene.answer(both())
    scene.unet.set_attn_processor(processor)
    torch.testing.assert_close(scene.answer(both()), fused, rtol=1e-4, atol=1e-5)


def test_sampling_with_a_cache_equals_calls_without(family):
    scene = make_scene(family, tokens=2)
    steps = torch.tensor([900, 500, 100])
    cached = both(timesteps=lambda: steps, cache={})
    for t in steps:
        torch.testing.assert_close(scene.answer(cached, timestep=t), scene.answer(both(), timestep=t), rtol=1e-5, atol=1e-6)
    assert cached.cache


def test_a_time_that_is_no_step_of_the_run_is_made_on_its_own(family):
    """As where a pipeline with a scheduler of its own calls the UNet: between known steps, and after the steps have changed."""
    scene = make_scene(family, tokens=2)
    steps = torch.tensor([900, 500, 100])
    mixed = both(timesteps=lambda: steps, cache={})
    for t in (500, 450, 500, 100):
        torch.testing.assert_close(
            scene.answer(mixed, timestep=torch.tensor(t)), scene.answer(both(), timestep=torch.tensor(t)), rtol=1e-5, atol=1e-6
        )
    steps = torch.tensor([900, 700, 500, 300, 100])
    t = torch.tensor(300)
    torch.testing.assert_close(scene.answer(mixed, timestep=t), scene.answer(both(), timestep=t), rtol=1e-5, atol=1e-6)


def test_a_changed_prompt_empties_the_cache(family):
    scene = make_scene(family)
    cached = both(timesteps=lambda: torch.tensor([500]), cache={})
    scene.answer(cached)
    other = scene.call["encoder_hidden_states"].flip(1)
    torch.testing.assert_close(
        scene.answer(cached, encoder_hidden_states=other), scene.answer(both(), encoder_hidden_states=other), rtol=1e-5, atol=1e-6
    )


def test_masks_of_the_prompt_and_of_pixels(family):
    """A prompt mask reaches the experts: masked tokens change nothing."""
    scene = make_scene(family, tokens=2)
    mask = torch.ones(2, 9)
    mask[:, 7:] = 0
    changed = scene.call["encoder_hidden_states"].clone()
    changed[:, 7:] += 5
    a = scene.answer(both(), encoder_attention_mask=mask)
    b = scene.answer(both(), encoder_attention_mask=mask, encoder_hidden_states=changed)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_batch_equals_singles(family):
    scene = make_scene(family, tokens=2)
    whole = scene.answer(both())
    single = {key: value[1:] if torch.is_tensor(value) and value.ndim else value for key, value in scene.call.items()}
    if "added_cond_kwargs" in single:
        single["added_cond_kwargs"] = {k: v[1:] for k, v in single["added_cond_kwargs"].items()}
    alone = scene.answer(Subjects([[alice(5)]]), **single)
    torch.testing.assert_close(alone[0], whole[1], rtol=1e-4, atol=1e-5)


def test_scale_moves_between_prior_and_expert(family):
    scene = make_scene(family, layers=["mid_block"] if family != "sdxl" else ["attn2"])
    full, half = scene.answer(both()), scene.answer(both(scale={"people": 0.5}))
    assert (half - scene.prior).abs().sum() < (full - scene.prior).abs().sum()
    weak = Subjects([[alice(scale=0.5)], [alice(5, scale=0.5)]])
    assert not torch.equal(scene.answer(weak), scene.answer(Subjects([[alice()], [alice(5)]])))


def test_regions_confine_subjects_to_their_pixels(family):
    scene = make_scene(family)
    left, right = torch.zeros(8, 8), torch.zeros(8, 8)
    left[:, :4], right[:, 4:] = 1, 1
    trace = Trace()
    subjects = Subjects([[alice(region=left), Placed("bob", "people", 4, features(3), region=right)], [alice(5, region=left)]])
    sites = frozenset(site.name for site in scene.adapter.config.sites if site.cross)
    trace.attention_sites = sites
    with torch.no_grad(), scene.unet.moa.subjects(subjects, trace):
        scene.unet(**scene.call)
    for weights in trace.weights.values():
        h, w = grid_of(weights.shape[1], (8, 8))
        r = weights[..., 1].view(2, h, w)
        assert (r[0] == 1).all()
        assert (r[1, :, w // 2 :] == 0).all() and (r[1, :, : w // 2] == 1).all()
    for shown in trace.attention.values():
        h, w = grid_of(shown.shape[-1], (8, 8))
        assert (shown[0, 0].view(h, w)[:, w // 2 :] == 0).all()
        assert (shown[0, 1].view(h, w)[:, : w // 2] == 0).all()


def test_the_mask_router_draws_nothing_without_a_region_and_all_of_it_inside(family):
    scene = make_scene(family, router=MaskRouter)
    assert torch.equal(scene.answer(Subjects([[alice()], []])), scene.prior)


def test_hard_routing_gives_every_pixel_to_one_expert(family):
    scene, trace = make_scene(family, router=HardRouter), Trace()
    with torch.no_grad(), scene.unet.moa.subjects(both(), trace):
        scene.unet(**scene.call)
    for weights in trace.weights.values():
        assert torch.isin(weights, torch.tensor([0.0, 1.0])).all()


def test_layers_cross_leaves_self_attention_alone(family, caplog):
    scene, trace = make_scene(family, layers="cross"), Trace()
    with torch.no_grad(), scene.unet.moa.subjects(both(), trace):
        scene.unet(**scene.call)
    assert trace.weights and all(name.endswith("attn2") for name in trace.weights)
    assert "ignored" not in caplog.text


def test_a_single_branch_is_the_expert_alone(family):
    from functools import partial

    scene, trace = make_scene(family, router=partial(ConstantRouter, weight=1.0)), Trace()
    with torch.no_grad(), scene.unet.moa.subjects(both(), trace):
        scene.unet(**scene.call)
    assert all((weights[..., 1] == 1).all() for weights in trace.weights.values())


def test_four_dimensional_input_equals_three_dimensional():
    scene = make_scene("sd15", batch=1)
    layer = scene.unet.mid_block.attentions[0].transformer_blocks[0].attn1
    kept = {}
    layer.register_forward_hook(lambda m, args, kwargs, out: kept.update(x=args[0], moa=kwargs["moa"], out=out), with_kwargs=True)
    scene.answer(Subjects([[alice()]]))
    flat, moa, out = kept["x"], kept["moa"], kept["out"]
    with torch.no_grad():
        picture = layer(flat.transpose(1, 2).reshape(1, -1, 4, 4), moa=moa)
    torch.testing.assert_close(picture.flatten(2).transpose(1, 2), out)


@pytest.mark.parametrize("branch", ["full", "lowrank"])
def test_half_precision(family, branch):
    scene = make_scene(family, dtype=torch.bfloat16, branch=branch)
    answer = scene.answer(both())
    assert answer.dtype == torch.bfloat16 and torch.isfinite(answer).all()
    assert scene.unet.dtype == torch.bfloat16
    router = next(iter(scene.adapter.routers.values()))
    assert next(router.parameters()).dtype == torch.float32


def test_trace_with_gradient_checkpointing_reports_once(family):
    scene, traces = make_scene(family), []
    for checkpointing in (False, True):
        trace = Trace()
        if checkpointing:
            scene.unet.train().enable_gradient_checkpointing()
        with scene.unet.moa.subjects(both(), trace):
            answer = scene.unet(**scene.call).sample
        loss = answer.square().mean() + sum(w[..., 1].mean() for w in trace.weights.values())
        grads = torch.autograd.grad(loss, list(scene.adapter.parameters()), allow_unused=True)
        traces.append((trace, grads))
    for site, weights in traces[0][0].weights.items():
        torch.testing.assert_close(traces[1][0].weights[site], weights, rtol=1e-4, atol=1e-5)
    for a, b in zip(traces[0][1], traces[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_wrong_batch_is_an_error_with_the_numbers(family):
    scene = make_scene(family)
    with pytest.raises(ValueError, match="batch of 2.*3 prompts"):
        scene.answer(Subjects([[alice()]] * 3))


def test_a_mounted_unet_can_be_copied(family):
    import copy

    scene = make_scene(family)
    expected = scene.answer(both())
    twin = copy.deepcopy(scene.unet)
    remove(scene.unet)
    with torch.no_grad(), twin.moa.subjects(both()):
        assert torch.equal(twin(**scene.call).sample, expected)
    remove(twin)
    with torch.no_grad():
        assert torch.equal(twin(**scene.call).sample, scene.prior)


def test_refusals(family):
    unet = make_unet(family)
    mount(unet, make_adapter(unet), "people")
    for name, words in (("people", "already loaded"), ("my pets", "plain name"), ("keys", "plain name")):
        with pytest.raises(ValueError, match=words):
            mount(unet, make_adapter(make_unet(family)), name)
    with pytest.raises(ValueError, match="matches no attention layer"):
        make_adapter(make_unet(family), layers=["attn7"])
    with pytest.raises(ValueError, match="layers"):
        make_adapter(make_unet(family), layers=[])
    with pytest.raises(ValueError, match="'full'.*'lowrank'"):
        make_adapter(make_unet(family), branch="huge")


def test_an_adapter_of_another_structure_is_refused_with_both_names():
    adapter = make_adapter(make_unet("sd15"))
    with pytest.raises(ValueError, match=r"trained on 'test'.*but this prior is"):
        mount(make_unet("sdxl"), adapter, "people")


def test_another_kind_of_attention_is_refused_by_name():
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8, cross_attention_dim=32,
        down_block_types=("CrossAttnDownBlock2D", "AttnDownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"down_blocks.1.attentions.0"):
        make_adapter(unet)


def test_call_by_position_is_the_same(family):
    scene = make_scene(family)
    call = unet_call(family)
    with torch.no_grad(), scene.unet.moa.subjects(both()):
        a = scene.unet(
            call["sample"], call["timestep"], call["encoder_hidden_states"], added_cond_kwargs=call.get("added_cond_kwargs")
        ).sample
    assert torch.equal(a, scene.answer(both()))
