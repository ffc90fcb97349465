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
from moa.where.router import ROUTERS, ConstantRouter
from moa.where.subjects import Subjects

from experts import Scene, alice, make_adapter, make_scene
from families import make_unet, unet_call

KINDS = {
    "full": {},
    "low rank": {"branch": "lowrank"},
    "shared output": {"share_out": True},
    "cross only": {"layers": "cross"},
    "two tokens, linear router": {"tokens": 2, "router": ROUTERS["linear"]},
    "hard router": {"router": ROUTERS["hard"]},
    "router of the time": {"router": ROUTERS["timestep"]},
    "convolution": {"router": ROUTERS["conv"]},
}


@pytest.fixture(params=KINDS)
def kind(request) -> dict:
    """Each kind of expert: the arguments of `make_scene`."""
    return KINDS[request.param]


def one_subject() -> Subjects:
    return Subjects([[alice()], [alice()]])


# -- 1. Silence ---------------------------------------------------------------------------------------------------------


def assert_silent(scene: Scene, subjects: Subjects | None) -> None:
    """The answer is the prior's, bit for bit, and no part of an adapter was run for it."""
    ran = []
    parts = [module for name, module in scene.unet.named_modules() if name.rpartition(".")[0].endswith((".personal", ".router"))]
    assert len(parts) == 2 * len(scene.adapter.config.sites)
    handles = [part.register_forward_pre_hook(lambda *_: ran.append(1)) for whole in parts for part in whole.modules()]
    answer = scene.answer(subjects)
    for handle in handles:
        handle.remove()
    assert torch.equal(answer, scene.prior) and not ran


SILENT = {
    "no context": None,
    "no subject": Subjects([[], []]),
    "subject at scale 0": Subjects([[alice(scale=0.0)], []]),
    "adapter at scale 0": Subjects([[alice()], [alice()]], scale={"people": 0.0}),
}


@pytest.mark.parametrize("subjects", SILENT)
def test_silence(family, subjects):
    assert_silent(make_scene(family), SILENT[subjects])


@pytest.mark.parametrize("subjects", SILENT)
def test_silence_of_every_kind_of_expert(kind, subjects):
    assert_silent(make_scene(**kind), SILENT[subjects])


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


@pytest.mark.parametrize("weight", [0.0, 1e-4])
@pytest.mark.parametrize("subjects", SILENT)
def test_silence_mutant(family, subjects, weight, monkeypatch):
    """A branch that runs for everyone fails the law, and so does one whose answer is then thrown away."""
    scene = make_scene(family)
    layer = scene.unet.get_submodule(scene.adapter.config.sites[0].name)
    honest = type(layer).forward

    def leaky(self, x, *args, **kwargs):
        return honest(self, x, *args, **kwargs) + weight * self.personal["people"].q_delta(x).mean()

    monkeypatch.setattr(type(layer), "forward", leaky)
    with pytest.raises(AssertionError):
        assert_silent(scene, SILENT[subjects])


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


def assert_local(scene: Scene, subjects: Subjects) -> None:
    """Every mixed layer, given what it was given, answers as the prior where its weight is the prior's alone, and not elsewhere."""
    kept, trace = {}, Trace()
    layers = {site.name: scene.unet.get_submodule(site.name) for site in scene.adapter.config.sites}
    handles = [layer.register_forward_hook(lambda m, *given: kept.update({m.site: given}), with_kwargs=True) for layer in layers.values()]
    with torch.no_grad(), scene.unet.moa.subjects(subjects, trace):
        scene.unet(**scene.call)
    for handle in handles:
        handle.remove()
    assert kept.keys() == layers.keys()
    for name, (args, kwargs, mixed) in kept.items():
        with torch.no_grad():
            prior = layers[name](*args, **{k: v for k, v in kwargs.items() if k != "moa"})
        outside = trace.weights[name][..., 0] == 1
        assert outside.any() and not outside.all(), name
        assert torch.equal(mixed[outside], prior[outside]), name
        assert not torch.equal(mixed[~outside], prior[~outside]), name


def left_half() -> Subjects:
    region = torch.zeros(8, 8)
    region[:, :4] = 1
    return Subjects([[alice(region=region)]])


def test_locality(family):
    assert_local(make_scene(family, batch=1), left_half())


def test_locality_of_every_kind_of_expert(kind):
    assert_local(make_scene(batch=1, **kind), left_half())


def test_locality_of_a_learned_map():
    """Nothing is drawn by hand: a hard router decides, and the pixels that it leaves to the prior are the prior's."""
    assert_local(make_scene(batch=1, router=ROUTERS["hard"]), Subjects([[alice()]]))


def test_locality_mutant(family, monkeypatch):
    honest = mixture_module.mix
    monkeypatch.setattr(mixture_module, "mix", lambda prior, *rest: honest(prior, *rest) + 1e-6)
    with pytest.raises(AssertionError):
        assert_local(make_scene(family, batch=1), left_half())


# -- 5. Composition -----------------------------------------------------------------------------------------------------


def test_a_mounted_unet_is_a_denoiser(family):
    scene = make_scene(family)
    assert isinstance(scene.unet, Denoiser)
    assert isinstance(scene.unet, type(make_unet(family)))
    with scene.unet.moa.subjects(one_subject()), torch.no_grad():
        as_tuple = scene.unet(
            scene.call["sample"],
            scene.call["timestep"],
            scene.call["encoder_hidden_states"],
            added_cond_kwargs=scene.call.get("added_cond_kwargs"),
            return_dict=False,
        )
    assert torch.equal(as_tuple[0], scene.answer(one_subject()))


def assert_composed(scene: Scene) -> None:
    """At every pixel the weights over the prior and both adapters are weights, and a row without an adapter's subject has none of it."""
    trace = Trace()
    with torch.no_grad(), scene.unet.moa.subjects(Subjects([[alice(), alice(4, "pets")], [alice()]]), trace):
        scene.unet(**scene.call)
    assert len(trace.weights) == len(scene.adapter.config.sites)
    for weights in trace.weights.values():
        assert weights.shape[-1] == 3 and (weights >= 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
        assert (weights[1, :, 2] == 0).all()


def two_adapters(family: str) -> Scene:
    scene = make_scene(family)
    mount(scene.unet, make_adapter(scene.unet, seed=2), "pets")
    return scene


def test_two_adapters_share_one_softmax(family):
    """Adapters trained apart combine without retraining."""
    assert_composed(two_adapters(family))


def test_composition_mutant(family, monkeypatch):
    """Two experts that are each weighed against the prior alone, as if the other were not there, fail the law."""
    monkeypatch.setattr(mixture_module, "blend", lambda logits, hard: logits.sigmoid() * 1.5)
    with pytest.raises(AssertionError):
        assert_composed(two_adapters(family))


def test_an_adapter_moves_to_a_finetune_of_the_same_structure(family):
    adapter = make_adapter(make_unet(family, seed=0))
    with pytest.warns(UserWarning, match="other weights"):
        mount(make_unet(family, seed=5), adapter, "people")
    assert isinstance(adapter, MoAAdapter)
