"""The MoA objective: what it learns, what it leaves alone, and that it ends where the losses say."""

import copy
import shlex
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from moa import MoAPipeline
from moa.cli import CONF
from moa.data.examples import Subject, SubjectExample
from moa.infer import run as draw
from moa.infer import words_for_hydra
from moa.prior import load_prior
from moa.prior.prior import Prior
from moa.training.loop import train
from moa.training.objectives.moa import MoAObjective
from moa.where import MoAAdapter
from moa.where.presence import PresenceWarning
from moa.where.router import ConstantRouter, MaskRouter, MLPRouter
from moa.where.sites import inner_sites

SIZE = 16


class Squares(torch.utils.data.Dataset):
    """A coloured square for every subject, on grey; references show its colour."""

    noun = "person"

    def __init__(self, count: int = 2, pictures: int = 1):
        self.count, self.pictures = count, pictures

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> SubjectExample:
        rng = np.random.default_rng(index)
        image = np.full((SIZE, SIZE, 3), 128, np.uint8)
        subjects = {}
        for s in range(self.count):
            color, mask = rng.integers(0, 255, 3, dtype=np.uint8), np.zeros((SIZE, SIZE), bool)
            mask[4:14, 1 + 7 * s : 7 + 7 * s] = True
            image[mask] = color
            reference = np.broadcast_to(color, (20, 20, 3)).copy()
            subjects[f"s{s + 1}"] = Subject((reference,) * self.pictures, "person", mask)
        return SubjectExample(image, " and ".join(f"<{name}>" for name in subjects) or "the snow", subjects)


def make(model_folder, family="sd15", *, data=None, router=MLPRouter, where=None, **options) -> tuple[MoAObjective, list]:
    torch.manual_seed(0)
    where = where or partial(MoAAdapter.for_unet, router=router, tokens=2, fusion_width=32)
    objective = MoAObjective(load_prior(model_folder(family)), where, noun="person", validation=data, previews=2, **options)
    data = data or Squares()
    return objective, [data[i] for i in range(4)]


def step(objective, examples, seed=0):
    return objective(objective.collate(examples), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("localization", "background"), [("squared", "picture"), ("balanced", "prior"), ("exclusive", "prior")])
def test_losses_and_gradients(family, model_folder, localization, background):
    objective, examples = make(model_folder, family, localization=localization, background=background, background_weight=0.7)
    frozen = copy.deepcopy({n: p for n, p in objective.named_parameters() if not p.requires_grad})
    loss, parts = step(objective, examples)
    assert {"denoising", "background", "router", "object", "mass_inside", "mass_outside"} <= parts.keys()
    weighted = 0.7 * parts["background"] + objective.router_weight * parts["router"] + objective.localization_weight * parts["object"]
    torch.testing.assert_close(loss, parts["denoising"] + weighted)
    loss.backward()
    for name, parameter in objective.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    trained = {id(p) for p in objective.adapter.parameters()}
    assert trained == {id(p) for p in objective.parameters() if p.requires_grad}
    assert all(torch.equal(p, dict(objective.named_parameters())[n]) for n, p in frozen.items())


def test_the_background_is_to_be_what_the_prior_predicts(model_folder):
    objective, examples = make(model_folder)
    fresh = step(objective, examples)[1]["background"]
    with torch.no_grad():
        for parameter in objective.adapter.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    parts = step(objective, examples)[1]
    assert 10 * fresh < parts["background"] < 0.1  # it starts as the prior's copy
    whole = [
        SubjectExample(e.image, e.prompt, {n: Subject(s.pictures, s.noun, np.ones_like(s.mask)) for n, s in e.subjects.items()})
        for e in examples
    ]
    assert step(objective, whole)[1]["background"] == 0  # no pixel of it
    objective.background = "picture"
    assert step(objective, examples)[1]["background"] > 0.1
    with pytest.raises(ValueError, match="background='grey' is unknown; choose one of prior, picture"):
        make(model_folder, background="grey")


def test_live_errors_by_quarter_of_the_time(model_folder, monkeypatch):
    objective, examples = make(model_folder)
    monkeypatch.setattr(objective, "_times", lambda count, generator: torch.tensor([0, 499, 500, 999]))
    parts = step(objective, examples)[1]
    monkeypatch.setattr(objective, "_times", lambda count, generator: torch.tensor([0, 100, 200, 249]))
    early = step(objective, examples)[1]
    assert all(parts[f"denoising_t{quarter}"] > 0 for quarter in range(4))
    torch.testing.assert_close(sum(parts[f"denoising_t{quarter}"] for quarter in range(4)) / 4, parts["denoising"].detach())
    assert early["denoising_t0"] == early["denoising"] and early["denoising_t1"] is early["denoising_t3"] is None


def test_the_router_loss_is_about_all_layers_or_the_inner_ones(model_folder):
    objective, examples = make(model_folder)
    assert {site.name for site in objective.routed} == set(objective.adapter.routers)
    inner, _ = make(model_folder, routed="inner")
    assert inner.routed == inner_sites(inner.adapter.config.sites) and inner.attended == objective.attended
    step(objective, examples)[1]["router"].backward()
    assert all(any(p.grad is not None for p in router.parameters()) for router in objective.adapter.routers.values())
    with pytest.raises(ValueError, match="routed='outer' is unknown; choose one of all, inner"):
        make(model_folder, routed="outer")


