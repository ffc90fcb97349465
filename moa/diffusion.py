"""The arithmetic of diffusion: noising and conversions between predictions. Pure functions, no schedule object.

`alpha_bar` is the cumulative product of (1 - beta) at a sample's timestep, one number a sample (Ho et al., 2006.11239, eq. 4).
"""

from jaxtyping import Float
from torch import Tensor

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")

PerSample = Float[Tensor, " b"]
Field = Float[Tensor, "b c h w"]


def _column(x: PerSample, like: Field) -> Tensor:
    return x.to(like).view(-1, *[1] * (like.ndim - 1))


def _unknown(prediction_type: str) -> ValueError:
    return ValueError(
        f"The prior predicts {prediction_type!r}, but only {', '.join(PREDICTION_TYPES)} are known; "
        "check `prediction_type` in the prior's scheduler_config.json."
    )


def add_noise(x0: Field, noise: Field, alpha_bar: PerSample) -> Field:
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps (2006.11239, eq. 4)."""
    a = _column(alpha_bar, x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * noise


def target(prediction_type: str, x0: Field, noise: Field, alpha_bar: PerSample) -> Field:
    """What a network of this prediction type should answer; v as in Salimans and Ho, 2202.00512, appendix D.

    Errors: ValueError for a prediction type other than `PREDICTION_TYPES`.
    """
    a = _column(alpha_bar, x0)
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "sample":
        return x0
    if prediction_type == "v_prediction":
        return a.sqrt() * noise - (1 - a).sqrt() * x0
    raise _unknown(prediction_type)


def to_x0(prediction_type: str, prediction: Field, x_t: Field, alpha_bar: PerSample) -> Field:
    """The clean sample a prediction stands for (2202.00512, appendix D). At abar = 0 an eps prediction has none: inf."""
    a = _column(alpha_bar, x_t)
    if prediction_type == "epsilon":
        return (x_t - (1 - a).sqrt() * prediction) / a.sqrt()
    if prediction_type == "sample":
        return prediction
    if prediction_type == "v_prediction":
        return a.sqrt() * x_t - (1 - a).sqrt() * prediction
    raise _unknown(prediction_type)


def to_noise(prediction_type: str, prediction: Field, x_t: Field, alpha_bar: PerSample) -> Field:
    """The noise a prediction stands for (2202.00512, appendix D). At abar = 1 an x0 prediction has none: inf."""
    a = _column(alpha_bar, x_t)
    if prediction_type == "epsilon":
        return prediction
    if prediction_type == "v_prediction":
        return (1 - a).sqrt() * x_t + a.sqrt() * prediction
    return (x_t - a.sqrt() * to_x0(prediction_type, prediction, x_t, alpha_bar)) / (1 - a).sqrt()


def snr(alpha_bar: PerSample) -> PerSample:
    """Signal-to-noise ratio, a power ratio: abar / (1 - abar) (Kingma et al., 2107.00630, eq. 3)."""
    return alpha_bar / (1 - alpha_bar)


def sigma(alpha_bar: PerSample) -> PerSample:
    """Noise level of the variance-exploding view, in units of the signal: sqrt((1 - abar) / abar) (2206.00364, table 1)."""
    return ((1 - alpha_bar) / alpha_bar).sqrt()
