"""The reader's objective: its targets, its augmentation, and that it learns."""

import numpy as np
import pytest
import torch

from moa.data.world import World
from moa.evaluation.attributes import HEADS
from moa.evaluation.detector import STRIDE, UNIT, Finding
from moa.evaluation.examples import facts
from moa.evaluation.reader import Reader
from moa.training.objectives.reader import ReaderObjective, place_losses, shaken, spoilt, words_loss


class Few:
    """Eight pictures of the world."""

    people = 8

    def __init__(self, folder):
        world = World("train", identities=4, length=8, empty=0.2, cache=folder)
        self.rows = [facts(world.example(i)) for i in range(8)]
        names = {number: i for i, number in enumerate(np.unique([row.who for row in self.rows]))}
        self.rows = [row._replace(who=np.array([min(names[n], 8) for n in row.who])) for row in self.rows]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return Few(tmp_path_factory.mktemp("sprites"))


@pytest.fixture
def objective(few):
    torch.manual_seed(0)
    return ReaderObjective(Reader(), data=few, validation=few)


def perfect(batch):
    """The finding that every target asks for."""
    heat, boxes = torch.full((len(batch.images), 4, 16, 16), -12.0), torch.zeros(len(batch.images), 4, 16, 16)
    for picture, kind, (left, top, right, bottom) in zip(batch.owner, batch.kind, batch.box.tolist(), strict=True):
        row, column = int((top + bottom) / 2 // STRIDE), int((left + right) / 2 // STRIDE)
        heat[picture, kind, row, column] = 12
        x, y = (torch.arange(16) + 0.5) * STRIDE, ((torch.arange(16) + 0.5) * STRIDE).unsqueeze(1)
        near = torch.stack(torch.broadcast_tensors(x - left, y - top, right - x, bottom - y)) / UNIT
        boxes[picture, :, row - 1 : row + 2, column - 1 : column + 2] = near[:, row - 1 : row + 2, column - 1 : column + 2]
    return Finding(heat, boxes, torch.zeros(1, 1, 32, 32), torch.zeros(1, 12))


def test_batch_keeps_who_is_in_which_picture(objective, few):
    batch = objective.collate([few[i] for i in range(8)])
    assert torch.equal(torch.bincount(batch.owner, minlength=8), torch.tensor([int((row.kind >= 0).sum()) for row in few.rows]))
    assert batch.words.shape == (len(batch.owner), len(HEADS)) and (batch.box[:, 2:] > batch.box[:, :2]).all()


def test_perfect_places_cost_little_and_wrong_ones_much(objective, few):
    batch = objective.collate([few[i] for i in range(8)])
    heat, box = place_losses(perfect(batch), batch)
    nothing = Finding(torch.full((8, 4, 16, 16), -12.0), torch.ones(8, 4, 16, 16), None, None)
    missed, far = place_losses(nothing, batch)
    assert heat < 0.5 < 5 < missed and box < 0.1 < far


def test_words_nobody_can_see_cost_nothing(objective, few):
    batch = objective.collate([few[i] for i in range(8)])
    logits = torch.zeros(len(batch.words), objective.reader.describer.words.out_features, requires_grad=True)
    assert words_loss(logits, torch.full_like(batch.words, -1)) == 0
    assert words_loss(logits, batch.words) > 1


def test_spoiling_is_reproducible_bounded_and_none_at_zero():
    images = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    once, again = (spoilt(images, 1.0, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(once, again) and once.abs().max() <= 1 and 0.005 < (once - images).abs().mean() < 0.6
    assert torch.equal(spoilt(images, 0.0, torch.Generator().manual_seed(1)), images)
    box = torch.tensor([[10.0, 20, 60, 110]])
    assert (shaken(box, torch.Generator().manual_seed(0)) - box).abs().max() < 20


def test_it_learns_and_exports(objective, few, tmp_path):
    batch = objective.collate([few[i] for i in range(8)])
    optimizer = torch.optim.AdamW(objective.parameters(), lr=2e-3)
    losses = []
    for step in range(8):
        loss, parts = objective(batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0] and all(torch.isfinite(part) for part in parts.values())
    objective.eval()
    with torch.no_grad():
        judged = objective.validate(tmp_path, 8, torch.Generator())
    assert {"scene", "count", "mask_overlap"} <= set(judged) and all(0 <= value <= 1 for value in judged.values())
    objective.export(tmp_path / "reader")
    assert Reader.from_pretrained(tmp_path / "reader").read([few[0].image.transpose(1, 2, 0)])


def test_a_batch_of_empty_scenes_gives_a_finite_loss(objective, few):
    empty = [row._replace(kind=np.full(3, -1, np.int16)) for row in few.rows[:2]]
    loss, _ = objective(objective.collate(empty), torch.Generator().manual_seed(0))
    loss.backward()
    assert torch.isfinite(loss)
