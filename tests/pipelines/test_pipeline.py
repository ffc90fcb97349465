"""The public contract of MoAPipeline, on a small random model of each family, with diffusers' own pipeline as the oracle."""

import warnings

import accelerate
import diffusers
import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image

from moa import MoAPipeline, SubjectEmbedding
from moa.pipelines import MoAOutput
from moa.where.presence import PresenceWarning
from moa.where.router import ConstantRouter

from experts import make_adapter
from families import make_unet

CALL = dict(num_inference_steps=3, guidance_scale=5.0, output_type="np", height=16, width=16)


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.fixture(autouse=True)
def ignore_presence():
    """Random models draw subjects anywhere; those warnings have tests of their own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*<", category=UserWarning)
        yield


@pytest.fixture
def pipe(family, model_folder):
    made = MoAPipeline.from_pretrained(model_folder(family))
    made.set_progress_bar_config(disable=True)
    made.load_moa(make_adapter(made.unet, tokens=2), "people")
    return made


@pytest.fixture
def stock(family, model_folder):
    made = DiffusionPipeline.from_pretrained(model_folder(family))
    made.set_progress_bar_config(disable=True)
    return made


def test_from_pretrained_gives_the_familys_class(pipe, family):
    assert isinstance(pipe, MoAPipeline)
    assert isinstance(pipe, StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline)


def test_without_subjects_the_picture_is_the_stock_pipelines(pipe, stock):
    theirs = stock("a dog in the snow", generator=seed(), **CALL).images
    assert np.array_equal(pipe("a dog in the snow", generator=seed(), **CALL).images, theirs)
    pipe.unload_moa()
    pipe.unload_moa()
    assert np.array_equal(pipe("a dog in the snow", generator=seed(), **CALL).images, theirs)


def test_at_scale_zero_the_picture_is_the_priors_with_the_noun(pipe, stock, picture):
    pipe.set_moa_scale(0.0)
    silent = pipe("<alice> in the snow", subjects={"alice": picture}, generator=seed(), **CALL).images
    assert np.array_equal(silent, stock("a person in the snow", generator=seed(), **CALL).images)


def test_a_batch_of_three_equals_singles(pipe, picture):
    prompts = ["<alice> and <bob> in the snow", "a dog", "<alice> at night"]
    given = [{"alice": picture, "bob": [picture, picture]}, {}, {"alice": picture}]
    whole = pipe(prompts, subjects=given, generator=[seed(i) for i in range(3)], **CALL).images
    for i, (prompt, subjects) in enumerate(zip(prompts, given, strict=True)):
        single = pipe(prompt, subjects=subjects or None, generator=seed(i), **CALL).images
        np.testing.assert_allclose(single[0], whole[i], atol=1e-4)


def test_one_dict_serves_every_prompt(pipe, picture):
    prompts = ["<alice> at night", "<alice> and <bob>"]
    shared = pipe(prompts, subjects={"alice": picture, "bob": picture}, generator=seed(), **CALL).images
    each = pipe(prompts, subjects=[{"alice": picture}, {"alice": picture, "bob": picture}], generator=seed(), **CALL).images
    assert np.array_equal(shared, each)


def test_output_routing(pipe, picture):
    out = pipe(
        "<alice> and <bob>",
        subjects={"alice": picture, "bob": picture},
        output_routing=True,
        num_images_per_prompt=2,
        generator=seed(),
        **CALL,
    )
    assert isinstance(out, MoAOutput)
    assert out.routing.shape == (2, 2, 8, 8) and out.experts == ("people",)
    torch.testing.assert_close(out.routing.sum(1), torch.ones(2, 8, 8))
    assert [set(maps) for maps in out.subject_maps] == [{"alice", "bob"}] * 2
    both = sum(out.subject_maps[0].values())
    torch.testing.assert_close(both, out.routing[0, 1], atol=1e-5, rtol=1e-4)


def test_full_routing_has_every_step_and_layer(pipe, picture):
    out = pipe("<alice>", subjects={"alice": picture}, output_routing="full", generator=seed(), **CALL)
    sites = {site.name for site in pipe.moa_adapters["people"].config.sites}
    assert set(out.routing) == {(step, site) for step in range(3) for site in sites}


def test_regions_override_the_learned_map(pipe, picture):
    mask = np.zeros((16, 16), dtype=bool)
    mask[:, :8] = True
    maps = [
        pipe("<alice>", subjects={"alice": picture}, routing={"alice": region}, output_routing=True, generator=seed(), **CALL).routing[0, 1]
        for region in (mask, Image.fromarray(mask), torch.from_numpy(mask), (0, 0, 8, 16))
    ]
    for drawn in maps:
        assert torch.equal(drawn, maps[0])
        assert (drawn[:, :3] > 0.99).all() and (drawn[:, 5:] < 0.01).all()


def test_a_mask_is_the_map_of_every_layer_and_step_brought_to_its_grid(pipe, picture):
    """A soft mask too: of each layer's pixel, the mean of the picture's pixels that it covers."""
    rng = np.random.default_rng(0)
    mask = torch.tensor(rng.random((16, 24)), dtype=torch.float32)
    call = CALL | {"height": 16, "width": 24}
    drawn = [
        pipe("<alice>", subjects={"alice": picture}, routing={"alice": region}, output_routing="full", generator=seed(), **call).routing
        for region in (mask, mask.numpy(), Image.fromarray((255 * mask.numpy()).round().astype(np.uint8)))
    ]
    exact, array, eight_bits = drawn
    assert len(exact) == 3 * len(pipe.moa_adapters["people"].config.sites)
    for key, weights in exact.items():
        h, w = weights.shape[-2:]
        assert (h, w) in ((8, 12), (4, 6)), key
        wanted = mask.reshape(h, 16 // h, w, 24 // w).mean((1, 3))
        torch.testing.assert_close(weights[0, 1], wanted, rtol=1e-5, atol=1e-6)
        assert torch.equal(weights, array[key])
        torch.testing.assert_close(eight_bits[key], weights, rtol=0, atol=0.5 / 255 + 1e-6)


def test_a_subject_named_twice(pipe, picture):
    """Each mention brings the picture: as two names for one and the same picture would, with one map for both."""
    twice = pipe("<alice> and <alice> again", subjects={"alice": picture}, output_routing=True, generator=seed(), **CALL)
    named = pipe("<alice> and <bob> again", subjects={"alice": picture, "bob": picture}, output_routing=True, generator=seed(), **CALL)
    assert np.array_equal(twice.images, named.images) and torch.equal(twice.routing, named.routing)
    assert [list(maps) for maps in twice.subject_maps] == [["alice"]]
    torch.testing.assert_close(twice.subject_maps[0]["alice"], twice.routing[0, 1], atol=1e-5, rtol=1e-4)
    once = pipe("<alice> and a person again", subjects={"alice": picture}, generator=seed(), **CALL).images
    assert not np.array_equal(twice.images, once)
    pipe.set_moa_scale({"alice": 0.0})
    plain = pipe("a person and a person again", generator=seed(), **CALL).images
    assert np.array_equal(pipe("<alice> and <alice> again", subjects={"alice": picture}, generator=seed(), **CALL).images, plain)


def test_tuples_stay_tuples(pipe, picture):
    answer = pipe("<alice>", subjects={"alice": picture}, return_dict=False, generator=seed(), **CALL)
    assert isinstance(answer, tuple)
    with pytest.raises(ValueError, match="output_routing=True.*return_dict=False"):
        pipe("<alice>", subjects={"alice": picture}, return_dict=False, output_routing=True, **CALL)


def test_routing_of_a_picture_without_subjects_is_none(pipe, stock):
    out = pipe("a dog", output_routing=True, generator=seed(), **CALL)
    assert isinstance(out, MoAOutput) and out.routing is None and out.subject_maps is None
    assert np.array_equal(out.images, stock("a dog", generator=seed(), **CALL).images)


def test_a_constant_router_gives_no_presence_warnings(pipe, picture):
    pipe.unload_moa()
    pipe.load_moa(make_adapter(pipe.unet, router=ConstantRouter), "people")
    with warnings.catch_warnings():
        warnings.simplefilter("error", PresenceWarning)
        pipe("<alice>", subjects={"alice": picture}, generator=seed(), **CALL)


def test_scales(pipe, picture):
    def draw() -> np.ndarray:
        return pipe("<alice>", subjects={"alice": picture}, generator=seed(), **CALL).images

    full, plain = draw(), pipe("a person", generator=seed(), **CALL).images
    pipe.set_moa_scale(0.5)
    half = draw()
    assert not np.array_equal(half, full) and not np.array_equal(half, plain)
    pipe.set_moa_scale({"alice": 0.0})
    pipe.set_moa_scale(1.0)
    assert np.array_equal(draw(), full)
    pipe.set_moa_scale({"alice": 0.0})
    assert np.array_equal(draw(), plain)
    pipe.set_moa_scale({"people": 1.0, "alice": 1.0}, window=(0.0, 0.4))
    early = draw()
    pipe.set_moa_scale(1.0, window=(0.4, 1.0))
    assert not np.array_equal(early, draw()) and not np.array_equal(early, full)
    late = draw()
    pipe.set_moa_scale({"alice": 0.5})  # a strength by name leaves the window as it was
    pipe.set_moa_scale({"alice": 1.0})
    assert np.array_equal(draw(), late)


def test_subject_embeddings(pipe, picture, tmp_path):
    direct = pipe("<rex>", subjects={"rex": picture}, generator=seed(), **CALL).images
    pipe.encode_subject(picture).save(tmp_path / "rex.safetensors")
    loaded = SubjectEmbedding.load(tmp_path / "rex.safetensors")
    assert np.array_equal(pipe("<rex>", subjects={"rex": loaded}, generator=seed(), **CALL).images, direct)
    for path in (tmp_path / "rex.safetensors", str(tmp_path / "rex.safetensors")):
        assert np.array_equal(pipe("<rex>", subjects={"rex": path}, generator=seed(), **CALL).images, direct)
    with pytest.raises(ValueError, match="no.safetensors' is no subject embedding"):
        pipe("<rex>", subjects={"rex": str(tmp_path / "no.safetensors")}, **CALL)
    dog = pipe.encode_subject(picture, noun="dog")
    assert not np.array_equal(pipe("<rex>", subjects={"rex": dog}, generator=seed(), **CALL).images, direct)
    path = tmp_path / "rex.png"
    picture.save(path)
    assert np.array_equal(pipe("<rex>", subjects={"rex": str(path)}, generator=seed(), **CALL).images, direct)
    other = picture.rotate(90)
    two = pipe("<rex>", subjects={"rex": [other, picture]}, generator=seed(), **CALL).images
    assert not np.array_equal(two, direct)
    np.testing.assert_allclose(pipe("<rex>", subjects={"rex": [other, loaded]}, generator=seed(), **CALL).images, two, atol=1e-4)


def test_two_adapters(pipe, picture):
    pipe.load_moa(make_adapter(pipe.unet, seed=3), "pets")
    with pytest.raises(ValueError, match="Several adapters.*'alice'"):
        pipe("<alice>", subjects={"alice": picture}, **CALL)
    given = {"alice": pipe.encode_subject(picture, adapter="people"), "rex": pipe.encode_subject(picture, "dog", adapter="pets")}
    out = pipe("<alice> and <rex>", subjects=given, output_routing=True, generator=seed(), **CALL)
    assert out.routing.shape[1] == 3 and out.experts == ("people", "pets")
    alone = pipe("<alice>", subjects={"alice": given["alice"]}, generator=seed(), **CALL).images
    pipe.unload_moa("pets")
    assert np.array_equal(pipe("<alice>", subjects={"alice": picture}, generator=seed(), **CALL).images, alone)


def test_maps_of_two_adapters_in_different_layers(pipe, picture):
    """Each adapter's subjects are told apart by its own layers, and share out their expert's weight between them."""
    names = [site.name for site in pipe.moa_adapters["people"].config.sites]
    pipe.unload_moa()
    for name, part in (("people", "down_blocks"), ("pets", "up_blocks")):
        assert any(part in site for site in names)
        pipe.load_moa(make_adapter(pipe.unet, seed=len(name), layers=[part]), name)
    given = {
        name: pipe.encode_subject(picture.rotate(90 * i), adapter=adapter)
        for i, (name, adapter) in enumerate([("a", "people"), ("b", "people"), ("c", "pets"), ("d", "pets")])
    }
    out = pipe("<a> and <b> and <c> and <d>", subjects=given, output_routing=True, generator=seed(), **CALL)
    maps = out.subject_maps[0]
    assert not torch.equal(maps["a"], maps["b"]) and not torch.equal(maps["c"], maps["d"])
    own = {name: len(adapter.config.sites) for name, adapter in pipe.moa_adapters.items()}
    for column, (adapter, (one, other)) in enumerate({"people": "ab", "pets": "cd"}.items(), start=1):
        mean = out.routing[0, column] * sum(own.values()) / own[adapter]  # over its layers; `routing` is over all of them
        torch.testing.assert_close(maps[one] + maps[other], mean, atol=1e-5, rtol=1e-4)


def test_names_in_any_alphabet(pipe, picture):
    drawn = pipe("<Élodie> and <李雷>", subjects={"Élodie": picture, "李雷": picture}, generator=seed(), **CALL).images
    assert np.array_equal(drawn, pipe("<a> and <b>", subjects={"a": picture, "b": picture}, generator=seed(), **CALL).images)


def test_a_second_prompt_and_subjects_are_refused(model_folder, picture):
    pipe = MoAPipeline.from_pretrained(model_folder("sdxl"))
    pipe.load_moa(make_adapter(pipe.unet), "people")
    for second in ("a dog", "<alice>"):
        with pytest.raises(ValueError, match="prompt_2=.* cannot go with subjects"):
            pipe("<alice>", prompt_2=second, subjects={"alice": picture}, **CALL)


def near(picture, other):
    """The same picture from weights at other addresses, whose alignment chooses the CPU's kernels: not to the bit."""
    return np.allclose(picture, other, rtol=0, atol=1e-5)


