"""What every expert wraps, and is: something that answers like the prior's own UNet."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Denoiser(Protocol):
    """The call of `diffusers.UNet2DConditionModel`: same signature, same prediction type, so stock pipelines run it.

    `sample` is (b c h w), `timestep` one number or (b), `encoder_hidden_states` (b l d). The answer is an output with
    `.sample` (b c h w), or a tuple of it where `return_dict` is false.
    """

    def __call__(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        class_labels: Tensor | None = None,
        timestep_cond: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        added_cond_kwargs: dict[str, Tensor] | None = None,
        down_block_additional_residuals: tuple[Tensor, ...] | None = None,
        mid_block_additional_residual: Tensor | None = None,
        down_intrablock_additional_residuals: tuple[Tensor, ...] | None = None,
        encoder_attention_mask: Tensor | None = None,
        return_dict: bool = True,
    ) -> Any: ...


@runtime_checkable
class Expert(Protocol):
    """An expert sits in or around a Denoiser and leaves without a trace."""

    def remove(self) -> None:
        """Put back what was there before, bit for bit; a second call does nothing."""
