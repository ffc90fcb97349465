"""The laws of the project, for every family of priors; each with a mutant that must fail it.

1 silence, 2 removal, 3 frozen prior, 4 locality, 5 composition. An expert that breaks one has no place here.
"""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor

from moa.denoiser import Denoiser
from moa.where import MoAAdapter, MoAContext, Trace, mount, remove
from moa.where import mixture as mixture_module
from moa.where.router import ConstantRouter
from moa.where.subjects import Subjects

from experts import Scene, alice, make_adapter, make_scene
from families import make_unet, unet_call


def one_subject() -> Subjects:
    return Subjects([[alice()], [alice()]])


# -- 1. Silence ---------------------------------------------------------------------------------------------------------


def assert_silent(scene: Scene, subjects: Subjects | None) -> None:
    assert torch.equal(scene.answer(subjects), scene.prior)


@pytest.mark.parametrize(
    "subjects",
    [None, Subjects([[], []]), Subjects([[alice(scale=0.0)], []]), Subjects([[alice()], [alice()]], scale={"people": 0.0})],
    ids=["no context", "no subject", "subject at scale 0", "adapter at scale 0"],
)
def test_silence(family, subjects):
    assert_silent(make_scene(family), subjects)


def test_silence_of_rows(family):
    """A row without a subject is the prior's, bit for bit, beside a row with one."""
    scene = make_scene(family)
    answer = scene.answer(Subjects([[], [alice()]]))
    assert torch.equal(answer[0], scene.prior[0])
    assert not torch.equal(answer[1], scene.prior[1])


def test_silence_of_the_unconditional_half(family):
    scene = make_scene(family)
    assert torch.equal(scene.answer(Subjects([[alice()]]))[0], scene.prior[0])


def test_silence_outside_the_window(family):
    scene = make_scene(family)
    steps = torch.tensor([900, 500, 100])
    silent = Subjects([[alice()], [alice()]], timesteps=lambda: steps, window=(0.5, 1.0), cache={})
    assert_silent(scene, silent)


def test_zero_delta_and_plain_text_is_the_prior(family):
    """The branch runs at half weight, with nothing learned and the plain prompt: bit for bit the prior, under SDPA."""
    scene = make_scene(family, trained=False, router=partial(ConstantRouter, weight=0.5))
    context = plain_text_context(scene)
    with torch.no_grad():
        answer = scene.unet(**scene.call, cross_attention_kwargs={"moa": context}).sample
    assert len(context.trace.weights) == len(scene.adapter.config.sites)
    assert torch.equal(answer, scene.prior)


def plain_text_context(scene: Scene) -> MoAContext:
    """The context of a call in which the expert reads the prior's own prompt: its subject tokens are dropped."""
    times = scene.call["timestep"].float().expand(2)
    with scene.unet.moa.subjects(one_subject(), Trace()):
        context = scene.unet.moa.context(scene.call["sample"], times, scene.call["encoder_hidden_states"])
    expert = context.experts[0]
    return replace(context, experts=(replace(expert, position=torch.full_like(expert.position, expert.length)),))


def test_silence_mutant(family):
    """A branch that runs for everyone fails the law."""
    scene = make_scene(family)
    with pytest.raises(AssertionError):
        assert_silent(scene, one_subject())


# -- 2. Removal ---------------------------------------------------------------------------------------------------------


def assert_removed(unet, before: dict, call: dict, answer: torch.Tensor) -> None:
    assert {name: type(module) for name, module in unet.named_modules()} == before["classes"]
    assert list(unet.state_dict()) == before["keys"]
    with torch.no_grad():
        assert torch.equal(unet(**call).sample, answer)


def facts(unet) -> dict:
    return {"classes": {name: type(module) for name, module in unet.named_modules()}, "keys": list(unet.state_dict())}


def test_removal(family):
    unet, call = make_unet(family), unet_call(family)
    before = facts(unet)
    with torch.no_grad():
        answer = unet(**call).sample
    for _ in range(2):
        mount(unet, make_adapter(unet), "people")
        remove(unet)
        remove(unet)
        assert_removed(unet, before, call, answer)
    assert not unet._forward_pre_hooks and not unet._state_dict_hooks and not unet._load_state_dict_post_hooks


def test_removal_of_one_of_two(family):
    scene = make_scene(family)
    alone = scene.answer(one_subject())
    mount(scene.unet, make_adapter(scene.unet, seed=2), "pets")
    assert not torch.equal(scene.answer(Subjects([[alice(), alice(4, "pets")], []])), alone)
    remove(scene.unet, "pets")
    assert torch.equal(scene.answer(one_subject()), alone)


def test_removal_keeps_what_others_added_meanwhile():
    scene = make_scene("sd15")
    scene.unet.set_attn_processor(AttnProcessor())
    calls = []
    scene.unet.register_forward_pre_hook(lambda module, args: calls.append(1))
    remove(scene.unet)
    assert all(type(p) is AttnProcessor for p in scene.unet.attn_processors.values())
    scene.unet(**scene.call)
    assert calls == [1]


