"""The package itself: what importing costs, what a wheel holds, and the rules between its parts."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python(code: str, cwd: Path, path: Path | None = None) -> str:
    """What a fresh interpreter prints, with every warning an error of ours shown."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(path or ROOT)
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Warning" not in done.stderr, done.stderr  # what transformers logs of torchvision is its own
    return done.stdout


def test_import_moa_imports_neither_torch_nor_diffusers(tmp_path):
    assert python("import moa, sys; print({'torch', 'diffusers', 'transformers', 'hydra'} & set(sys.modules))", tmp_path).strip() == "set()"


def test_every_public_name_is_there_and_nothing_warns(tmp_path):
    code = "import warnings; warnings.simplefilter('error', UserWarning); import moa; print([getattr(moa, n).__class__ for n in moa.__all__] and 'all')"
    assert python(code, tmp_path).strip() == "all"


def test_unknown_names_are_attribute_errors(tmp_path):
    assert "no attribute 'nonsense'" in python("import moa\ntry: moa.nonsense\nexcept AttributeError as e: print(e)", tmp_path)


def test_a_wheel_runs_and_finds_the_embedded_models_and_configurations(tmp_path):
    """Built by way of a source distribution from a clean copy of what git knows or would know, installed by unpacking, used from elsewhere."""
    source, built, site = tmp_path / "source", tmp_path / "built", tmp_path / "site"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, names.stdout.split("\0")):
        if name.startswith(("tests/", "docs/")) or not (ROOT / name).exists():
            continue
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(os.readlink(ROOT / name), target) if (ROOT / name).is_symlink() else target.write_bytes((ROOT / name).read_bytes())
    built.mkdir()
    build = "import setuptools.build_meta as b; b.build_{}({!r})"
    subprocess.run([sys.executable, "-c", build.format("sdist", str(built))], cwd=source, check=True, capture_output=True, timeout=300)
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        sdist.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    subprocess.run([sys.executable, "-c", build.format("wheel", str(built))], cwd=unpacked, check=True, capture_output=True, timeout=300)
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    assert not (site / "models").exists() and not (site / "train.py").exists()
    code = (
        "import moa; from moa.prior import find_model; from moa.cli import CONF; from pathlib import Path;"
        "print(moa.__file__); print((CONF / 'train.yaml').is_file(), Path(find_model('models/tiny')).is_dir())"
        "; from moa import MoAPipeline; pipe = MoAPipeline.from_pretrained('models/tiny'); pipe.load_moa('models/tiny-people', 'people')"
        "; print(type(pipe).__name__, *pipe.moa_adapters)"
    )
    printed = python(code, tmp_path, site)
    assert str(site) in printed and "True True" in printed and "MoAStableDiffusionPipeline people" in printed
    helped = subprocess.run(
        [sys.executable, "-m", "moa.train", "--cfg", "job"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "moa.training.loop.train" in helped.stdout, helped.stderr


def test_the_layers_import_downwards_only():
    done = subprocess.run([str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", [["check", "."], ["format", "--check", "."]], ids=["linter", "formatter"])
def test_ruff_is_content(command: list[str]):
    done = subprocess.run([sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]


def test_no_file_is_too_large_to_travel():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    large = [n for n in names if n and (ROOT / n).is_file() and (ROOT / n).stat().st_size > 16 * 2**20]
    assert not large
    assert not (ROOT / "models" / "__init__.py").exists()
