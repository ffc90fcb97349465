"""`python train.py` and `python -m moa.train`: reads the command line and starts a training run."""

import os
import sys

import hydra
from omegaconf import DictConfig, OmegaConf

from moa.cli import CONF, choices, plain_errors, show_log
from moa.overrides import rewrite

GROUPS = ("data", "prior", "subject", "where", "router", "objective", "tracker", "experiment")
SETTINGS = ("name", "out", "resume", "noun", "train", "validation", *GROUPS, "hydra")
TEXT = ("name", "out", "resume", "noun", "train.export", "prior.path", "data.path", "data.prompts", "validation.path")


@hydra.main(version_base="1.3", config_path=str(CONF.resolve()), config_name="train")
@plain_errors()
def _hydra_main(config: DictConfig) -> None:
    show_log()
    unknown = sorted(set(map(str, config)) - set(SETTINGS))
    if unknown:
        raise ValueError(f"There is no setting {unknown[0]!r}; all of them: {', '.join(SETTINGS)}.")
    from moa.training_run import run  # imports torch and diffusers: only now

    run(config)


@plain_errors()
def main() -> None:
    """The command line: free text and paths are quoted for Hydra before it reads them."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its advice on image processors, printed at import
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads cost 20 times the work on a busy machine
    inner = [f"train.{name}" for name in OmegaConf.load(CONF / "train.yaml").train]
    files = {"prior": choices("prior")}
    sys.argv[1:] = rewrite(sys.argv[1:], text=TEXT, groups=(), lists=("data.prompts",), files=files, known=SETTINGS, inner=inner)
    _hydra_main()


if __name__ == "__main__":
    sys.exit(main())
