"""Losses: pure functions of tensors (2404.11565, section 3: denoising + router + object)."""

from moa.losses.localization import balanced_localization, exclusive_localization, object_loss
from moa.losses.reconstruction import masked_mse
from moa.losses.routing import router_loss

__all__ = ["balanced_localization", "exclusive_localization", "masked_mse", "object_loss", "router_loss"]