def test_a_subject_named_twice_is_one_subject_to_the_object_loss(model_folder):
    objective, examples = make(model_folder, data=Squares(1))
    example = Squares(1)[0]
    again = SubjectExample(example.image, "<s1> and the face of <s1>", example.subjects)
    assert step(objective, [again])[1]["object"] == 0  # nobody else's words are looked at
    both = Squares(2)[0]
    twice = SubjectExample(both.image, "<s1> and <s2> and <s1>", both.subjects)
    assert torch.isfinite(step(objective, [twice, both, again])[0])
    assert step(objective, [twice])[1]["object"] > 0.1


def test_a_few_steps_lower_the_loss(model_folder):
    objective, examples = make(model_folder)
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(30):
        loss, _ = step(objective, examples)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_several_pictures_of_a_subject(model_folder):
    objective, examples = make(model_folder, data=Squares(pictures=3))
    assert torch.isfinite(step(objective, examples)[0])


def test_a_batch_without_subjects_touches_every_parameter(model_folder):
    objective, _ = make(model_folder)
    loss, _ = step(objective, [Squares(count=0)[i] for i in range(2)])
    loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in objective.adapter.parameters())


def test_the_mask_router_learns_inside_the_masks(model_folder):
    objective, examples = make(model_folder, router=MaskRouter)
    _, parts = step(objective, examples)
    assert parts["mass_inside"] > 0.8 and parts["mass_outside"] < 0.2


def test_a_single_branch_has_all_the_mass(model_folder):
    objective, examples = make(model_folder, router=partial(ConstantRouter, weight=1.0))
    _, parts = step(objective, examples)
    assert parts["mass_inside"] > 0.99 and parts["mass_outside"] > 0.99


def test_gradient_checkpointing_gives_the_same_loss(model_folder):
    plain, examples = make(model_folder)
    saving, _ = make(model_folder, gradient_checkpointing=True)
    torch.testing.assert_close(step(plain, examples)[0], step(saving, examples)[0])


def test_validation_writes_a_sheet(model_folder, tmp_path):
    objective, _ = make(model_folder, data=Squares())
    with torch.no_grad():
        numbers = objective.validate(tmp_path, 7, torch.Generator().manual_seed(0))
    assert numbers["denoising"] > 0
    assert (tmp_path / "sheets" / "00000007.png").is_file()


def test_unknown_localization_is_named(model_folder):
    with pytest.raises(ValueError, match="'none'.*squared, balanced"):
        make(model_folder, localization="none")


def test_late_times_are_drawn_in_proportion_to_themselves(model_folder):
    means = {}
    for late in (False, True):
        objective, _ = make(model_folder, late=late)
        times = objective._times(20_000, torch.Generator().manual_seed(0))
        assert times.min() >= 0 and times.max() < objective.prior.train_timesteps
        means[late] = times.float().mean().item() / objective.prior.train_timesteps
    assert means[False] == pytest.approx(1 / 2, abs=0.01) and means[True] == pytest.approx(2 / 3, abs=0.01)


def test_where_a_layer_looks_is_not_learned_by_changing_what_the_subject_is(model_folder):
    site = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
    where = partial(MoAAdapter.for_unet, router=MLPRouter, tokens=2, fusion_width=32, layers=[site])
    objective, examples = make(model_folder, where=where)
    _, parts = step(objective, examples)
    parts["object"].backward(retain_graph=True)
    fusion = list(objective.adapter.fusion.parameters())
    assert all(p.grad is None or not p.grad.any() for p in fusion)
    assert objective.adapter.branches[site].q_place.up.weight.grad.any()
    parts["denoising"].backward()
    assert any(p.grad.any() for p in fusion)


def test_train_save_load_same_picture(family, model_folder, tmp_path):
    objective, _ = make(model_folder, family)
    list(
        train(objective, Squares(), out=tmp_path / "run", batch_size=4, learning_rate=1e-2, steps=3, cpu=True, export=tmp_path / "adapter")
    )
    objective.eval()
    call = dict(subjects={"alice": Image.new("RGB", (20, 20), "red")}, num_inference_steps=2, output_type="np", height=16, width=16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PresenceWarning)
        trained = objective.pipeline()("<alice> in the snow", generator=torch.Generator().manual_seed(0), **call).images
        pipe = MoAPipeline.from_pretrained(model_folder(family))
        pipe.set_progress_bar_config(disable=True)
        untrained = pipe("a person in the snow", generator=torch.Generator().manual_seed(0), **{**call, "subjects": None}).images
        pipe.load_moa(tmp_path / "adapter")
        loaded = pipe("<alice> in the snow", generator=torch.Generator().manual_seed(0), **call).images
    np.testing.assert_allclose(trained, loaded, atol=1e-5)  # training lays convolutions out in another order of sums
    assert np.abs(loaded - untrained).max() > 1e-3


def test_the_command_that_is_printed_draws(model_folder, tmp_path, monkeypatch):
    objective, _ = make(model_folder)
    folder = tmp_path / "my adapter, (1)"
    objective.export(folder)
    Image.new("RGB", (20, 20), "red").save(tmp_path / "picture.png")
    monkeypatch.chdir(tmp_path)
    python, script, *words = shlex.split(objective.command(folder))
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        config = compose("infer", words_for_hydra([*words, "steps=1", "device=cpu", "out=drawn"]))
    assert (python, script) == ("python", "infer.py") and [path.parent.name for path in draw(config)] == ["drawn"] * 2


def test_the_command_says_where_and_how_strongly_where_that_is_needed(model_folder, tmp_path, monkeypatch):
    objective, _ = make(model_folder, router=MaskRouter)
    assert "routing.a=[4,0,12,16]" in shlex.split(objective.command(tmp_path)) and "guidance" not in objective.command(tmp_path)
    monkeypatch.setattr(Prior, "pixels", 512)
    assert shlex.split(objective.command(tmp_path))[-2:] == ["routing.a=[128,0,384,512]", "guidance=7"]
