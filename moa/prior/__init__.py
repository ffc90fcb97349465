"""The frozen prior: a pretrained text-to-image model, loaded once and never changed."""

from moa.places import find_model
from moa.prior.load import load_prior, pixels_of
from moa.prior.prior import Prior, TextCondition

__all__ = ["Prior", "TextCondition", "find_model", "load_prior", "pixels_of"]
