"""The subject encoder that a prior brings along."""

from pathlib import Path

from moa.places import find_model
from moa.prior import Prior
from moa.prompt.encoder import OWN_ENCODER, SubjectEncoder

SUBJECT_ENCODER = "subject_encoder"  # its folder in the prior's own


def own_encoder(prior: Prior) -> SubjectEncoder:
    """The subject encoder in the prior's folder, or else the prior's own image encoder, or the one its family's papers use."""
    beside = f"{prior.name}/{SUBJECT_ENCODER}"
    if Path(find_model(beside)).is_dir():
        return SubjectEncoder.from_pretrained(beside)
    pipe = prior.pipe
    if pipe.image_encoder is None or pipe.feature_extractor is None:
        return SubjectEncoder.from_pretrained(prior.family.IMAGE_ENCODER)
    return SubjectEncoder(pipe.image_encoder.eval(), pipe.feature_extractor, name=OWN_ENCODER)
