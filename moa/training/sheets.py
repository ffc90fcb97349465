"""Contact sheets: many pictures in one PNG."""

from pathlib import Path

import numpy as np
from einops import rearrange
from PIL import Image
from torch import Tensor


def save_sheet(path: Path, images: Tensor, columns: int) -> None:
    """Writes pictures in [0, 1], `(b c h w)` with b a multiple of `columns`, row by row."""
    grid = rearrange(images, "(r s) c h w -> (r h) (s w) c", s=columns)
    pixels = (grid.clamp(0, 1) * 255).round().byte().cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