def test_save_and_load_with_and_without_an_adapter(pipe, stock, picture, tmp_path):
    with_subject = pipe("<alice>", subjects={"alice": picture}, generator=seed(), **CALL).images
    plain = stock("a dog", generator=seed(), **CALL).images
    assert np.abs(with_subject - plain).max() > 1e-3
    pipe.save_pretrained(tmp_path / "with")
    again = MoAPipeline.from_pretrained(tmp_path / "with")
    again.set_progress_bar_config(disable=True)
    assert near(again("<alice>", subjects={"alice": picture}, generator=seed(), **CALL).images, with_subject)
    theirs = type(stock).from_pretrained(tmp_path / "with")
    theirs.set_progress_bar_config(disable=True)
    assert near(theirs("a dog", generator=seed(), **CALL).images, plain)
    assert (tmp_path / "with" / "moa" / "people").is_dir()
    pipe.unload_moa()
    pipe.save_pretrained(tmp_path / "without")
    assert not (tmp_path / "without" / "moa").exists()
    bare = MoAPipeline.from_pretrained(tmp_path / "without")
    bare.set_progress_bar_config(disable=True)
    assert bare.moa is None and near(bare("a dog", generator=seed(), **CALL).images, plain)


def test_callbacks_that_change_latents(pipe, stock, picture):
    def grow(pipe, step, timestep, tensors):
        return {"latents": tensors["latents"] * 1.1}

    given = dict(subjects={"alice": picture}, callback_on_step_end=grow)
    plain = pipe("<alice>", subjects={"alice": picture}, generator=seed(), **CALL).images
    assert not np.array_equal(plain, pipe("<alice>", generator=seed(), **given, **CALL).images)
    pipe.set_moa_scale(0.0)
    theirs = stock("a person", generator=seed(), callback_on_step_end=grow, **CALL).images
    assert np.array_equal(pipe("<alice>", generator=seed(), **given, **CALL).images, theirs)


