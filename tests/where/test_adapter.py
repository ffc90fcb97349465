"""Adapters on disk: only what was trained, exact, and refused by name when something is off."""

import json
import math
import warnings
from dataclasses import replace
from functools import partial

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open

from moa.prior.load import empty_unet
from moa.where import MoAAdapter, mount, remove
from moa.where.adapter import CONFIG, WEIGHTS
from moa.where.router import ROUTERS, MLPRouter
from moa.where.sites import content_of, find_sites, structure_of
from moa.where.subjects import Subjects

from experts import alice, make_adapter, make_scene
from families import LEVELS, UNETS, make_unet


def subjects() -> Subjects:
    return Subjects([[alice()], [alice(4)]])


@pytest.mark.parametrize("router", list(ROUTERS))
def test_train_save_load_same_answer(router, tmp_path):
    scene = make_scene("sd15", router=partial(ROUTERS[router]), tokens=2)
    answer = scene.answer(subjects())
    scene.adapter.save_pretrained(tmp_path)
    remove(scene.unet)
    loaded = MoAAdapter.from_pretrained(tmp_path)
    assert loaded.config == scene.adapter.config and loaded.config.router == router
    mount(scene.unet, loaded, "people")
    assert torch.equal(scene.answer(subjects()), answer)


def test_a_prior_without_its_weights_is_judged_as_with_them(family, model_folder):
    """So an adapter that fits is never refused before loading, and another one always."""
    empty, unet = empty_unet(model_folder(family)), make_unet(family)
    assert {parameter.device.type for parameter in empty.parameters()} == {"meta"}
    assert structure_of(find_sites(empty)) == structure_of(find_sites(unet))
    make_adapter(unet).check_structure(empty)
    other = make_adapter(make_unet(next(name for name in UNETS if name != family)))
    with pytest.raises(ValueError, match="same architecture"):
        other.check_structure(empty)


def test_the_file_holds_what_was_trained_and_nothing_else(family, tmp_path):
    unet = make_unet(family)
    adapter = make_adapter(unet)
    adapter.save_pretrained(tmp_path)
    with safe_open(tmp_path / WEIGHTS, "pt") as file:
        names = set(file.keys())
    assert names == set(adapter.state_dict())
    assert not names & set(unet.state_dict())
    assert sum(p.numel() for p in adapter.parameters()) == sum(t.numel() for t in adapter.state_dict().values())


def test_the_json_names_prior_encoder_router_and_versions(tmp_path):
    adapter = make_adapter(make_unet("sd15"), router=partial(MLPRouter, hidden=8))
    adapter.save_pretrained(tmp_path)
    values = json.loads((tmp_path / CONFIG).read_text())
    assert values["format_version"] == 2 and values["prior"] == "test" and values["encoder"] == "prior"
    assert values["router"] == "mlp" and values["router_options"] == {"hidden": 8}
    assert {"torch", "diffusers", "transformers"} <= values["versions"].keys()
    assert len(values["structure"]) == len(values["content"]) == 12


def test_the_content_fingerprint_survives_half_precision():
    unet = make_unet("sd15")
    sites = find_sites(unet)
    full = content_of(unet, sites)
    assert content_of(unet.half(), sites) == full
    assert content_of(make_unet("sd15", seed=1), sites) != full
    assert content_of(unet.to(torch.bfloat16), sites) is None


def test_the_content_fingerprint_sees_a_finetune_of_one_projection():
    unet = make_unet("sd15")
    sites = find_sites(unet)
    before = content_of(unet, sites)
    for projection in ("to_q", "to_k", "to_v", "to_out.0"):
        weight = unet.get_submodule(sites[-1].name).get_submodule(projection).weight.data
        kept = weight.clone()
        weight += 0.01
        assert content_of(unet, sites) != before
        weight.copy_(kept)
    assert content_of(unet, sites) == before


