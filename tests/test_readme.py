"""Every command in the README runs, in a shortened form; a command that this file does not know is a failure."""

import configparser
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from commands import typed
from PIL import Image

from moa import MoAPipeline
from moa.data.images import load_image

from people import save_adapter

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BASH = [line for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.strip().splitlines()]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
# installing and testing are what CI does with these very lines; what the extra "demo" asks for is in "test" too
BY_CI = ("python3 -m venv", "pip install", "pytest")
PAGE = "python -m moa.demo"  # runs until Ctrl-C, so it has a test of its own
SHORT = {
    "train.py": [
        "train.steps=2",
        "train.max_minutes=null",
        "train.batch_size=2",
        "train.validate_every_minutes=null",
        "objective.previews=1",
        "data.size=64",
        "validation.size=64",
    ],
    "infer.py": ["steps=2"],
    "evaluate.py": ["people=8", "pairs=2", "diverse=1", "seeds=2", "steps=2"],
}


ALONE = ("python train.py subject=people", "python infer.py", "python evaluate.py")  # each in a process of its own; the others in this one


def commands() -> list[str]:
    return [line for line in dict.fromkeys(BASH) if not line.startswith((*BY_CI, PAGE))]


LAUNCHERS = {"python": [], "accelerate": ["launch"]}


def shortened(line: str, folder: Path, small_model: str) -> tuple[str, list[str]]:
    """The launcher, and what it is given: the command with its work cut down, its output in `folder`, and hub models replaced by a small one of their family."""
    launcher, *words = shlex.split(line)
    script, *words = words[len(LAUNCHERS[launcher]) :]
    words = [f"prior.path={small_model}" if word == "prior=sd15" else word for word in words]
    return launcher, [script, *words, *SHORT[script], f"out={folder / 'out'}"]


def supplied(line: str, folder: Path, small_model: str) -> str:
    """The command with what a user would have by then: pictures of their own, and what an earlier command left in outputs/."""
    examples = ROOT / "models" / "tiny-people" / "examples"
    if "my dog" in line:
        shutil.copytree(examples, folder / "my dog", ignore=shutil.ignore_patterns("*.json", "*.md"))
    if "family/" in line or "=family" in line:
        for name, pictures in (("anna", ("ada", "bo")), ("rex", ("cleo", "dev"))):
            (folder / "family" / name).mkdir(parents=True)
            for number, picture in enumerate(pictures, start=1):
                seen = load_image(examples / f"{picture}.png")
                seen.save(folder / "family" / name / f"{number}.jpg")
        Image.new("L", seen.size, 255).save(folder / "family" / "anna" / "1.mask.png")
        (folder / "family" / "anna" / "1.txt").write_text("<subject> on a bicycle, in the rain")
        (folder / "family" / "rex" / "noun.txt").write_text("dog")
        save_adapter(MoAPipeline.from_pretrained(small_model), folder / "outputs" / "family")
    for name in ("hard", "cross"):
        line = line.replace(f"adapter=outputs/{name}", "adapter=models/tiny-people")
        line = line.replace(f"outputs/{name}/measured", f"docs/ablations/{'moa' if name == 'hard' else 'cross_only'}.json")
    for name in ("my dog", "family", "outputs/family"):
        line = line.replace(f"={name}", f"={folder / name}")
    return line.replace("train.export=outputs", f"train.export={folder}/outputs")


@pytest.mark.parametrize("line", commands())
def test_command(line, tmp_path, model_folder):
    line = supplied(line, tmp_path, model_folder("sd15"))
    launcher, (script, *words) = shortened(line, tmp_path, model_folder("sd15"))
    if launcher == "python" and line not in ALONE:
        assert typed(script, words, ROOT) == 0
    else:
        launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"] if launcher == "accelerate" else []
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *launch, script, *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr[-3000:]
    assert any((tmp_path / "out").rglob("*")), "nothing was written"


def test_the_page_opens_and_ends_with_ctrl_c(tmp_path):
    assert PAGE in BASH
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, *shlex.split(PAGE)[1:], "--port", str(port), "--out", str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GRADIO_TEMP_DIR": str(tmp_path)}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and what they start, ignore it
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as page:
        signal.signal(signal.SIGINT, before)
        try:
            assert page.stdout.readline() == f"The page is at http://127.0.0.1:{port}/; Ctrl-C ends it.\n"
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/config", timeout=60) as answer:
                assert b"<cleo> and <dev> in the snow" in answer.read()
            page.send_signal(signal.SIGINT)
            _, said = page.communicate(timeout=60)
        finally:
            page.kill()
    assert "Traceback" not in said and "Warning" not in said, said


def test_tests_are_installed_with_all_that_the_page_needs():
    extras = configparser.ConfigParser()
    extras.read(ROOT / "setup.cfg")
    needs = {extra: set(extras["options.extras_require"][extra].split()) for extra in ("demo", "test")}
    assert needs["demo"] and needs["demo"] <= needs["test"]


@pytest.mark.filterwarnings("ignore:.*<:UserWarning")
def test_python(tmp_path, monkeypatch):
    """One block after the other, as somebody reads them."""
    monkeypatch.chdir(ROOT)
    code = "".join(PYTHON).replace("num_inference_steps=20", "num_inference_steps=2")
    exec(compile(re.sub(r'save\("', f'save("{tmp_path}/', code), "README.md", "exec"), {})
    assert {path.name for path in tmp_path.iterdir()} == set(re.findall(r'save\("(.*?)"', code))


def test_local_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
