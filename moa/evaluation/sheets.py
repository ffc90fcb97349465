"""Pictures for people to look at: maps laid over pictures, and images inside a web page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from moa.pipelines.overlay import spotlight


def overlay(image: UInt8[np.ndarray, "h w 3"], maps: Sequence[Float[np.ndarray, "h2 w2"]]) -> UInt8[np.ndarray, "h w 3"]:
    """A picture with its routing over it, as the pipeline's own overlays show it."""
    return np.asarray(spotlight(Image.fromarray(image), maps, line=1.5))


def data_uri(image: UInt8[np.ndarray, "h w 3"] | Image.Image) -> str:
    """A picture as the source of an <img>, without loss."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
