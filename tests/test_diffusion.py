"""The arithmetic of diffusion against diffusers' own schedulers."""

import pytest
import torch
from diffusers import DDIMScheduler

from moa import diffusion


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(4, 3, 5, 5, generator=generator) for _ in range(2))
    scheduler = DDIMScheduler(prediction_type="v_prediction")
    times = torch.tensor([1, 250, 700, 990])
    return x0, noise, scheduler, times, scheduler.alphas_cumprod[times]


def test_noising_and_velocity_are_diffusers(case):
    x0, noise, scheduler, times, alpha_bar = case
    torch.testing.assert_close(diffusion.add_noise(x0, noise, alpha_bar), scheduler.add_noise(x0, noise, times))
    torch.testing.assert_close(diffusion.target("v_prediction", x0, noise, alpha_bar), scheduler.get_velocity(x0, noise, times))


@pytest.mark.parametrize("kind", diffusion.PREDICTION_TYPES)
def test_conversions_invert_the_target(case, kind):
    x0, noise, _, _, alpha_bar = case
    noisy, answer = diffusion.add_noise(x0, noise, alpha_bar), diffusion.target(kind, x0, noise, alpha_bar)
    torch.testing.assert_close(diffusion.to_x0(kind, answer, noisy, alpha_bar), x0, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(diffusion.to_noise(kind, answer, noisy, alpha_bar), noise, rtol=1e-2, atol=1e-2)


def test_noise_level_and_signal_to_noise_ratio_agree(case):
    alpha_bar = case[4]
    torch.testing.assert_close(diffusion.sigma(alpha_bar) ** -2, diffusion.snr(alpha_bar))


def test_unknown_prediction_type_is_named(case):
    x0, noise, _, _, alpha_bar = case
    with pytest.raises(ValueError, match="'flow'.*epsilon"):
        diffusion.target("flow", x0, noise, alpha_bar)
    with pytest.raises(ValueError, match="'flow'.*epsilon"):
        diffusion.to_x0("flow", x0, noise, alpha_bar)
