"""Settings, and one evaluation of each kind from the command's configuration to its files, on a small random model."""

import json

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import moa.evaluation.run
from moa import MoAPipeline
from moa.cli import CONF
from moa.evaluate import run
from moa.evaluation.reader import Reader
from moa.evaluation.settings import SETTINGS, read_settings
from moa.where.router import ConstantRouter, MaskRouter

from experts import make_adapter
from families import make_unet, save_pipeline
from people import save_adapter


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A random prior, adapter and reader."""
    folder = tmp_path_factory.mktemp("models")
    save_pipeline("sd15", folder / "prior")
    torch.manual_seed(0)
    reader = Reader()
    torch.nn.init.constant_(reader.detector.heat.bias, 0.0)
    reader.save_pretrained(folder / "reader")
    pipe = MoAPipeline.from_pretrained(folder / "prior")
    make_adapter(pipe.unet).save_pretrained(folder / "adapter")
    return folder


def composed(*overrides):
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return compose("evaluate", list(overrides))


def settings(*overrides):
    return read_settings(OmegaConf.to_container(composed(*overrides), resolve=True))


def test_configuration_is_the_schema(models):
    config = composed()
    assert set(config) == set(SETTINGS) - {"hydra"}
    assert settings(f"reader={models}/reader").title == "tiny-people"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("what=adaptor", "choose one of adapter, prior"),
        ("people=1", "whole number from 2"),
        ("diverse=100", "people=200 or more"),
        ("guidance=-1", "guidance=-1"),
        ("reader=nowhere", "holds no attribute reader"),
        ("what=ablations", "two or more folders"),
        ("prior.dtype=float8", "prior.dtype='float8'.*float32, float16, bfloat16"),
        ("prior.variant=5", "variant=5.*give text"),
        ("runs=abc", "runs='abc' is a text; give a list of folders"),
        ("quick=often", "quick='often'.*true or false"),
        ("name=5", "name=5.*give text"),
        ("~people", "not those of conf/evaluate.yaml.*people"),
        ("~prior", "prior=None is no prior"),
        ("+nonsense=1", "no setting 'nonsense'"),
    ],
)
def test_wrong_settings_are_refused_in_one_paragraph(models, override, message):
    with pytest.raises(ValueError, match=message) as caught:
        settings(f"reader={models}/reader", override)
    assert "\n" not in str(caught.value)


def test_quick_is_a_fifth(models):
    quick = settings(f"reader={models}/reader", "quick=true").sized()
    assert (quick.people, quick.pairs, quick.diverse, quick.seeds) == (32, 16, 2, 2)


@pytest.mark.parametrize("what", ["adapter", "prior", "autoencoder", "reader"])
def test_every_kind_runs_on_a_random_model(models, what, tmp_path, capsys):
    config = composed(
        f"what={what}", f"prior.path={models}/prior", f"adapter={models}/adapter", f"reader={models}/reader", f"out={tmp_path}",
        "people=2", "pairs=1", "diverse=1", "seeds=2", "steps=1", "examples=1", "device=cpu",
    )  # fmt: skip
    report = run(config, "python evaluate.py")
    assert report.is_file() and capsys.readouterr().out.strip() == str(report)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["what"] == what and len(metrics["rows"]) > 5 and metrics["settings"]["command"] == "python evaluate.py"


def test_a_device_that_is_not_here(models):
    with pytest.raises(ValueError, match="choose one of auto, cpu"):
        run(composed(f"reader={models}/reader", "what=reader", "device=warp", "out=/tmp/moa-none"), "")


def test_an_adapter_that_needs_regions_is_refused_before_any_model_is_opened(models, tmp_path, monkeypatch):
    adapter = make_adapter(make_unet("sd15"), router=MaskRouter).save_pretrained(tmp_path / "drawn")
    monkeypatch.setattr(Reader, "from_pretrained", lambda *_: pytest.fail("the reader was opened"))
    words = [f"prior.path={models}/prior", f"adapter={adapter}", f"reader={models}/reader", f"out={tmp_path}/out", "device=cpu"]
    with pytest.raises(ValueError) as error:
        run(composed(*words), "")
    said = str(error.value)
    assert all(
        part in said for part in (str(adapter), "'mask'", "only in regions that are given", "mlp, linear, conv", "such as router=mlp")
    ), said


def test_an_adapter_that_cannot_keep_the_context_is_refused_before_any_model_is_opened(models, tmp_path, monkeypatch):
    adapter = make_adapter(make_unet("sd15"), router=ConstantRouter).save_pretrained(tmp_path / "flat")
    monkeypatch.setattr(Reader, "from_pretrained", lambda *_: pytest.fail("the reader was opened"))
    words = [f"prior.path={models}/prior", f"adapter={adapter}", "keep_context=true", f"out={tmp_path}/out", "device=cpu"]
    with pytest.raises(ValueError, match="keep_context=True.*weighs every pixel alike"):
        run(composed(*words), "")


def test_an_adapter_of_another_prior_is_refused_before_it_is_loaded(models, tmp_path, monkeypatch):
    adapter = make_adapter(make_unet("sd21")).save_pretrained(tmp_path / "other")
    monkeypatch.setattr(MoAPipeline, "from_pretrained", lambda *_, **__: pytest.fail("the prior was loaded"))
    words = [f"prior.path={models}/prior", f"adapter={adapter}", f"reader={models}/reader", f"out={tmp_path}/out", "device=cpu"]
    with pytest.raises(ValueError, match="structure.*Set adapter= to one that was trained on it"):
        run(composed(*words), "")


def test_an_adapter_of_others_than_people_is_refused(models, tmp_path):
    adapter = save_adapter(MoAPipeline.from_pretrained(models / "prior"), tmp_path / "robots", noun="robot")
    words = [f"prior.path={models}/prior", f"adapter={adapter}", f"reader={models}/reader", f"out={tmp_path}/out", "device=cpu"]
    with pytest.raises(ValueError, match="draws a robot; the held-out subjects that it would be measured on are people"):
        run(composed(*words), "")


def test_a_second_evaluation_gets_a_folder_of_its_own(models, tmp_path, monkeypatch):
    """Unless one is given; a table of ablations has its place in docs/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(moa.evaluation.run, "evaluate", lambda settings, out, command: out)
    words = {"": [f"reader={models}/reader", "name=mine"], "given": [f"reader={models}/reader", "out=here"]}
    words["table"] = ["what=ablations", "runs=[a,b]"]
    found = [run(composed(*words[case]), "").as_posix() for case in ("", "", "given", "given", "table", "table")]
    assert found == ["outputs/evaluate/mine", "outputs/evaluate/mine_2", "here", "here", "docs", "docs"]
