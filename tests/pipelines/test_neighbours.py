"""MoA beside what diffusers loads by its own calls: LoRA, IP-Adapter, ControlNet, offloading, half-precision variants."""

from functools import partial

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, DDIMScheduler, DiffusionPipeline, StableDiffusionControlNetPipeline
from diffusers.models.embeddings import IPAdapterPlusImageProjection, MultiIPAdapterImageProjection
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file

from moa import MoAPipeline
from moa.where.router import ConstantRouter
from moa.where.sites import find_sites

from experts import make_adapter

CALL = dict(num_inference_steps=2, guidance_scale=4.0, output_type="np", height=16, width=16)
pytestmark = pytest.mark.filterwarnings("ignore:.*<:UserWarning")


def seed() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def both_pipelines(folder: str) -> tuple:
    """Ours and stock diffusers' from one folder."""
    pipes = MoAPipeline.from_pretrained(folder), DiffusionPipeline.from_pretrained(folder)
    for made in pipes:
        made.set_progress_bar_config(disable=True)
    return pipes


@pytest.fixture
def pipe(model_folder):
    return both_pipelines(model_folder("sd15"))[0]


def load_moa(pipe) -> None:
    pipe.load_moa(make_adapter(pipe.unet, layers=["attn2"]), "people")


def save_lora(folder, pipe) -> None:
    """A random LoRA in diffusers' format."""
    unet = type(pipe.unet).from_config(pipe.unet.config)
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    type(pipe).save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))


