"""How often a pipeline call does what no step changes: counted, not timed."""

from collections import Counter

import pytest
import torch

from moa import MoAPipeline

from experts import make_adapter

STEPS, TOKENS = 4, 3
CALL = dict(num_inference_steps=STEPS, guidance_scale=5.0, output_type="latent", height=16, width=16)
pytestmark = pytest.mark.filterwarnings("ignore::moa.where.presence.PresenceWarning")


@pytest.fixture
def pipe(family, model_folder):
    made = MoAPipeline.from_pretrained(model_folder(family))
    made.set_progress_bar_config(disable=True)
    made.load_moa(make_adapter(made.unet, tokens=TOKENS), "people")
    return made


@pytest.fixture
def events(pipe, monkeypatch) -> list[tuple[str, tuple[int, ...]]]:
    """What was called, in order, each with the shape of its first argument: `to_k attn2`, `k_delta attn2`, `fuse`, `unet`, ..."""
    seen: list[tuple[str, tuple[int, ...]]] = []

    def watch(name, module) -> None:
        module.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append((name, tuple((args or list(kwargs.values()))[0].shape))), with_kwargs=True
        )

    for site in pipe.moa_adapters["people"].config.sites:
        layer, kind = pipe.unet.get_submodule(site.name), site.name.rpartition(".")[2]
        for name in ("to_k", "to_v"):
            watch(f"{name} {kind}", getattr(layer, name))
        for name in ("k_delta", "v_delta"):
            watch(f"{name} {kind}", getattr(layer.personal["people"], name))
    watch("unet", pipe.unet.conv_in)
    watch("encoder", pipe.moa.encoders["people"].model)
    fusion = pipe.moa.fusion["people"]
    for name in ("fuse", "offsets"):
        own = getattr(fusion, name)
        monkeypatch.setattr(
            fusion, name, lambda first, *rest, name=name, own=own: seen.append((name, tuple(first.shape))) or own(first, *rest)
        )
    return seen


def test_once_a_call_and_not_once_a_step(pipe, events, picture):
    """Two subjects in two prompts with guidance: of each cross-attention layer, the prior projects the prompts (4 rows) once and all subject
    tokens of all steps once; the branch the conditional half (2 rows) and the same tokens."""
    pipe(
        ["<alice> and <bob>"] * 2,
        subjects={"alice": picture, "bob": picture.rotate(90)},
        generator=torch.Generator().manual_seed(0),
        **CALL,
    )
    sites, width = pipe.moa_adapters["people"].config.sites, pipe.unet.config.cross_attention_dim
    cross, plain = sum(site.cross for site in sites), sum(not site.cross for site in sites)
    prompts, tokens = (4, 77, width), (STEPS, 2, 2 * TOKENS, width)
    found = Counter(event for event in events if event[0].endswith("attn2"))
    assert found == {(f"to_{x} attn2", shape): cross for x in "kv" for shape in (prompts, tokens)} | {
        (f"{x}_delta attn2", shape): cross for x in "kv" for shape in ((2, *prompts[1:]), tokens)
    }
    names = Counter(name for name, _ in events)
    assert names["unet"] == STEPS and {names[f"{x} attn1"] for x in ("to_k", "to_v", "k_delta", "v_delta")} == {STEPS * plain}
    assert [event for event in events if event[0] in ("fuse", "offsets")] == [("fuse", (4, 5, 24)), ("offsets", (STEPS,))]
    assert names["encoder"] == 2


def test_pictures_are_encoded_before_the_tokens_are_made_and_those_before_the_first_step(pipe, events, picture):
    pipe("<alice> and <bob>", subjects={"alice": picture, "bob": picture.rotate(90)}, **CALL)
    order = [name for name, _ in events]
    assert order[:5] == ["encoder", "encoder", "fuse", "offsets", "unet"]
    assert not {"encoder", "fuse", "offsets"} & set(order[5:])


def test_a_picture_given_for_several_prompts_is_encoded_once_and_an_embedding_never(pipe, events, picture):
    pipe(["<alice>", "<bob> at night", "<alice> and <bob>"], subjects={"alice": picture, "bob": picture}, **CALL)
    assert [name for name, _ in events].count("encoder") == 1
    rex = pipe.encode_subject(picture)
    events.clear()
    pipe("<rex> and <rex> again", subjects={"rex": rex}, **CALL)
    assert [name for name, _ in events].count("encoder") == 0


def test_the_next_call_does_its_own_work(pipe, events, picture):
    counts = []
    for _ in range(2):
        events.clear()
        pipe("<alice>", subjects={"alice": picture}, **CALL)
        counts.append(Counter(events))
    assert counts[0] == counts[1]
