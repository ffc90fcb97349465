"""The frozen prior: a pretrained text-to-image model, loaded once and never changed."""

from moa.prior.load import find_model, load_prior
from moa.prior.prior import Prior, TextCondition

__all__ = ["Prior", "TextCondition", "find_model", "load_prior"]