def test_long_prompts_are_cut_as_diffusers_does(pipe, stock, picture):
    rest = "in the snow " * 40
    drawn = pipe("<alice> " + rest, subjects={"alice": picture}, generator=seed(), **CALL).images
    shorter = pipe("<alice> " + rest[:-12], subjects={"alice": picture}, generator=seed(), **CALL).images
    assert np.array_equal(drawn, shorter)
    pipe.set_moa_scale(0.0)
    theirs = stock("a person " + rest, generator=seed(), **CALL).images
    assert np.array_equal(pipe("<alice> " + rest, subjects={"alice": picture}, generator=seed(), **CALL).images, theirs)


def test_offload_hooks(pipe, family, picture, monkeypatch):
    """diffusers' own calls, with the CPU as the device that computes; adapters come and go while it is on."""
    offload = accelerate.cpu_offload  # to "cpu:0" a parameter is copied, and the copy is none
    monkeypatch.setattr(accelerate, "cpu_offload", lambda model, device, **rest: offload(model, torch.device(device.type), **rest))
    given = dict(subjects={"alice": picture}, **CALL)
    plain = pipe("<alice>", generator=seed(), **given).images
    prior = pipe("a person", generator=seed(), **CALL).images
    assert np.abs(plain - prior).max() > 1e-3
    for enable in (pipe.enable_sequential_cpu_offload, pipe.enable_model_cpu_offload):
        enable(device="cpu")
        assert near(pipe("<alice>", generator=seed(), **given).images, plain)
        assert next(pipe.unet.conv_in.parameters()).is_meta == (enable == pipe.enable_sequential_cpu_offload)
        pipe.load_moa(make_adapter(make_unet(family), seed=3), "pets")
        given["subjects"] = {"alice": pipe.encode_subject(picture, adapter="people")}
        assert near(pipe("<alice>", generator=seed(), **given).images, plain)
        pipe.unload_moa("pets")
        assert hasattr(pipe.unet, "_hf_hook")
    pipe.unload_moa()
    assert near(pipe("a person", generator=seed(), **CALL).images, prior)
    pipe.remove_all_hooks()
    assert not any(p.is_meta for p in pipe.unet.parameters())


