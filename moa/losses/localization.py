"""Object localisation: a subject's word looks at the subject's pixels. Both published forms, and one that only tells subjects apart."""

from jaxtyping import Float
from torch import Tensor

EPS = 1e-6
TINY = 1e-30  # of attention: far below anything a softmax gives


def object_loss(attention: Float[Tensor, "*b s h w"], mask: Float[Tensor, "*b s h w"]) -> Float[Tensor, "*b s"]:
    """|| (1 - M_s) A_s ||^2 a pixel, A_s the cross-attention at subject s's token.

    The form believed to be the paper's (2404.11565, section 3); it could not be checked.
    """
    return ((1 - mask) * attention).square().mean(dim=(-2, -1))


def balanced_localization(attention: Float[Tensor, "*b s h w"], mask: Float[Tensor, "*b s h w"]) -> Float[Tensor, "*b s"]:
    """mean_background(A_s) - mean_foreground(A_s), FastComposer's form (2305.10431, section 4.3)."""
    outside = 1 - mask
    background = (attention * outside).sum(dim=(-2, -1)) / outside.sum(dim=(-2, -1)).clamp(min=EPS)
    return background - (attention * mask).sum(dim=(-2, -1)) / mask.sum(dim=(-2, -1)).clamp(min=EPS)


def exclusive_localization(attention: Float[Tensor, "*b s h w"], mask: Float[Tensor, "*b s h w"]) -> Float[Tensor, "*b s"]:
    """-log(A_s / sum of all subjects' A) averaged over M_s: whose word a subject's pixels look at, however little they look (our choice).

    Zero for a subject alone in its picture; log 2 for two subjects that cannot be told apart. Looking less lowers nothing.
    """
    seen = attention.clamp(min=TINY)
    surprise = (seen.sum(dim=-3, keepdim=True).log() - seen.log()) * mask
    return surprise.sum(dim=(-2, -1)) / mask.sum(dim=(-2, -1)).clamp(min=EPS)
