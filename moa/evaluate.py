"""`python evaluate.py` and `python -m moa.evaluate`: measures on held-out identities and writes numbers and a report."""

import os
import shlex
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from moa.cli import CONF, choices, output_folder, plain_errors, quiet, show_log
from moa.evaluation.settings import SETTINGS, read_settings
from moa.overrides import rewrite

TEXT = ("prior.path", "adapter", "reader", "name", "out")


def run(config: DictConfig, command: str) -> Path:
    """Measures what the configuration says and prints the report's path. Errors in it are ValueErrors, before any work."""
    try:
        settings = read_settings(OmegaConf.to_container(config, resolve=True))
    except OmegaConfBaseException as error:
        raise ValueError(" ".join(str(error).split())) from None
    with output_folder(settings.chosen, Path("outputs/evaluate") / settings.title) as out:
        from moa.evaluation.run import evaluate  # imports torch and diffusers: only now

        quiet()
        report = evaluate(settings, out, command=command)
    print(report, flush=True)
    return report


@plain_errors()
def main() -> None:
    """The command line."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its advice on image processors, printed at import
    command = shlex.join(["python", "evaluate.py", *sys.argv[1:]])

    @hydra.main(version_base="1.3", config_path=str(CONF.resolve()), config_name="evaluate")
    @plain_errors()
    def start(config: DictConfig) -> None:
        show_log()
        run(config, command)

    sys.argv[1:] = rewrite(sys.argv[1:], text=TEXT, groups=(), lists=(), files={"prior": choices("prior")}, known=SETTINGS)
    start()


if __name__ == "__main__":
    sys.exit(main())
