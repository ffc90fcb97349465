"""The tiny prior's subject encoder: its pictures, its objective, and that adapters find it in the prior's folder."""

import shutil

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from moa.cli import CONF
from moa.data.world import workers
from moa.evaluation.attributes import ATTRIBUTES, HEADS, decode
from moa.pipelines import MoAPipeline
from moa.prior import load_prior
from moa.prompt.encoder import SubjectEncoder
from moa.training.loop import train
from moa.training.objectives.encoder import EncoderObjective, balanced, new_encoder
from moa.training.objectives.moa import MoAObjective
from moa.training.own_encoder import own_encoder
from moa.training.references import References


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return References(tmp_path_factory.mktemp("references") / "train", count=12, split="train", identities=3, size=32, workers=1)


def objective(pictures, **changes):
    torch.manual_seed(0)
    return EncoderObjective(
        new_encoder(widths=(8, 8, 8, 16), depths=(1, 1, 1, 1)), data=pictures, validation=pictures, **({"size": 32, "shift": 2} | changes)
    )


@pytest.fixture(scope="module")
def exported(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    list(
        train(
            objective(pictures),
            pictures,
            out=folder / "run",
            export=folder / "encoder",
            steps=2,
            batch_size=4,
            learning_rate=1e-3,
            cpu=True,
        )
    )
    return folder / "encoder"


def test_pictures_are_the_same_however_many_are_drawn(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "CHUNK", 2)
    again = References(tmp_path / "few", count=4, split="train", identities=3, size=32, workers=2)
    assert all(np.array_equal(one, other) for i in range(4) for one, other in zip(pictures[i], again[i], strict=True))
    assert pictures[0].image.shape == (3, 32, 32) and pictures[0].words.shape == (len(HEADS),)
    with pytest.raises(ValueError, match="holds 4 pictures and 5 are asked for"):
        References(tmp_path / "few", count=5, split="train")
    with pytest.raises(ValueError, match="'tomorrow'.*allowed are"):
        References(tmp_path / "other", count=5, split="tomorrow")


def test_it_learns_what_it_sees(pictures, tmp_path):
    reports = list(
        train(
            objective(pictures, shift=0),
            pictures,
            out=tmp_path,
            steps=60,
            batch_size=12,
            learning_rate=1e-2,
            warmup_steps=1,
            cpu=True,
            precision="no",
        )
    )
    assert reports[-1].parts["words"] < 0.3 * reports[0].parts["words"]


def test_moved_by_at_most_shift_pixels(pictures):
    image = torch.zeros(64, 3, 32, 32)
    image[..., 16, 16] = 1
    moved = objective(pictures).moved(image, torch.Generator().manual_seed(0))
    rows, columns = moved[:, 0].flatten(1).argmax(1) // 32, moved[:, 0].flatten(1).argmax(1) % 32
    assert moved.shape == image.shape and len(rows.unique()) == 1 and len(columns.unique()) == 2  # some are mirrored
    assert (rows - 16).abs().max() <= 2 and columns.min() >= 13 and columns.max() <= 18


def test_balanced_counts_every_word_alike():
    table, column = ATTRIBUTES["person"]["glasses"], HEADS.index(("person", "glasses"))
    words = torch.full((5, len(HEADS)), -1)
    words[:4, column] = torch.tensor([0, 0, 0, 1])
    logits = torch.zeros(5, sum(len(words) for words in (table for of in ATTRIBUTES.values() for table in of.values())))
    start = next(i for i in range(logits.shape[1]) if decode("person", torch.eye(logits.shape[1])[i].numpy())["glasses"] == table[1])
    logits[:, start - 1] = 1.0  # always the first word
    assert balanced(logits, words, ("person", "glasses")) == 0.5
    assert balanced(logits, words, ("person", "beard")) is None


def test_statistics_are_those_of_the_pictures_and_training_goes_on(pictures):
    made = objective(pictures)
    with made._measured():
        assert not made.training
        first = {name: value.clone() for name, value in made.encoder.named_buffers()}
    with made._measured():
        assert all(torch.equal(value, first[name]) for name, value in made.encoder.named_buffers())
    assert made.training


def test_an_exported_encoder_reads_subjects(exported, picture):
    encoder = SubjectEncoder.from_pretrained(str(exported))
    features = encoder.encode([picture, picture]).features
    assert features.shape == (2, 1 + 1, encoder.width) and features.dtype == torch.float32
    assert torch.allclose(features[:, 0], features[:, 1:].mean(1))
    assert not encoder.model.training


def test_an_encoder_that_is_missing_or_damaged_is_named(exported, tmp_path):
    with pytest.raises(ValueError, match="'/gone/encoder' cannot be opened.*Give its folder"):
        SubjectEncoder.from_pretrained("/gone/encoder")
    shutil.copytree(exported, tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(ValueError, match="cut' cannot be opened"):
        SubjectEncoder.from_pretrained(str(tmp_path / "cut"))


def test_adapters_read_with_the_encoder_in_the_priors_folder(exported, model_folder, tmp_path, picture):
    shutil.copytree(model_folder("sd15"), tmp_path / "prior")
    assert own_encoder(load_prior(tmp_path / "prior")).name == "prior"
    shutil.copytree(exported, tmp_path / "prior" / "subject_encoder")
    prior = load_prior(tmp_path / "prior")
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        where = instantiate(compose("train", ["where.fusion_width=32"]).where)
    made = MoAObjective(prior, where, noun="person")
    assert made.train().vision.training is False
    made.export(tmp_path / "adapter")
    pipe = MoAPipeline.from_pretrained(tmp_path / "prior")
    pipe.load_moa(tmp_path / "adapter", "one")
    pipe.load_moa(tmp_path / "adapter", "two")
    assert pipe.moa.encoders["one"] is pipe.moa.encoders["two"]
    assert pipe.encode_subject(picture).encoder == f"{tmp_path / 'prior'}/subject_encoder"