def test_a_model_that_is_offloaded_is_fetched_before_the_fusion_runs(pipe, picture, monkeypatch):
    from accelerate.hooks import CpuOffload

    pipe.enable_model_cpu_offload(device="cpu")
    fetch, order = CpuOffload.pre_forward, []
    monkeypatch.setattr(
        CpuOffload,
        "pre_forward",
        lambda self, module, *args, **kwargs: order.append(type(module).__name__) or fetch(self, module, *args, **kwargs),
    )
    pipe.unet.moa.fusion["people"].resampler.register_forward_pre_hook(lambda module, args: order.append("fusion"))
    pipe("<alice>", subjects={"alice": picture}, generator=seed(), **CALL)
    assert order[: order.index("fusion")][-1] == "UNet2DConditionModel"


def test_without_guidance(pipe, picture):
    call = CALL | {"guidance_scale": 1.0}
    with_alice = pipe("<alice>", subjects={"alice": picture}, generator=seed(), **call).images
    assert not np.array_equal(with_alice, pipe("a person", generator=seed(), **call).images)


def test_two_pictures_without_guidance_are_not_taken_for_guidance(pipe, stock, picture):
    with pipe.subjects("<alice>", {"alice": picture}) as prompt, pytest.raises(ValueError, match="pass num_images_per_prompt=2"):
        type(stock).__call__(pipe, prompt, num_images_per_prompt=2, **CALL | {"guidance_scale": 1.0})


