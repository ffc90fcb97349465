"""Subject embeddings: saved, loaded, morphed; the encoder in front of them."""

import pytest
import torch

from moa.pipelines import MoAPipeline
from moa.prompt.encoder import SubjectEncoder
from moa.prompt.subject import SubjectEmbedding


def test_save_and_load(tmp_path):
    subject = SubjectEmbedding(torch.randn(2, 5, 8), "prior", "dog", "pets")
    subject.save(tmp_path / "rex.safetensors")
    again = SubjectEmbedding.load(tmp_path / "rex.safetensors")
    assert torch.equal(again.features, subject.features)
    assert (again.encoder, again.noun, again.adapter) == ("prior", "dog", "pets")


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="x.safetensors.*SubjectEmbedding.save"):
        SubjectEmbedding.load(tmp_path / "x.safetensors")


def test_a_morph_begins_as_the_one_and_ends_as_the_other():
    a, b = SubjectEmbedding(torch.randn(2, 3, 4), "e", "dog"), SubjectEmbedding(torch.randn(2, 3, 4), "e", "cat")
    assert torch.equal(a.morph(b, 0.0).features, a.features) and torch.equal(a.morph(b, 1.0).features, b.features)
    torch.testing.assert_close(a.morph(b, 0.25).features, 0.75 * a.features + 0.25 * b.features)
    assert a.morph(b, 1.0).noun == "dog"


@pytest.mark.parametrize(
    ("other", "share", "message"),
    [
        (SubjectEmbedding(torch.ones(1, 2, 3), "f"), 0.5, "'e'.*'f'"),
        (SubjectEmbedding(torch.ones(1, 2, 4), "e"), 0.5, r"\(2, 3\).*\(2, 4\)"),
        (SubjectEmbedding(torch.ones(3, 2, 3), "e"), 0.5, "has 1 pictures, the other 3"),
        (SubjectEmbedding(torch.ones(1, 2, 3), "e", None, "pets"), 0.5, "None.*'pets'"),
        (SubjectEmbedding(torch.ones(1, 2, 3), "e"), 1.5, "share=1.5"),
    ],
)
def test_morphs_between_what_does_not_fit(other, share, message):
    with pytest.raises(ValueError, match=message):
        SubjectEmbedding(torch.zeros(1, 2, 3), "e").morph(other, share)


def test_the_encoder_reads_all_patches(model_folder, picture):
    pipe = MoAPipeline.from_pretrained(model_folder("sd15"))
    encoder = SubjectEncoder(pipe.image_encoder, pipe.feature_extractor, name="prior")
    assert encoder.encode([picture, picture]).features.shape == (2, 5, encoder.width)
    with pytest.raises(ValueError, match="empty list"):
        encoder.encode([])


def test_any_image_encoder_of_transformers(tmp_path, picture):
    from transformers import Dinov2Config, Dinov2Model, ViTImageProcessorPil

    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    Dinov2Model(config).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(tmp_path)
    encoder = SubjectEncoder.from_pretrained(str(tmp_path))
    assert encoder.encode([picture]).features.shape == (1, 5, 16)


def test_an_encoder_in_a_pickle_is_not_opened(tmp_path):
    """Loading one would run whatever code is in it."""
    from transformers import Dinov2Config, Dinov2Model, ViTImageProcessorPil

    model = Dinov2Model(Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14))
    model.save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(tmp_path)
    assert SubjectEncoder.from_pretrained(str(tmp_path)).width == 16
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="cannot be opened"):
        SubjectEncoder.from_pretrained(str(tmp_path))
