"""The page as a browser sees it: its fields, what its button answers, and its command line."""

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import fastapi
import gradio
import pytest
from starlette.testclient import TestClient

from moa.demo import __main__ as command
from moa.demo.draw import Given, draw
from moa.demo.page import build
from moa.picture_files import read_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def browser(pipe, settings, tmp_path, monkeypatch):
    """What sends requests to the page, within this process."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    found = command.examples(settings)
    cast = [Given(name, "", str(path)) for name, path in found.items()]

    async def mounted() -> fastapi.FastAPI:  # within a loop: without one, gradio makes some that it never closes
        page = build(partial(draw, pipe, settings, tmp_path), settings, cast, command.prompts_for(settings, list(found)), "about")
        return gradio.mount_gradio_app(fastapi.FastAPI(), page, "/", allowed_paths=[str(tmp_path)])

    with TestClient(asyncio.run(mounted())) as client:
        yield client


def fields_of(client: TestClient) -> dict[str, object]:
    """The value of each labelled field of the page as it opens."""
    parts = [part["props"] for part in client.get("/config").json()["components"]]
    return {part["label"]: part.get("value") for part in parts if part.get("label")}


def press(client: TestClient, changed: dict[str, object]) -> list[dict]:
    """What the button answers to the fields as they are filled in, but for those changed."""
    config = client.get("/config").json()
    button = next(one for one in config["dependencies"] if one["api_name"] == "draw")
    labels = {part["id"]: part["props"] for part in config["components"]}
    data = [changed.get(labels[one]["label"], labels[one].get("value")) for one in button["inputs"]]
    answer = client.post("/gradio_api/run/draw", json={"data": data})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def upload(client: TestClient, name: str, content: bytes) -> dict[str, object]:
    (path,) = client.post("/gradio_api/upload", files={"files": (name, content)}).json()
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def test_the_page_opens_with_a_picture_ready_to_be_drawn(browser):
    fields = fields_of(browser)
    assert fields["Prompt"] == "<cleo> and <dev> in the snow" and [fields[f"Name {i}"] for i in (1, 2, 3)] == ["cleo", "dev", ""]
    assert fields["Subject 1"]["orig_name"] == "cleo.png" and fields["Subject 3"] is None
    assert (fields["Steps"], fields["Guidance"], fields["Strength"], fields["Seed"]) == (20, 3, 1, 0)
    gallery, files, notes = press(browser, {"Steps": 2})
    assert [item["caption"] for item in gallery["value"]] == ["seed 0", "seed 1"]
    assert [Path(item["image"]["path"]).name for item in gallery["value"]] == ["seed_0.routing.png", "seed_1.routing.png"]
    assert [read_settings(file["path"])["seed"] for file in files["value"]] == [0, 0, 1, 1] and files["visible"]


def test_ones_own_picture_is_drawn(browser):
    own = upload(browser, "eve.png", (ROOT / "models/tiny-people/examples/emi.png").read_bytes())
    gallery, _, notes = press(browser, {"Steps": 2, "Pictures": 1, "Prompt": "<eve> at night", "Subject 3": own, "Name 3": "eve"})
    assert len(gallery["value"]) == 1 and notes["label"] == "Please note"
    assert notes["value"].startswith("Left out, as the prompt does not name them: <cleo>, <dev>.")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"Prompt": "<eve> at night"}, "names <eve>"),
        ({"Name 2": "cleo"}, "Two subjects have the name 'cleo'"),
        ({"Seed": None}, "seed=None"),
        ({"Subject 1": None}, "'cleo', has no picture"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_plain_text(changed, says, browser):
    gallery, files, notes = press(browser, changed)
    assert gallery["value"] == [] and not files["visible"]
    assert says in notes["value"] and notes["visible"] and notes["label"] == "This cannot be drawn"


def test_an_upload_that_is_no_picture_is_said_in_plain_text(browser):
    _, _, notes = press(browser, {"Subject 1": upload(browser, "cleo.png", b"no picture")})
    assert "cleo.png' is no picture that can be read here; save it as PNG, JPEG or WEBP." in notes["value"]


def test_nothing_is_reported_to_anyone_and_nothing_is_fetched(browser):
    config = browser.get("/config").json()
    assert config["analytics_enabled"] is False
    assert "googleapis" not in browser.get("/").text and "cdnjs" not in browser.get("/").text


def test_another_adapter_without_examples_leaves_the_fields_to_the_user():
    settings = command.settings_of("sd15", "none", "float16", "auto")
    assert settings.prior.path == "stable-diffusion-v1-5/stable-diffusion-v1-5" and settings.prior.dtype == "float16"
    assert command.examples(settings) == {} and all("<" not in prompt for prompt in command.prompts_for(settings, []))


def test_a_page_without_gradio_says_how_to_install_it(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['gradio'] = None\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-m", "moa.demo"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == 'error: The page needs gradio, which is not installed; install it with: pip install -e ".[demo]"\n'


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--prior", "conf"), "'conf' holds no model_index.json"),
        (("--device", "abacus"), "device='abacus' is unknown"),
        (("--adapter", "conf"), "conf"),
        (("--out", "LICENSE"), "give another with --out"),
    ],
)
def test_errors_of_the_command_line_are_one_line(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "")
    monkeypatch.setattr(sys, "argv", ["moa.demo", "--out", str(tmp_path), *words])
    with pytest.raises(SystemExit) as ended:
        command.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("error: ") and says in said and said.count("\n") == 1
