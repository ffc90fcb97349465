"""A picture whose context is the prior's: exact outside what is claimed, for every family, beside the caller's own callbacks."""

import warnings

import numpy as np
import pytest
import torch
from diffusers.callbacks import SDCFGCutoffCallback, SDXLCFGCutoffCallback

from moa import MoAPipeline
from moa.pipelines.keeping import claimed, put_back
from moa.where.recorder import Recorder
from moa.where.router import ConstantRouter
from moa.where.subjects import Subjects

from experts import alice, make_adapter

CALL = dict(num_inference_steps=3, guidance_scale=5.0, output_type="latent", height=16, width=16)
LEFT = {"alice": (0, 0, 8, 16)}  # of the picture: latents 0 to 3, and one more at the border


@pytest.fixture
def pipe(family, model_folder):
    made = MoAPipeline.from_pretrained(model_folder(family))
    made.set_progress_bar_config(disable=True)
    made.load_moa(make_adapter(made.unet, tokens=2), "people")
    return made


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def draw(pipe, picture, generator=None, **changes) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*<alice>", category=UserWarning)
        return pipe("<alice> at night", subjects={"alice": picture}, generator=generator or seed(), **CALL | changes).images


def test_outside_the_subjects_the_latents_are_the_priors_bit_for_bit(pipe, picture):
    prior = pipe("a person at night", generator=seed(), **CALL).images
    kept, free = draw(pipe, picture, routing=LEFT, keep_context=True), draw(pipe, picture, routing=LEFT)
    assert torch.equal(kept[..., 5:], prior[..., 5:]) and not torch.equal(free[..., 5:], prior[..., 5:])
    assert not torch.equal(kept[..., :4], prior[..., :4])


def test_each_picture_of_a_batch_has_its_own_noise_and_context(pipe, picture):
    prompts, subjects = ["a dog", "<alice>"], [{}, {"alice": picture}]
    call = CALL | {"generator": [seed(1), seed(2)]}
    kept = pipe(prompts, subjects=subjects, routing=LEFT, keep_context=True, **call).images
    prior = pipe(["a dog", "a person"], **call | {"generator": [seed(1), seed(2)]}).images
    assert torch.equal(kept[0], prior[0]) and torch.equal(kept[1, ..., 5:], prior[1, ..., 5:])


def test_without_a_generator_both_runs_have_the_same_noise(pipe, picture):
    torch.manual_seed(3)
    first = pipe("<alice>", subjects={"alice": picture}, routing=LEFT, keep_context=True, **CALL).images
    torch.manual_seed(3)
    again = pipe("<alice>", subjects={"alice": picture}, routing=LEFT, keep_context=True, **CALL).images
    assert torch.equal(first, again)


def test_a_callers_callback_still_runs_with_what_it_asked_for(pipe, picture):
    seen = []

    def own(pipe, step, time, tensors):
        seen.append(sorted(tensors))
        return {"latents": tensors["latents"] + 1}

    moved = draw(
        pipe,
        picture,
        routing=LEFT,
        keep_context=True,
        callback_on_step_end=own,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
    )
    assert seen == [["latents", "prompt_embeds"]] * 3
    still = draw(pipe, picture, routing=LEFT, keep_context=True)
    assert torch.equal(moved[..., 5:], still[..., 5:]) and not torch.equal(moved[..., :4], still[..., :4])


def test_diffusers_own_callbacks_act_on_the_priors_run_too(pipe, picture):
    """With guidance cut off after the first step the context is that of the prior with guidance cut off."""
    cut = {"sd": SDCFGCutoffCallback, "sdxl": SDXLCFGCutoffCallback}["sdxl" if "XL" in type(pipe).__name__ else "sd"]
    call = dict(callback_on_step_end=cut(cutoff_step_ratio=None, cutoff_step_index=1))
    prior, uncut = (pipe("a person at night", generator=seed(), **CALL | change).images for change in (call, {}))
    kept = draw(pipe, picture, routing=LEFT, keep_context=True, **call)
    assert torch.equal(kept[..., 5:], prior[..., 5:]) and not torch.equal(prior, uncut)


