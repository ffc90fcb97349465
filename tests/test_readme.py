"""Every command in the README runs, in a shortened form; a command that this file does not know is a failure."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BASH = [line for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.strip().splitlines()]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
# installing and testing are what CI does with these very lines
BY_CI = ("python3 -m venv", "pip install", "pytest")
SHORT = {
    "train.py": ["train.steps=2", "train.max_minutes=null", "train.batch_size=2", "train.validate_every_minutes=null", "objective.previews=1"],
    "infer.py": ["steps=2"],
    "evaluate.py": ["people=8", "pairs=2", "diverse=1", "seeds=2", "steps=2"],
}


def commands() -> list[str]:
    return [line for line in dict.fromkeys(BASH) if not line.startswith(BY_CI)]


def shortened(line: str, folder: Path, small_model: str) -> list[str]:
    """The command with its work cut down, its output in `folder`, and hub models replaced by a small one of their family."""
    words = shlex.split(line)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"] if words[:2] == ["accelerate", "launch"] else [sys.executable]
    words = words[2:] if words[0] == "accelerate" else words[1:]
    script = words[0]
    words = [f"prior.path={small_model}" if word == "prior=sd15" else word for word in words]
    return [*launcher, *words, *SHORT[script], f"out={folder / 'out'}"]


@pytest.mark.parametrize("line", commands())
def test_command(line, tmp_path, model_folder):
    if "my dog" in line:
        line = line.replace("my dog", str(tmp_path / "my dog"))
        shutil.copytree(ROOT / "models" / "tiny-people" / "examples", tmp_path / "my dog", ignore=shutil.ignore_patterns("*.json", "*.md"))
    command = shortened(line, tmp_path, model_folder("sd15"))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert any((tmp_path / "out").rglob("*")), "nothing was written"


@pytest.mark.filterwarnings("ignore:.*<:UserWarning")
@pytest.mark.parametrize("code", PYTHON)
def test_python(code, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    code = code.replace("num_inference_steps=20", "num_inference_steps=2").replace('save("alice.png")', f'save({str(tmp_path / "alice.png")!r})')
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "alice.png").is_file()


def test_local_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
