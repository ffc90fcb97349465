"""From a checked request to pictures and sheets in files."""

from moa.drawing.call import open_pipeline
from moa.drawing.pictures import draw
from moa.drawing.sheets import draw_morph, draw_showcase

__all__ = ["draw", "draw_morph", "draw_showcase", "open_pipeline"]