def test_a_run_stopped_while_the_prior_draws_stops_there(pipe, picture):
    """As a page's stop button does from another thread."""
    calls = []

    def press(unet, args):
        calls.append(1)
        if len(calls) == 2:
            pipe._interrupt = True

    handle = pipe.unet.register_forward_pre_hook(press)
    stopped = draw(pipe, picture, routing=LEFT, keep_context=True)
    handle.remove()
    assert len(calls) < 2 * CALL["num_inference_steps"] and stopped.isfinite().all()


def test_a_block_of_other_subjects_leaves_it_alone(pipe, picture):
    want = draw(pipe, picture, routing=LEFT, keep_context=True)
    with pytest.warns(UserWarning, match="Nothing was drawn"), pipe.subjects("<bob> in the snow", {"bob": picture}):
        assert torch.equal(draw(pipe, picture, routing=LEFT, keep_context=True), want)


def test_an_adapter_of_few_layers_claims_as_much(model_folder, picture):
    """Beside an adapter of every layer, whose layers are not its own."""
    pipe = MoAPipeline.from_pretrained(model_folder("sd15"))
    pipe.set_progress_bar_config(disable=True)
    pipe.load_moa(make_adapter(pipe.unet, layers=["up_blocks.1.attentions.0.transformer_blocks.0.attn2"]), "few")
    own = {"alice": pipe.encode_subject(picture, adapter="few")}
    call = CALL | dict(routing=LEFT, output_routing=True, keep_context=True)
    alone = pipe("<alice> at night", subjects=own, generator=seed(), **call)
    pipe.load_moa(make_adapter(pipe.unet, seed=1), "people")
    both = own | {"bob": pipe.encode_subject(picture, adapter="people")}
    beside = pipe("<alice> and <bob>", subjects=both, generator=seed(), **call | {"routing": LEFT | {"bob": (12, 0, 16, 16)}})
    assert alone.subject_maps[0]["alice"][:, :4].min() == 1
    torch.testing.assert_close(beside.subject_maps[0]["alice"], alone.subject_maps[0]["alice"])


def test_a_router_that_cannot_say_where_is_refused(pipe, picture):
    pipe.unload_moa()
    pipe.load_moa(make_adapter(pipe.unet, router=ConstantRouter), "flat")
    with pytest.raises(ValueError, match="keep_context=True.*'flat' weighs every pixel alike.*another router"):
        draw(pipe, picture, keep_context=True)
    with pytest.raises(ValueError, match="keep_context='yes' is a text; give True or False"):
        draw(pipe, picture, keep_context="yes")
    pipe.load_moa(make_adapter(pipe.unet), "people")  # an adapter that the call does not use has no say
    draw(pipe, pipe.encode_subject(picture, adapter="people"), keep_context=True)
    assert torch.equal(*(pipe("a dog", generator=seed(), keep_context=keep, **CALL).images for keep in (True, False)))


class Maps(Recorder):
    """A recorder of given maps."""

    def __init__(self, maps: torch.Tensor | None):
        super().__init__(("people",), 1)
        self.maps = maps

    def claims(self):
        return self.maps[:, 1:] if self.maps is not None else None


def test_what_is_claimed_is_where_the_router_prefers_the_expert_and_a_pixel_around_it():
    expert = torch.zeros(1, 1, 5, 5)
    expert[0, 0, 2, 2] = 0.3
    maps = Maps(torch.cat([1 - expert, expert], dim=1))
    assert not claimed(maps, Subjects([[alice()]])).any()
    mask = claimed(maps, Subjects([[alice()]], scale={"people": 0.5}))  # the router itself gave 0.6
    assert mask[0, 0, 1:4, 1:4].all() and mask.sum() == 9
    assert claimed(Maps(None), Subjects([[alice()]])) is None


def test_latents_are_put_back_outside_a_region():
    past, now = [torch.zeros(1, 2, 2, 2)], {"latents": torch.ones(1, 2, 2, 2)}
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    assert np.array_equal(put_back(past, lambda: mask, None)(None, 0, 0, now)["latents"], mask.expand(1, 2, 2, 2))
    assert put_back(past, lambda: None, None)(None, 0, 0, now) == {}
