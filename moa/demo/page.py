"""The page: fields on the left, pictures on the right. It calls one function and shows what comes back."""

from collections.abc import Callable, Sequence
from pathlib import Path

import gradio as gr

from moa.cli import message
from moa.demo.draw import Drawn, Given
from moa.request import Request

SUBJECTS = 3
DAY = 24 * 60 * 60  # seconds
ABOUT = """# moa
Draws your people, pets and characters in any scene. Write `<name>` where a subject belongs; with no subject in the prompt, the
picture is the model's own. Beside each picture: who drew which part of it, the model (grey) or a subject (its colour)."""
CSS = """
.gradio-container { max-width: 1240px !important; margin: auto; }
.pictures .grid-wrap { height: auto; max-height: none; overflow: visible; }
.pictures .thumbnail-item { aspect-ratio: auto; }
.pictures .caption-label { left: 12px; right: auto; bottom: 6px; width: fit-content; border: none; color: #28282c; background: white; }
.note textarea { border: none; }
"""


def build(draw: Callable[..., Drawn], settings: Request, cast: Sequence[Given], prompts: Sequence[str], title: str) -> gr.Blocks:
    """The page, with the subjects of `cast` and the first of `prompts` filled in.

    `draw` takes the fields by name (`prompt`, `given`, `seed`, `count`, `steps`, `guidance`, `scale`); its ValueErrors are shown as text.
    """

    def answer(prompt: str, seed: float, count: float, scale: float, steps: float, guidance: float, *fields: str | None):
        given = [
            Given(name or "", noun or "", picture) for name, noun, picture in zip(fields[::3], fields[1::3], fields[2::3], strict=True)
        ]
        try:
            drawn = draw(prompt=prompt or "", given=given, seed=seed, count=count, steps=steps, guidance=guidance, scale=scale)
        except (ValueError, OSError) as error:
            return gr.Gallery([]), gr.File(visible=False), said(message(error), "This cannot be drawn")
        shown = gr.Gallery(
            [(str(path), f"seed {seed + i}") for i, path in enumerate(drawn.shown)], columns=1 if len(drawn.shown) < 3 else 2
        )
        return shown, gr.File([str(path) for path in drawn.files], visible=True), said("\n".join(drawn.notes), "Please note")

    with gr.Blocks(title="moa", analytics_enabled=False, delete_cache=(DAY, DAY)) as page:
        gr.Markdown(ABOUT)
        with gr.Row():
            with gr.Column(scale=5, min_width=420):
                fields, button = _fields(settings, cast, prompts)
            with gr.Column(scale=6, min_width=420):
                notes = gr.Textbox(visible=False, interactive=False, elem_classes="note")
                gallery = gr.Gallery(
                    label="Pictures and routing",
                    show_label=False,
                    columns=1,
                    object_fit="contain",
                    buttons=["fullscreen"],
                    elem_classes="pictures",
                )
                files = gr.File(
                    label="To download; each remembers its settings", file_count="multiple", height=180, visible=False, interactive=False
                )
        gr.Markdown(title)
        button.click(answer, fields, [gallery, files, notes], api_name="draw", concurrency_limit=1)
    return page


def _fields(settings: Request, cast: Sequence[Given], prompts: Sequence[str]) -> tuple[list[gr.components.Component], gr.Button]:
    """What the user fills in, in the order of the answer's arguments, and the button."""
    prompt = gr.Textbox(prompts[0], label="Prompt", lines=2, placeholder="<alice> in the snow, wearing a green hoodie")
    gr.Examples([[text] for text in prompts], prompt, label="Prompts to try")
    with gr.Row(equal_height=True):
        subjects = [part for number in range(SUBJECTS) for part in _subject(number, cast[number] if number < len(cast) else Given())]
    button = gr.Button("Draw", variant="primary", size="lg")
    with gr.Row():
        seed = gr.Number(settings.seed, label="Seed", precision=0, minimum=0, min_width=120)
        count = gr.Slider(1, 8, 2, step=1, label="Pictures", min_width=140, buttons=[])
        scale = gr.Slider(0, 1, settings.scale, step=0.05, label="Strength", min_width=140, buttons=[])
    with gr.Row():
        steps = gr.Slider(1, 100, settings.steps, step=1, label="Steps", min_width=140, buttons=[])
        guidance = gr.Slider(0, 20, settings.guidance, step=0.5, label="Guidance", min_width=140, buttons=[])
    return [prompt, seed, count, scale, steps, guidance, *subjects], button


def _subject(number: int, given: Given) -> tuple[gr.Textbox, gr.Textbox, gr.Image]:
    with gr.Column(min_width=120):
        picture = gr.Image(
            given.picture,
            label=f"Subject {number + 1}",
            show_label=False,
            height=150,
            sources=["upload"],
            buttons=[],
            placeholder="Drop or click",
        )
        picture.preprocess = _path  # gradio's own would open the file, and say less about one that cannot be read
        name = gr.Textbox(given.name, label=f"Name {number + 1}", placeholder="Name", max_lines=1, container=False)
        noun = gr.Textbox(given.noun, label=f"Noun {number + 1}", placeholder="Noun (optional)", max_lines=1, container=False)
    return name, noun, picture


def _path(uploaded) -> str | None:
    return None if uploaded is None else uploaded.path


def said(text: str, label: str) -> gr.Textbox:
    """The notes as they are, no markup in them; none where there is nothing to say."""
    return gr.Textbox(text, label=label, visible=bool(text), lines=1 + text.count("\n"))


def serve(page: gr.Blocks, host: str, port: int, folders: Sequence[Path], *, wait: bool = True) -> str:
    """Shows the page at an address until Ctrl-C, or gives the address at once; files in `folders` are shown to whoever opens it.

    Errors: ValueError for an address that cannot be used.
    """
    try:
        _, address, _ = page.launch(
            server_name=host, server_port=port, share=False, prevent_thread_lock=True, quiet=True, footer_links=[], run_history=False,
            ssr_mode=False, allowed_paths=[str(folder) for folder in folders], theme=gr.themes.Default(primary_hue="teal"), css=CSS,
        )  # fmt: skip
    except OSError:
        raise ValueError(
            f"The page cannot be shown at {host}:{port}, which is in use or not of this machine; give another with --port and --host."
        ) from None
    print(f"The page is at {address}; Ctrl-C ends it.", flush=True)
    if wait:
        page.block_thread()
    return address
