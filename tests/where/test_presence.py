"""Whose pixels they are."""

import torch

from moa.where.presence import complaint, complaints, leads, subject_maps
from moa.where.recorder import Recorder
from moa.where.subjects import Subjects

from experts import alice, make_scene


def test_a_pixel_is_of_whoever_weighs_most_there():
    maps = torch.tensor([[[0.4, 0.2, 0.6]], [[0.3, 0.2, 0.1]]])  # of alice and bob; the prior: 0.3, 0.6, 0.3
    torch.testing.assert_close(leads(maps), torch.tensor([[[0.1, -0.4, 0.3]], [[-0.1, -0.4, -0.5]]]))
    assert leads(maps[:0]).shape == (0, 1, 3)


def test_complaints_of_nothing_and_of_two_regions():
    assert "may be missing" in complaint("bob", torch.zeros(16, 16, dtype=torch.bool))
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[2:8, 2:6] = True
    assert complaint("bob", mask) is None
    mask[2:8, 10:14] = True
    assert "2 separate regions" in complaint("bob", mask)


def test_a_subject_at_low_strength_is_as_much_there():
    """Maps are of the router's own weights: where an adapter acts at 0.3, nobody is missing for it."""
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
    scene, maps = make_scene(layers=[name]), []
    for strength in (1.0, 0.3):
        subjects = Subjects([[alice()], [alice(4)]], scale={"people": strength})
        recorder = Recorder(("people",), 2)
        with torch.no_grad(), scene.unet.moa.subjects(subjects, recorder):
            scene.unet(**scene.call)
        maps.append(subject_maps(recorder, subjects, {"people": 1}))
        torch.testing.assert_close(recorder.routing()[0, 1], strength * maps[0][0]["alice"])
    for full, weak in zip(*maps, strict=True):
        torch.testing.assert_close(full["alice"], weak["alice"])


def test_an_adapter_that_weighs_every_pixel_alike_has_no_say():
    subjects, maps = Subjects([[alice()]]), [{"alice": torch.full((8, 8), 0.5)}]
    assert len(list(complaints(maps, subjects))) == 1 and not list(complaints(maps, subjects, {"people"}))
