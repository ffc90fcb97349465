# ruff: noqa: E402
"""How long a picture takes, all in, beside the prior's own: `python benchmarks/drawing.py [PICTURES]`.

The embedded model and adapter, 20 steps with guidance, on the processor. Prints the seconds from the start of the interpreter to the first
picture, then of every further one in turn with the prior's, alone and four at a time with routing overlays, and the ratios.
"""

import statistics
import sys
import time
import warnings

STARTED = time.perf_counter()

import torch

from moa import MoAPipeline
from moa.pipelines.overlay import overlay
from moa.where.presence import PresenceWarning

ALICE = "models/tiny-people/examples/ada.png"
CALL = dict(num_inference_steps=20, guidance_scale=3.0)


def timed(draw, pictures: int = 1) -> float:
    """Seconds a picture."""
    start = time.perf_counter()
    draw()
    return (time.perf_counter() - start) / pictures


def main(rounds: int = 5) -> None:
    warnings.simplefilter("ignore", PresenceWarning)
    pipe = MoAPipeline.from_pretrained("models/tiny")
    pipe.load_moa("models/tiny-people", "people")
    pipe.set_progress_bar_config(disable=True)
    alice = pipe.encode_subject(ALICE)

    def prior() -> None:
        pipe("a person by the sea", **CALL)

    def one() -> None:
        pipe("<alice> by the sea", subjects={"alice": alice}, **CALL)

    def four() -> None:
        out = pipe("<alice> by the sea", subjects={"alice": alice}, num_images_per_prompt=4, output_routing=True, **CALL)
        for image, maps in zip(out.images, out.subject_maps, strict=True):
            overlay(image, {name: found.numpy() for name, found in maps.items()})

    one()
    print(f"{time.perf_counter() - STARTED:6.2f} s  imports, load and the first picture ({torch.get_num_threads()} threads)")
    prior(), four()
    rows = [(timed(prior), timed(one), timed(four, 4)) for _ in range(rounds)]  # in turn, so that a slow minute is everybody's
    alone, with_alice, of_four = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"{alone:6.2f} s  a picture of the prior")
    print(f"{with_alice:6.2f} s  a picture with a subject, {with_alice / alone:.2f} times that")
    print(f"{of_four:6.2f} s  a picture of four at a time, with overlays, {of_four / alone:.2f} times that")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
