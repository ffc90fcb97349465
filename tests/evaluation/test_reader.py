"""The reader's networks, its decoding, its files."""

import numpy as np
import pytest
import torch
from PIL import Image

from moa.data.world import World
from moa.evaluation.attributes import ATTRIBUTES, HEADS, KINDS, SLICES, WORDS, decode, encode, readable
from moa.evaluation.describer import MARGIN, cut
from moa.evaluation.detector import STRIDE, UNIT, Detector, Finding, box_overlap, peaks
from moa.evaluation.examples import ReaderExamples, facts
from moa.evaluation.reader import Reader


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    return Reader().eval()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World("test", identities=12, length=12, cache=tmp_path_factory.mktemp("sprites"))


def found_at(*subjects):
    """A finding with one clear peak a subject: (row, column, kind, left, top, right, bottom)."""
    heat, boxes = torch.full((1, len(KINDS), 16, 16), -9.0), torch.zeros(1, 4, 16, 16)
    for row, column, kind, *sides in subjects:
        middle = torch.tensor([(column + 0.5) * STRIDE, (row + 0.5) * STRIDE]).repeat(2)
        heat[0, kind, row, column] = 4.0
        boxes[0, :, row, column] = (torch.tensor(sides) - middle).abs() / UNIT
    return Finding(heat, boxes, torch.zeros(1, 1, 32, 32), torch.zeros(1, 12))


def test_peaks_give_back_kind_and_box():
    at = peaks(found_at((7, 4, 0, 10, 20, 62, 118), (8, 11, 2, 66, 40, 120, 110)))
    assert at.kind.tolist() == [0, 2] and at.picture.tolist() == [0, 0] and (at.score > 0.9).all()
    assert torch.allclose(at.box, torch.tensor([[10.0, 20, 62, 118], [66, 40, 120, 110]]), atol=1e-3)


def test_two_peaks_on_one_subject_are_one_subject():
    at = peaks(found_at((7, 4, 0, 10, 20, 62, 118), (7, 6, 0, 11, 22, 62, 118)))
    assert len(at.box) == 1
    assert len(peaks(found_at()).box) == 0


def test_overlap_of_boxes():
    a = torch.tensor([[0.0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    assert box_overlap(a, b)[0].tolist() == pytest.approx([1, 1 / 3, 0])


def test_cut_is_the_box_with_its_margin():
    images = torch.arange(128.0).view(1, 1, 1, 128).expand(1, 1, 128, 128)
    piece = cut(images, torch.tensor([0]), torch.tensor([[30.0, 10, 90, 100]]), (96, 72))
    assert piece.shape == (1, 1, 96, 72)
    edges = (30 - 60 * MARGIN - 0.5, 90 + 60 * MARGIN - 0.5)
    step = (edges[1] - edges[0]) / 72
    assert torch.allclose(piece[0, 0, 0], edges[0] + step * (torch.arange(72.0) + 0.5), atol=1e-3)


def test_words_to_numbers_and_back(world):
    assert sum(len(t) for table in ATTRIBUTES.values() for t in table.values()) == WORDS == SLICES[HEADS[-1]].stop
    for example in (world.example(i) for i in range(12)):
        for subject in example.subjects:
            numbers, wanted = encode(subject.noun, subject.labels), readable(subject.noun, subject.labels)
            assert (numbers >= 0).sum() == len(wanted) > 0
            logits = np.zeros(WORDS, np.float32)
            for head, number in zip(HEADS, numbers, strict=True):
                if number >= 0:
                    logits[SLICES[head].start + number] = 1
            assert decode(subject.noun, logits).items() >= wanted.items()


def test_facts_of_an_example(world):
    example = world.example(3)
    known = facts(example)
    count = len(example.subjects)
    assert known.image.shape == (3, 128, 128) and known.mask.shape == (32, 32)
    assert (known.kind >= 0).sum() == count and (known.words[:count] >= 0).any(1).all()
    assert known.mask.mean() / 255 == pytest.approx(example.masks.any(0).mean(), abs=0.01)


def test_examples_are_drawn_once_and_read_again(tmp_path):
    made = ReaderExamples(tmp_path / "bank", count=3, split="test", identities=4, workers=1, cache=tmp_path / "sprites")
    again = ReaderExamples(tmp_path / "bank", count=2, split="test", identities=4, workers=1, cache=None)
    assert len(made) == 3 and len(again) == 2
    assert all(np.array_equal(a, b) for a, b in zip(made[1], again[1], strict=True))
    with pytest.raises(ValueError, match="holds 3 pictures and 9 are asked for"):
        ReaderExamples(tmp_path / "bank", count=9, split="test")


def test_reads_pictures_of_any_size_and_none(reader):
    torch.manual_seed(1)
    with torch.no_grad():
        reader.detector.heat.bias.fill_(3.0)  # sees somebody everywhere
    pictures = [np.zeros((128, 128, 3), np.uint8), Image.new("RGB", (320, 200), "teal"), Image.new("L", (64, 64))]
    readings = reader.read(pictures, batch_size=2)
    assert len(readings) == 3 and reader.read([]) == []
    for one in readings:
        assert one.mask.shape == (128, 128) and one.sightings
        for seen in one.sightings:
            assert set(seen.words) == set(ATTRIBUTES[seen.kind]) and np.linalg.norm(seen.embedding) == pytest.approx(1, abs=1e-3)


def test_a_batch_reads_as_its_pictures_do(reader, world):
    pictures = [world.example(i).image for i in range(3)]
    together, alone = reader.read(pictures), [reader.read([picture])[0] for picture in pictures]
    assert [r.scene for r in together] == [r.scene for r in alone]
    assert [[s.words for s in r.sightings] for r in together] == [[s.words for s in r.sightings] for r in alone]


def test_files_give_the_same_reader_back(reader, tmp_path):
    reader.half().float().save_pretrained(tmp_path)
    again = Reader.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(reader.state_dict().values(), again.state_dict().values(), strict=True))
    assert (tmp_path / "model.safetensors").stat().st_size < 8 * 2**20


def test_wrong_files_are_refused(reader, tmp_path):
    with pytest.raises(ValueError, match="holds no attribute reader"):
        Reader.from_pretrained(tmp_path / "nowhere")
    reader.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"attributes": {}}')
    with pytest.raises(ValueError, match="trained on other words"):
        Reader.from_pretrained(tmp_path)


def test_detector_takes_other_sizes():
    found = Detector(kinds=2, scenes=3)(torch.zeros(1, 3, 64, 96))
    assert found.heat.shape == (1, 2, 8, 12) and found.mask.shape == (1, 1, 16, 24) and found.scene.shape == (1, 3)