def test_another_number_of_heads_is_refused_with_the_names_of_both_priors():
    adapter = make_adapter(make_unet("sd15"))
    other = UNet2DConditionModel(**LEVELS, **UNETS["sd15"] | {"attention_head_dim": 8}).eval()
    other.register_to_config(_name_or_path="me/other")
    with pytest.raises(ValueError, match="'test'.* with 4 heads.*'me/other'.* with 8 heads"):
        mount(other, adapter, "people")


def test_a_file_of_format_1_is_read_as_it_was_meant(tmp_path):
    """It said no heads, fingerprinted one projection, and counted the space-time frequencies in cycles."""
    scene = make_scene("sd15")
    old = 2 * math.pi * scene.adapter.fusion.space_time.frequency
    scene.adapter.save_pretrained(tmp_path)
    values = json.loads((tmp_path / CONFIG).read_text())
    unet, sites = make_unet("sd15"), [replace(site, heads=0) for site in find_sites(make_unet("sd15"))]
    new = {"pitch", "fingerprinted"}
    values = {k: v for k, v in values.items() if k not in new} | {
        "format_version": 1, "structure": structure_of(sites), "content": content_of(unet, sites, ["to_q"]),
        "sites": [{k: v for k, v in site.items() if k != "heads"} for site in values["sites"]],
    }  # fmt: skip
    (tmp_path / CONFIG).write_text(json.dumps(values))
    loaded = MoAAdapter.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded.fusion.space_time.frequency, old)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mount(unet, loaded, "people")
    again = MoAAdapter.from_pretrained(loaded.save_pretrained(tmp_path / "again"))
    assert again.config == loaded.config and again.config.format_version == 2


@pytest.mark.parametrize(("model", "branch"), [("sd15", "full"), ("sdxl", "lowrank")])
def test_a_full_branch_by_default_but_for_a_prior_as_large_as_sdxl(model, branch):
    sizes = {
        "sd15": dict(cross_attention_dim=768, attention_head_dim=8),
        "sdxl": dict(
            cross_attention_dim=2048, attention_head_dim=(5, 10, 20), block_out_channels=(320, 640, 1280), transformer_layers_per_block=(1, 2, 10),
            use_linear_projection=True, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        ),
    }  # fmt: skip
    with torch.device("meta"):
        adapter = make_adapter(UNet2DConditionModel(**sizes[model]), trained=False, branch="auto")
    assert adapter.config.rank == (None if branch == "full" else 4)


def test_a_router_without_a_public_name_is_refused():
    class Mine(MLPRouter):
        pass

    with pytest.raises(ValueError, match="no public name.*ROUTERS"):
        make_adapter(make_unet("sd15"), router=Mine)


def test_a_config_that_asks_for_code_is_refused(tmp_path):
    make_adapter(make_unet("sd15")).save_pretrained(tmp_path)
    values = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(values | {"router": "os.system"}))
    with pytest.raises(ValueError, match="'os.system'.*known are mlp"):
        MoAAdapter.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"format_version": 9}, "format_version 9"), ({"sites": None}, "no MoA adapter config"), ({"colour": 1}, "no MoA adapter config")],
)
def test_configs_that_cannot_be_read(tmp_path, change, words):
    make_adapter(make_unet("sd15")).save_pretrained(tmp_path)
    values = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(values | change))
    with pytest.raises(ValueError, match=words):
        MoAAdapter.from_pretrained(tmp_path)


def test_push_to_hub_uploads_what_is_saved(monkeypatch):
    import huggingface_hub

    seen = {}

    class Hub:
        def __init__(self, token=None):
            seen["token"] = token

        def create_repo(self, repo_id, private, exist_ok):
            seen["repo"] = repo_id, private

        def upload_folder(self, repo_id, folder_path):
            from pathlib import Path

            seen["files"] = sorted(p.name for p in Path(folder_path).iterdir())
            return "https://example.org/commit"

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert make_adapter(make_unet("sd15")).push_to_hub("me/people", private=True) == "https://example.org/commit"
    assert seen == {"token": None, "repo": ("me/people", True), "files": [CONFIG, WEIGHTS]}
