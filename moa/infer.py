"""`python infer.py` and `python -m moa.infer`: draws a prompt with its subjects, or a sheet of example subjects without one."""

import logging
import os
import sys
import time
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from moa.cli import CONF, choices, output_folder, plain_errors, quiet, show_log
from moa.inputs import examples_of
from moa.overrides import rewrite
from moa.places import find_model
from moa.request import Request, read_request

log = logging.getLogger("moa.infer")

SETTINGS = (*(field.name for field in fields(Request)), "hydra")
GROUPS = ("subjects", "morph", "nouns", "routing", "scales", "adapters")
TEXT = (
    "prompt",
    "negative_prompt",
    "prior.path",
    "out",
    "showcase.examples",
    "subjects.*",
    "morph.*",
    "nouns.*",
    "routing.*",
    "adapters.*",
)
LISTS = ("subjects.*", "morph.*", "routing.*", "showcase.examples")


def run(config: DictConfig) -> list[Path]:
    """Draws what the configuration says and prints the files written. Errors in it are ValueErrors, before any work."""
    start = time.perf_counter()
    try:
        request = read_request(OmegaConf.to_container(config, resolve=True))
    except OmegaConfBaseException as error:
        raise ValueError(" ".join(str(error).split())) from None
    pictures, targets, regions = request.pictures(), request.targets(), request.regions()
    examples = examples_of(showcase_pictures(request)) if request.prompt is None else {}
    now = Path("outputs/infer") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    with output_folder(request.out, now) as out:
        return draw_all(request, pictures, targets, regions, examples, out, start)


def draw_all(
    request: Request, pictures: dict, targets: dict, regions: dict, examples: dict[str, Path], out: Path, start: float
) -> list[Path]:
    """Opens the pipeline and draws, printing each file as it is written; `start` is when the command began, in seconds."""
    from moa.drawing import draw, draw_morph, draw_showcase, open_pipeline  # imports torch and diffusers: only now

    quiet()
    pipe = open_pipeline(request)
    log.info("%s on %s, ready in %.1f s", request.prior.path, pipe.device, time.perf_counter() - start)
    if request.prompt is None:
        files = draw_showcase(pipe, request, examples, out)
    elif targets:
        files = draw_morph(pipe, request, pictures, targets, regions, out)
    else:
        files = draw(pipe, request, pictures, regions, out)
    paths = []
    for path in files:
        print(path, flush=True)
        paths.append(path)
    return paths


def showcase_pictures(request: Request) -> Path | list[str]:
    """The example subjects, or the folder where they are: as set, or beside the first adapter.

    Errors: ValueError where there is no adapter to show.
    """
    first = next((path for path in request.adapters.values() if path), None)
    if first is None:
        raise ValueError(
            "There is no prompt and no adapter, so there is nothing to show; give a prompt=, or adapters.people=models/tiny-people."
        )
    return request.showcase.examples or Path(find_model(first)) / "examples"


def words_for_hydra(words: list[str]) -> list[str]:
    """What the user typed after `python infer.py`, in Hydra's grammar.

    Errors: ValueError as `rewrite`.
    """
    return rewrite(words, text=TEXT, groups=GROUPS, lists=LISTS, files={"prior": choices("prior")}, known=SETTINGS)


@hydra.main(version_base="1.3", config_path=str(CONF.resolve()), config_name="infer")
@plain_errors()
def _hydra_main(config: DictConfig) -> None:
    show_log()
    run(config)


@plain_errors()
def main() -> None:
    """The command line: free text and paths are quoted for Hydra before it reads them."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its advice on image processors, printed at import
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads cost 20 times the work on a busy machine
    sys.argv[1:] = words_for_hydra(sys.argv[1:])
    _hydra_main()


if __name__ == "__main__":
    sys.exit(main())
