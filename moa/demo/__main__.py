"""`python -m moa.demo`: opens a prior and an adapter and shows the page until Ctrl-C."""

import argparse
import logging
import os
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from omegaconf import OmegaConf

from moa.cli import CONF, choices, plain_errors, quiet, show_log, writable_folder
from moa.inputs import examples_of
from moa.places import find_model
from moa.request import DEVICES, DTYPES, Request, read_request

log = logging.getLogger("moa.demo")


def flags() -> argparse.ArgumentParser:
    """The flags of the command line."""
    parser = argparse.ArgumentParser(prog="python -m moa.demo", description="A web page to draw subjects in scenes.")
    parser.add_argument(
        "--prior", default="tiny", help=f"{', '.join(choices('prior'))}, a diffusers folder, or a hub id (default: %(default)s)"
    )
    parser.add_argument("--adapter", default="models/tiny-people", help="folder or hub id of an adapter, or none (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", choices=DTYPES, help="number format of the prior (default: %(default)s)")
    parser.add_argument("--device", default="auto", help=f"{', '.join(DEVICES)}, or one by its number, as cuda:1 (default: %(default)s)")
    parser.add_argument("--out", default="outputs/demo", help="folder for the pictures (default: %(default)s)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to answer at; 0.0.0.0 shows the page to the whole network (default: %(default)s)"
    )
    parser.add_argument("--port", default=7860, type=int, help="default: %(default)s")
    return parser


def settings_of(prior: str, adapter: str, dtype: str, device: str) -> Request:
    """The settings of conf/infer.yaml with another model.

    Errors: ValueError as `read_request`.
    """
    values = OmegaConf.to_container(OmegaConf.load(CONF / "infer.yaml"))
    known = (
        OmegaConf.to_container(OmegaConf.load(CONF / "prior" / f"{prior}.yaml"))
        if prior in choices("prior")
        else {"path": prior, "variant": None}
    )
    adapters = {"default": None if adapter == "none" else adapter}
    values |= {"prior": known | {"dtype": dtype}, "adapters": adapters, "device": device}
    return read_request({name: value for name, value in values.items() if name not in ("defaults", "hydra")})


def examples(settings: Request) -> dict[str, Path]:
    """Two of the adapter's example subjects, the middle ones (our choice); none where it has no two, or there is none."""
    if settings.adapters["default"] is None:
        return {}
    folder = Path(find_model(settings.adapters["default"])) / "examples"
    try:
        found = list(examples_of(folder).items())
    except ValueError:
        return {}
    middle = len(found) // 2
    return dict(found[middle - 1 : middle + 1])


def prompts_for(settings: Request, names: list[str]) -> list[str]:
    """Prompts to try: the showcase's, of two subjects, of one, and of none, the model's own."""
    show, own = settings.showcase, [scene.replace("<a>", "a person") for scene in settings.showcase.scenes[2:]]
    if not names:
        return own
    a, b = names
    both = [prompt.replace("<a>", f"<{a}>").replace("<b>", f"<{b}>") for prompt in show.pairs[1:3]]
    return [*both, *(scene.replace("<a>", f"<{name}>") for name, scene in zip(names, show.scenes, strict=False)), *own[:1]]


@plain_errors()
def main() -> None:
    """The command line."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its advice on image processors, printed at import
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads cost 20 times the work on a busy machine
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    given = flags().parse_args()
    show_log()
    if find_spec("gradio") is None:
        raise ValueError('The page needs gradio, which is not installed; install it with: pip install -e ".[demo]"')
    settings = settings_of(given.prior, given.adapter, given.dtype, given.device)
    out, start = writable_folder(given.out, setting="--out "), time.perf_counter()

    from moa.demo.draw import Given, draw  # imports torch and diffusers: only now
    from moa.demo.page import build, serve
    from moa.drawing import open_pipeline

    quiet()
    pipe = open_pipeline(settings)
    log.info("%s on %s, ready in %.1f s", settings.prior.path, pipe.device, time.perf_counter() - start)
    found = examples(settings)
    title = f"{settings.prior.path} with {settings.adapters['default'] or 'no adapter'}. Pictures are kept in {given.out}."
    page = build(
        partial(draw, pipe, settings, out),
        settings,
        [Given(name, "", str(path)) for name, path in found.items()],
        prompts_for(settings, list(found)),
        title,
    )
    serve(page, given.host, given.port, [out, *{path.parent for path in found.values()}])


if __name__ == "__main__":
    sys.exit(main())
