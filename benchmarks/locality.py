"""How much of the context drift is the router's: drift as the router learned it, and with every expert confined by hand to the prior's own person.

    python benchmarks/locality.py [adapter] [people]

Confined, no pixel outside that person is an expert's in any layer; what still changes there is the prior's own answer to another person
in the middle of its picture (convolutions, its self-attention, the autoencoder). Routing can hardly get below that.
"""

import sys
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from moa import MoAPipeline
from moa.evaluation.context import drifts
from moa.evaluation.painters import PipelinePainter, as_array
from moa.evaluation.protocol import Case, single_cases
from moa.evaluation.reader import Reader
from moa.places import find_model

STEPS, GUIDANCE, BATCH = 20, 3.0, 16


def confined(pipe: MoAPipeline, cases: Sequence[Case], masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The pictures of the cases with each subject's expert held inside its mask."""
    pictures = []
    for start in range(0, len(cases), BATCH):
        chosen = cases[start : start + BATCH]
        names = [f"p{number}" for number in range(len(chosen))]
        regions = {name: Image.fromarray(np.uint8(255 * mask)) for name, mask in zip(names, masks[start : start + BATCH], strict=True)}
        answer = pipe(
            [case.prompt.replace("<s1>", f"<{name}>") for name, case in zip(names, chosen, strict=True)],
            subjects=[{name: case.parts[0].reference()} for name, case in zip(names, chosen, strict=True)],
            routing=regions, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
            generator=[torch.Generator().manual_seed(case.seed) for case in chosen],
        )  # fmt: skip
        pictures += [as_array(image) for image in answer.images]
    return pictures


def main(adapter: str, people: int) -> None:
    """Print the mean drift of each, in per cent of the pixel range, and their ratio."""
    warnings.simplefilter("ignore", UserWarning)
    pipe = MoAPipeline.from_pretrained("models/tiny")
    pipe.load_moa(adapter, "measured")
    pipe.set_progress_bar_config(disable=True)
    reader = Reader.from_pretrained(find_model("models/reader"))
    alone = [p.image for p in PipelinePainter(pipe, False, STEPS, GUIDANCE, BATCH)(single_cases(people))]
    masks = [reading.mask for reading in reader.read(alone)]
    kept = [i for i, mask in enumerate(masks) if mask.any()]
    cases, alone, masks = ([some[i] for i in kept] for some in (single_cases(people), alone, masks))
    learned = [p.image for p in PipelinePainter(pipe, True, STEPS, GUIDANCE, BATCH)(cases)]
    means = []
    for name, drawn in (("learned", learned), ("confined", confined(pipe, cases, masks))):
        both = [(own.mask, mask) for own, mask in zip(reader.read(drawn), masks, strict=True)]
        means.append(np.nanmean(drifts(drawn, alone, both)))
        print(f"{name:9} drift {means[-1]:.2f} %")
    print(f"confined / learned {means[1] / means[0]:.2f}, {len(cases)} people, {adapter}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "models/tiny-people", int(sys.argv[2]) if len(sys.argv) > 2 else 60)
