"""Families of priors: what differs between them, one file each."""

from moa.prior.families import sd, sdxl

# stock pipeline class in model_index.json -> the family's file
FAMILIES = {"StableDiffusionPipeline": sd, "StableDiffusionXLPipeline": sdxl}