def save_ip_adapter(folder, pipe) -> None:
    """A random IP-Adapter in its published layout."""
    width, embedding = pipe.unet.config.cross_attention_dim, pipe.image_encoder.config.projection_dim
    torch.manual_seed(0)
    tensors = {
        "image_proj.proj.weight": torch.randn(4 * width, embedding),
        "image_proj.proj.bias": torch.zeros(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    cross = [n for n in pipe.unet.attn_processors if n.endswith("attn2.processor")]
    for number, name in enumerate(cross):
        inner = pipe.unet.get_submodule(name.removesuffix(".processor")).inner_dim
        for which in "kv":
            tensors[f"ip_adapter.{2 * number + 1}.to_{which}_ip.weight"] = torch.randn(inner, width)
    save_file(tensors, folder / "ip.safetensors")


def draw(pipe, picture, *, subject: bool, **extra) -> np.ndarray:
    if subject:
        return pipe("<alice> in the snow", subjects={"alice": picture}, generator=seed(), **CALL, **extra).images
    return pipe("a person in the snow", generator=seed(), **CALL, **extra).images


def in_order(first: bool, load_neighbour, pipe) -> None:
    """Load what is MoA's neighbour into a pipeline, and MoA after it or before."""
    for step in (load_neighbour, load_moa) if first else (load_moa, load_neighbour):
        step(pipe)


@pytest.mark.parametrize("lora_first", [True, False], ids=["lora first", "moa first"])
def test_lora_before_and_after(family, model_folder, picture, tmp_path, lora_first):
    """Without a subject the picture is stock diffusers' with the same LoRA; what is unloaded is gone."""
    pipe, stock = both_pipelines(model_folder(family))
    save_lora(tmp_path, pipe)
    bare = draw(stock, picture, subject=False)
    stock.load_lora_weights(tmp_path)
    with_lora = draw(stock, picture, subject=False)
    assert not np.array_equal(with_lora, bare)
    in_order(lora_first, lambda made: made.load_lora_weights(tmp_path), pipe)
    assert np.array_equal(draw(pipe, picture, subject=False), with_lora)
    assert not np.array_equal(draw(pipe, picture, subject=True), with_lora)
    assert np.array_equal(draw(pipe, picture, subject=False), with_lora)
    pipe.unload_moa()
    assert np.array_equal(draw(pipe, picture, subject=False), with_lora)
    pipe.unload_lora_weights()
    assert np.array_equal(draw(pipe, picture, subject=False), bare)


def test_the_order_of_lora_and_moa_does_not_matter(model_folder, picture, tmp_path):
    answers = []
    for moa_first in (True, False):
        pipe = MoAPipeline.from_pretrained(model_folder("sd15"))
        pipe.set_progress_bar_config(disable=True)
        save_lora(tmp_path, pipe) if moa_first else None
        if moa_first:
            load_moa(pipe)
        pipe.load_lora_weights(tmp_path)
        if not moa_first:
            load_moa(pipe)
        answers.append(draw(pipe, picture, subject=True))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)


def test_lora_reaches_the_subjects(pipe, picture, tmp_path):
    """The personalised branch is a delta on the prior's projections, LoRA included."""
    load_moa(pipe)
    region = {"routing": {"alice": (0, 0, 16, 16)}}
    before = draw(pipe, picture, subject=True, **region)
    save_lora(tmp_path, pipe)
    pipe.load_lora_weights(tmp_path)
    assert not np.array_equal(draw(pipe, picture, subject=True, **region), before)


@pytest.mark.parametrize("ip_first", [True, False], ids=["ip first", "moa first"])
def test_ip_adapter_before_and_after(family, model_folder, picture, tmp_path, ip_first):
    """Without a subject the picture is stock diffusers' with the same IP-Adapter; what is unloaded is gone."""
    pipe, stock = both_pipelines(model_folder(family))
    save_ip_adapter(tmp_path, pipe)

    def load(made) -> None:
        made.load_ip_adapter(str(tmp_path), subfolder="", weight_name="ip.safetensors", image_encoder_folder=None)

    bare, extra = draw(stock, picture, subject=False), {"ip_adapter_image": picture}
    load(stock)
    alone = draw(stock, picture, subject=False, **extra)
    assert not np.array_equal(alone, draw(stock, picture, subject=False, ip_adapter_image=picture.rotate(90)))
    in_order(ip_first, load, pipe)
    assert np.array_equal(draw(pipe, picture, subject=False, **extra), alone)
    assert not np.array_equal(draw(pipe, picture, subject=True, **extra), alone)
    assert np.array_equal(draw(pipe, picture, subject=False, **extra), alone)
    drawn_by, pipe.scheduler = pipe.scheduler, DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    with pytest.raises(ValueError, match="ip_adapter_image"):
        pipe.invert(picture.resize((16, 16)), "a person", num_inference_steps=2)
    inverted = (
        pipe.invert(picture.resize((16, 16)), "a person", num_inference_steps=2, ip_adapter_image=image)
        for image in (picture, picture.rotate(90))
    )
    assert not torch.equal(*inverted)
    pipe.scheduler = drawn_by
    pipe.unload_moa()
    assert np.array_equal(draw(pipe, picture, subject=False, **extra), alone)
    pipe.unload_ip_adapter()
    assert np.array_equal(draw(pipe, picture, subject=False), bare)


def test_controlnet_made_from_a_mounted_unet(pipe, picture):
    load_moa(pipe)
    torch.manual_seed(0)
    controlnet = ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(8, 8)).eval()
    assert not any("personal" in name for name, _ in controlnet.named_parameters())
    parts = {name: part for name, part in pipe.components.items()}
    other = StableDiffusionControlNetPipeline(**parts, controlnet=controlnet, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    call = dict(image=picture.resize((16, 16)), num_inference_steps=2, output_type="np", height=16, width=16)
    plain = other("a person in the snow", generator=seed(), **call).images
    with pipe.subjects("<alice> in the snow", {"alice": picture}) as prompt:
        assert not np.array_equal(other(prompt, generator=seed(), **call).images, plain)
    assert np.array_equal(other("a person in the snow", generator=seed(), **call).images, plain)


def test_fp16_variant(pipe, picture, tmp_path):
    pipe.to(torch.float16).save_pretrained(tmp_path, variant="fp16")
    again = MoAPipeline.from_pretrained(tmp_path, variant="fp16")
    again.set_progress_bar_config(disable=True)
    load_moa(again)
    assert np.isfinite(draw(again, picture, subject=True)).all()


def test_attention_slicing_and_fused_projections(pipe, picture):
    load_moa(pipe)
    plain = draw(pipe, picture, subject=True)
    pipe.enable_attention_slicing(1)
    np.testing.assert_allclose(draw(pipe, picture, subject=True), plain, atol=1e-4)
    pipe.disable_attention_slicing()
    pipe.fuse_qkv_projections(vae=False)
    np.testing.assert_allclose(draw(pipe, picture, subject=True), plain, atol=1e-4)
    pipe.unfuse_qkv_projections(vae=False)


def test_a_textual_inversion_of_several_vectors_moves_the_subjects_token(pipe, picture):
    """diffusers writes `<toy>` out as two tokens when it encodes the prompt: the noun is one further on."""
    load_moa(pipe)
    pipe.load_textual_inversion({"<toy>": torch.randn(2, 32)}, token="<toy>")
    plan = pipe._plan({"prompt": "the <toy> and <alice> at night"}, {"alice": picture}, None, False)
    words = pipe.tokenizer.tokenize(pipe.maybe_convert_prompt(plan.prompts[0].text, pipe.tokenizer))
    assert [plan.prompts[0].text, words[1:3]] == ["the <toy> and a person at night", ["<toy>", "<toy>_1"]]
    assert "person" in words[plan.placed[0][0].position - 1]


def test_textual_inversion_tokens_are_left_alone(pipe, picture):
    load_moa(pipe)
    pipe.load_textual_inversion({"<toy>": torch.randn(1, 32)}, token="<toy>")
    plain = pipe("a <toy> in the snow", generator=seed(), **CALL).images
    drawn = pipe("<alice> and a <toy>", subjects={"alice": picture}, generator=seed(), **CALL).images
    assert plain.shape == drawn.shape


def test_components_are_the_stock_pipelines(pipe, model_folder):
    stock = DiffusionPipeline.from_pretrained(model_folder("sd15"))
    load_moa(pipe)
    assert pipe.components.keys() == stock.components.keys()


def test_an_ip_adapter_reaches_the_experts_too(family, model_folder, picture, tmp_path):
    """As a LoRA does. An expert that has all pixels, and has learned nothing but to read the noun, answers as the prior beside it."""
    pipe, stock = both_pipelines(model_folder(family))
    save_ip_adapter(tmp_path, pipe)
    for made in (pipe, stock):
        made.load_ip_adapter(str(tmp_path), subfolder="", weight_name="ip.safetensors", image_encoder_folder=None)
    adapter = make_adapter(pipe.unet, trained=False, router=partial(ConstantRouter, weight=1.0))
    torch.nn.init.zeros_(adapter.fusion.mlp[-1].weight)
    pipe.load_moa(adapter, "people")
    wanted = draw(stock, picture, subject=False, ip_adapter_image=picture)
    assert np.abs(draw(pipe, picture, subject=True, ip_adapter_image=picture) - wanted).max() < 1e-3
    assert np.abs(draw(pipe, picture, subject=True, ip_adapter_image=picture.rotate(90)) - wanted).max() > 1e-2


def test_an_ip_adapter_plus_is_no_layer_of_the_unet(pipe, picture):
    """Its projection is made of attention too, and lies in the UNet."""
    bare = find_sites(pipe.unet)
    plus = IPAdapterPlusImageProjection(
        embed_dims=16, output_dims=pipe.unet.config.cross_attention_dim, hidden_dims=16, depth=1, dim_head=8, heads=2, num_queries=4
    )
    pipe.unet.encoder_hid_proj = MultiIPAdapterImageProjection([plus])
    assert find_sites(pipe.unet) == bare
    load_moa(pipe)
    pipe.load_moa(make_adapter(pipe.unet, seed=2), "pets")
    assert find_sites(pipe.unet) == bare