def test_a_negative_prompt_of_the_same_words(pipe, picture):
    """Both halves of the guidance are then one text, which only a block of subjects may not take for guidance."""
    same = pipe("<alice>", subjects={"alice": picture}, negative_prompt="a person", generator=seed(), **CALL).images
    assert not np.array_equal(same, pipe("<alice>", subjects={"alice": picture}, generator=seed(), **CALL).images)


def test_a_block_in_which_nothing_was_drawn_says_so(pipe, stock, picture):
    said = pytest.warns(UserWarning, match="Nothing was drawn with the subjects.*pipe.components")
    with said, pipe.subjects("<alice>", {"alice": picture}) as prompt:
        stock(prompt, **CALL)  # it has a UNet of its own
    with pytest.raises(KeyError), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pipe.subjects("<alice>", {"alice": picture}):
            raise KeyError
        with pipe.subjects("<alice>", {"alice": picture}) as prompt:
            type(stock).__call__(pipe, prompt, **CALL)


def test_steps_outside_the_window_are_counted(pipe, picture):
    pipe.set_moa_scale(1.0, window=(0.5, 1.0))
    out = pipe("<alice>", subjects={"alice": picture}, output_routing="full", generator=seed(), **CALL | {"num_inference_steps": 4})
    assert {step for step, _ in out.routing} == {2, 3}