def test_removal_mutant():
    """A removal that leaves a retyped layer behind fails the law."""
    unet, call = make_unet("sd15"), unet_call("sd15")
    before = facts(unet)
    with torch.no_grad():
        answer = unet(**call).sample
    mount(unet, make_adapter(unet), "people")
    remove(unet)
    layer = unet.mid_block.attentions[0].transformer_blocks[0].attn1
    layer.__class__ = mixture_module.mixture_class(Attention)
    with pytest.raises(AssertionError):
        assert_removed(unet, before, call, answer)


# -- 3. Frozen prior ----------------------------------------------------------------------------------------------------


def train_a_step(scene: Scene) -> None:
    scene.unet.requires_grad_(False)
    for parameter in scene.adapter.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.SGD([p for p in scene.unet.parameters() if p.requires_grad], lr=0.1)
    with scene.unet.moa.subjects(one_subject()):
        scene.unet(**scene.call).sample.square().mean().backward()
    optimizer.step()


def assert_frozen(scene: Scene, before: dict[str, torch.Tensor]) -> None:
    now = scene.unet.state_dict()
    assert now.keys() == before.keys()
    assert all(torch.equal(now[key], before[key]) for key in before)
    own = {id(p) for p in scene.adapter.parameters()}
    assert all(p.grad is None for p in scene.unet.parameters() if id(p) not in own)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_frozen_prior(family, checkpointing):
    scene = make_scene(family)
    before = copy.deepcopy(scene.unet.state_dict())
    learned = [p.detach().clone() for p in scene.adapter.parameters()]
    if checkpointing:
        scene.unet.train().enable_gradient_checkpointing()
    train_a_step(scene)
    assert_frozen(scene, before)
    changed = [not torch.equal(a, b) for a, b in zip(scene.adapter.parameters(), learned, strict=True)]
    assert sum(changed) > 0.9 * len(changed)


def test_saved_unet_is_the_prior(family, tmp_path):
    scene = make_scene(family)
    scene.unet.save_pretrained(tmp_path)
    again = type(scene.unet).from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(**scene.call).sample, scene.prior)
    scene.unet.load_state_dict(again.state_dict())


def test_frozen_prior_mutant():
    scene = make_scene("sd15")
    before = copy.deepcopy(scene.unet.state_dict())
    train_a_step(scene)
    with torch.no_grad():
        scene.unet.conv_in.weight[0, 0, 0, 0] += 1e-3
    with pytest.raises(AssertionError):
        assert_frozen(scene, before)


# -- 4. Locality --------------------------------------------------------------------------------------------------------


def layer_answers(mutant: bool, monkeypatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One layer's answer with the expert confined to the left half, the prior's, and which pixels are the prior's."""
    if mutant:
        honest = mixture_module.mix
        monkeypatch.setattr(mixture_module, "mix", lambda prior, *rest: honest(prior, *rest) + 1e-6)
    scene = make_scene("sd15", batch=1)
    region = torch.zeros(8, 8)
    region[:, :4] = 1
    kept = {}
    layer = scene.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    handle = layer.register_forward_hook(lambda m, args, kwargs, out: kept.update(x=args, kwargs=kwargs, out=out), with_kwargs=True)
    scene.answer(Subjects([[alice(region=region)]]))
    handle.remove()
    kwargs = {k: v for k, v in kept["kwargs"].items() if k != "moa"}
    with torch.no_grad():
        prior = layer(*kept["x"], **kwargs)
    return kept["out"][0], prior[0], region.flatten() == 0


def test_locality(monkeypatch):
    mixed, prior, outside = layer_answers(False, monkeypatch)
    assert torch.equal(mixed[outside], prior[outside])
    assert not torch.equal(mixed[~outside], prior[~outside])


def test_locality_mutant(monkeypatch):
    mixed, prior, outside = layer_answers(True, monkeypatch)
    assert not torch.equal(mixed[outside], prior[outside])


# -- 5. Composition -----------------------------------------------------------------------------------------------------


def test_a_mounted_unet_is_a_denoiser(family):
    scene = make_scene(family)
    assert isinstance(scene.unet, Denoiser)
    assert isinstance(scene.unet, type(make_unet(family)))
    with scene.unet.moa.subjects(one_subject()), torch.no_grad():
        as_tuple = scene.unet(scene.call["sample"], scene.call["timestep"], scene.call["encoder_hidden_states"], added_cond_kwargs=scene.call.get("added_cond_kwargs"), return_dict=False)
    assert torch.equal(as_tuple[0], scene.answer(one_subject()))


def test_two_adapters_share_one_softmax(family):
    """Adapters trained apart combine without retraining: at every pixel the weights over prior and both sum to 1."""
    scene = make_scene(family)
    mount(scene.unet, make_adapter(scene.unet, seed=2), "pets")
    trace = Trace()
    with torch.no_grad(), scene.unet.moa.subjects(Subjects([[alice(), alice(4, "pets")], [alice()]]), trace):
        scene.unet(**scene.call)
    assert len(trace.weights) == len(scene.adapter.config.sites)
    for weights in trace.weights.values():
        assert weights.shape[-1] == 3
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
        assert (weights[1, :, 2] == 0).all()


def test_an_adapter_moves_to_a_finetune_of_the_same_structure(family):
    adapter = make_adapter(make_unet(family, seed=0))
    with pytest.warns(UserWarning, match="other weights"):
        mount(make_unet(family, seed=5), adapter, "people")
    assert isinstance(adapter, MoAAdapter)
