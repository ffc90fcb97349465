"""The three objectives of the tiny prior, at a few thousand parameters: they train, and the stock pipeline draws with what they export."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from moa.training.bank import Bank
from moa.training.latents import Latents
from moa.training.loop import Report, train
from moa.training.objectives.autoencoder import AutoencoderObjective, busiest_crops, new_autoencoder, standardise, trained_autoencoder
from moa.training.objectives.clip import ClipObjective, new_clip
from moa.training.objectives.prior import PriorObjective, new_scheduler, new_unet, spread_timesteps

WORDS = ("a person in the snow", "a green robot at night", "two plants and a creature", "a person with glasses")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    path = tmp_path_factory.mktemp("bank") / "bank.npy"
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
    np.save(path, np.kron(blocks, np.ones((1, 8, 8, 1), dtype=np.uint8)))
    captions = [WORDS[i % 4] for i in range(12)]
    path.with_suffix(".json").write_text(json.dumps({"captions": captions, "scenes": captions}))
    return Bank(path, count=12, split="train")


def autoencoder_objective(bank: Bank) -> AutoencoderObjective:
    model = new_autoencoder(channels=(8, 8), latent_channels=2, layers=1, norm_groups=4, size=32)
    return AutoencoderObjective(model, validation=bank, crop=16, edge_weight=0.5, kl_weight=1e-4, sheet=8)


def clip_objective(bank: Bank) -> ClipObjective:
    return new_clip(
        captions=bank, validation=bank, vocabulary=600, text_width=16, text_layers=1, image_width=16, image_layers=1,
        head_width=8, projection=16, size=32, patch=8,
    )  # fmt: skip


def steps(objective: torch.nn.Module, data: object, out: Path, **changes: object) -> list[Report]:
    settings = dict(batch_size=4, learning_rate=1e-3, steps=2, precision="bf16", ema_decay=0.9, validate_every_minutes=0.0, cpu=True)
    return list(train(objective, data, out=out, **(settings | changes)))


@pytest.fixture(scope="module")
def trained(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    steps(autoencoder_objective(bank), bank, folder / "vae-run", export=folder / "vae")
    steps(clip_objective(bank), bank, folder / "clip-run", export=folder / "clip")
    return folder


def test_autoencoder_learns(bank: Bank, tmp_path: Path) -> None:
    reports = steps(autoencoder_objective(bank), bank, tmp_path, steps=40, learning_rate=5e-3, validate_every_minutes=None)
    assert reports[-1].parts["pixels"] < 0.8 * reports[0].parts["pixels"]


def test_autoencoder_exports_unit_latents(trained: Path, bank: Bank) -> None:
    assert list((trained / "vae-run" / "sheets").glob("*.png"))
    latents = Latents(bank, autoencoder=trained / "vae", cache=trained / "latents.npy")
    assert latents.latents.shape == (12, 2, 16, 16) and latents.latents.dtype == torch.float16
    assert 0.8 < float(latents.latents.float().std()) < 1.25


def test_a_finer_decoder_keeps_the_latents(trained: Path, bank: Bank, tmp_path: Path) -> None:
    first = Latents(bank, autoencoder=trained / "vae", cache=tmp_path / "latents.npy")
    written = (tmp_path / "latents.npy").stat().st_mtime_ns
    objective = AutoencoderObjective(
        trained_autoencoder(trained / "vae"), validation=bank, crop=16, edge_weight=0.5, kl_weight=0.0, decoder_only=True, sheet=8
    )
    steps(objective, bank, tmp_path / "run", export=tmp_path / "vae")
    again = Latents(bank, autoencoder=tmp_path / "vae", cache=tmp_path / "latents.npy")
    assert torch.equal(first.latents, again.latents) and (tmp_path / "latents.npy").stat().st_mtime_ns == written


def test_standardised_latents_decode_to_the_same_pictures(trained: Path, bank: Bank) -> None:
    model, images = trained_autoencoder(trained / "vae"), torch.stack([bank[i].image for i in range(12)]).float() / 127.5 - 1
    with torch.no_grad():
        before = model.decode(model.encode(images).latent_dist.mode()).sample
        standardise(model, images)
        latents = model.encode(images).latent_dist.mode()
        torch.testing.assert_close(model.decode(latents).sample, before, atol=1e-4, rtol=1e-3)
    flat = latents.permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(torch.cov(flat), torch.eye(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(flat.mean(1), torch.zeros(2), atol=1e-4, rtol=0)


def test_latents_of_half_the_size_are_compared_with_pictures_of_half_the_size(bank: Bank) -> None:
    objective = autoencoder_objective(bank)
    batch = objective.collate([bank[i] for i in range(4)])
    plain, _ = objective(batch, torch.Generator().manual_seed(0))
    objective.half_weight = 0.5
    loss, parts = objective(batch, torch.Generator().manual_seed(0))
    assert parts["half"].item() > 0
    torch.testing.assert_close(loss, plain + 0.5 * parts["half"])


def test_crops_are_parts_of_their_pictures() -> None:
    images = torch.arange(2 * 3 * 8 * 8).float().view(2, 3, 8, 8)
    crops = busiest_crops(images, 4, torch.Generator().manual_seed(0))
    for image, crop in zip(images, crops, strict=True):
        top, left = (int(v) for v in torch.nonzero(image[0] == crop[0, 0, 0])[0])
        assert torch.equal(image[:, top : top + 4, left : left + 4], crop)


def test_clip_learns(bank: Bank, tmp_path: Path) -> None:
    torch.manual_seed(0)
    losses = [
        report.loss for report in steps(clip_objective(bank), bank, tmp_path, steps=30, learning_rate=5e-3, validate_every_minutes=None)
    ]
    assert sum(losses[-10:]) < sum(losses[:10])


def test_timesteps_spread_over_the_range() -> None:
    timesteps = spread_timesteps(10, 1000, torch.Generator().manual_seed(0))
    assert sorted(int(t) // 100 for t in timesteps) == list(range(10))


def test_the_last_noise_level_is_pure_noise() -> None:
    assert float(new_scheduler().alphas_cumprod[-1]) == 0


def test_prior_exports_what_the_stock_pipeline_draws(trained: Path, bank: Bank, tmp_path: Path) -> None:
    latents = Latents(bank, autoencoder=trained / "vae", cache=trained / "latents.npy")
    unet = new_unet(channels=(8, 16), head_width=4, norm_groups=4, latent_channels=2, size=16, text_width=16)
    objective = PriorObjective(
        unet, clip=trained / "clip", autoencoder=trained / "vae", validation=latents, empty_share=0.5, guidance=2.0, sheet=4
    )
    before = {name: p.clone() for name, p in objective.named_parameters()}
    steps(objective, latents, tmp_path / "run", export=tmp_path / "tiny")
    moved = {name.split(".")[0] for name, p in objective.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"unet", "text_encoder"}
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "tiny", use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a person", num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(0)).images[0]
    assert picture.shape == (32, 32, 3) and np.isfinite(picture).all()
    assert pipe.image_encoder is not None and pipe.feature_extractor is not None
    assert pipe.tokenizer.model_max_length == 77 and pipe.unet.dtype == torch.float32
    files = [file for file in (tmp_path / "tiny").rglob("*") if file.is_file()]
    assert not [file for file in files if file.suffix in (".bin", ".pt", ".pkl")]
    sizes = dict(head_width=4, norm_groups=4, latent_channels=2, size=16, text_width=16, start=str(tmp_path / "tiny"))
    more = new_unet(channels=(8, 16), **sizes).state_dict()
    assert all(torch.equal(tensor, more[name]) for name, tensor in pipe.unet.state_dict().items())
    with pytest.raises(ValueError, match=r"start=.*channels \[8, 16\], here \[8, 24\].*these settings"):
        new_unet(channels=(8, 24), **sizes)


def test_tokenizer_knows_the_words(trained: Path) -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(trained / "clip" / "tokenizer")
    assert tokenizer.tokenize("a person in the snow") == ["a</w>", "person</w>", "in</w>", "the</w>", "snow</w>"]
    numbers = tokenizer("a zebra", padding="max_length").input_ids
    assert len(numbers) == 77 and numbers[0] == tokenizer.bos_token_id and numbers[-1] == tokenizer.eos_token_id
    assert {"vocab.json", "merges.txt"} <= {file.name for file in (trained / "clip" / "tokenizer").iterdir()}