@pytest.mark.parametrize("task", ["Img2Img", "Inpaint"])
def test_a_handle_works_in_other_stock_pipelines(pipe, picture, task):
    kind = getattr(diffusers, f"StableDiffusion{'XL' if isinstance(pipe, StableDiffusionXLPipeline) else ''}{task}Pipeline")
    names = set(kind._get_signature_keys(kind)[0]) | set(kind._optional_components)
    other = kind(
        **{name: part for name, part in pipe.components.items() if name in names},
        **({} if "XL" in kind.__name__ else {"requires_safety_checker": False}),
    )
    other.set_progress_bar_config(disable=True)
    call = dict(image=picture.resize((16, 16)), strength=0.8, num_inference_steps=4, guidance_scale=3.0, output_type="np")
    if task == "Inpaint":
        call |= dict(mask_image=Image.new("L", (16, 16), 255), height=16, width=16)
    plain = other("a person at night", generator=seed(), **call).images
    with pipe.subjects("<alice> at night", {"alice": picture}, scheduler=other.scheduler) as prompt:
        assert prompt == "a person at night"
        drawn = other(prompt, generator=seed(), **call).images
    assert not np.array_equal(plain, drawn)
    assert np.array_equal(other("a person at night", generator=seed(), **call).images, plain)


def test_a_window_counts_the_steps_that_img2img_takes(pipe, picture, monkeypatch):
    """Of eight steps the last four: the second half of the run is the last two."""
    kind = getattr(diffusers, f"StableDiffusion{'XL' if isinstance(pipe, StableDiffusionXLPipeline) else ''}Img2ImgPipeline")
    names = set(kind._get_signature_keys(kind)[0]) | set(kind._optional_components)
    other = kind(
        **{name: part for name, part in pipe.components.items() if name in names},
        **({} if "XL" in kind.__name__ else {"requires_safety_checker": False}),
    )
    other.set_progress_bar_config(disable=True)
    seen, context = [], type(pipe.moa).context
    monkeypatch.setattr(type(pipe.moa), "context", lambda *given: seen.append(context(*given)) or seen[-1])
    for _ in range(2):
        pipe.set_moa_scale(1.0, window=(0.5, 1.0))
        with pipe.subjects("<alice>", {"alice": picture}, scheduler=other.scheduler) as prompt:
            for _ in range(2):
                other(prompt, image=picture.resize((16, 16)), strength=0.5, num_inference_steps=8, guidance_scale=3.0, output_type="np")
    assert [made is not None for made in seen] == [False, False, True, True] * 4


def test_of_two_subjects_one_of_no_strength_is_nowhere(pipe, picture):
    pipe.set_moa_scale({"alice": 0.0})
    prompts, subjects = ["<bob> and <alice>", "<alice>", "<alice> by <bob>"], {"alice": picture, "bob": picture}
    out = pipe(prompts, subjects=subjects, output_routing=True, generator=[seed(i) for i in range(3)], **CALL)
    assert [list(maps) for maps in out.subject_maps] == [["bob", "alice"], ["alice"], ["alice", "bob"]]
    for maps, (text, number) in zip(out.subject_maps[::2], [("<bob> and a person", 0), ("a person by <bob>", 2)], strict=True):
        alone = pipe(text, subjects={"bob": picture}, output_routing=True, generator=seed(number), **CALL).subject_maps[0]
        assert not maps["alice"].any() and maps["bob"].max() > 0.1
        torch.testing.assert_close(maps["bob"], alone["bob"], rtol=1e-3, atol=1e-3)


def test_presence_warnings(pipe, picture):
    box = {"alice": (0, 0, 1, 1)}
    with pytest.warns(UserWarning, match="<alice> got 0.0 % of the picture.*or give it a larger region"):
        pipe("<alice>", subjects={"alice": picture}, routing=box, generator=seed(), **CALL)
    mask = np.zeros((16, 16), dtype=bool)
    mask[:4, :4] = mask[12:, 12:] = True
    with pytest.warns(UserWarning, match="<alice> was drawn in 2 separate regions.*or give it one region"):
        pipe("<alice>", subjects={"alice": picture}, routing={"alice": mask}, generator=seed(), **CALL)
    with pytest.warns(UserWarning, match="In picture 2 of 2, <alice> got 0.0 %"):
        pipe("<alice>", subjects={"alice": picture}, routing=box, num_images_per_prompt=2, generator=[seed(), seed()], **CALL)
