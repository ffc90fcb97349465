"""Adapters in a pipeline: loaded, unloaded, weighed, and the subjects they read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from moa.pipelines.plan import Scale, SubjectInput, embed, with_noun
from moa.prior.load import find_model
from moa.prompt.encoder import OWN_ENCODER, SubjectEncoder
from moa.prompt.subject import SubjectEmbedding
from moa.where import MoAAdapter, Mounted, mount, remove


class MoALoaderMixin:
    """What a pipeline needs to hold adapters, in the manner of diffusers' own loader mixins."""

    _scale = Scale({})

    @property
    def moa(self) -> Mounted | None:
        """The mounted adapters, or None."""
        return getattr(self.unet, "moa", None)

    @property
    def moa_adapters(self) -> dict[str, MoAAdapter]:
        """The loaded adapters by name."""
        return {} if self.moa is None else dict(self.moa.adapters)

    @property
    def _encoders(self) -> dict[str, SubjectEncoder]:
        """The subject encoder of each adapter."""
        return {} if self.moa is None else self.moa.encoders

    def load_moa(self, adapter: str | Path | MoAAdapter, adapter_name: str = "default", *, encoder: SubjectEncoder | None = None) -> None:
        """Load an adapter (a folder, an embedded one such as "models/tiny-people", a hub id) beside those already there.

        `encoder` replaces the subject encoder that the adapter names. Errors: ValueError for a file that is no adapter or
        damaged, an adapter of another prior, a name that is taken, or an encoder of another width.
        """
        adapter = adapter if isinstance(adapter, MoAAdapter) else MoAAdapter.from_pretrained(find_model(adapter))
        encoder = encoder or self._find_encoder(adapter.config.encoder)
        if encoder.width != adapter.config.image_width:
            raise ValueError(
                f"The adapter {adapter_name!r} reads {adapter.config.encoder!r} features of width {adapter.config.image_width}, the subject "
                f"encoder {encoder.name!r} gives {encoder.width}; load the prior it was trained with, or pass encoder=."
            )
        with self._without_offload():
            mount(self.unet, adapter, adapter_name)
            adapter.to(self.unet.device, self.unet.dtype)
        self._encoders[adapter_name] = encoder

    def unload_moa(self, adapter_name: str | None = None) -> None:
        """Take one adapter, or all, out again: the UNet is then the original, bit for bit. A second call does nothing."""
        if self.moa is not None:
            with self._without_offload():
                remove(self.unet, adapter_name)

    def set_moa_scale(self, scale: float | Mapping[str, float], window: tuple[float, float] | None = None) -> None:
        """Strength of all adapters, or by adapter or subject name, 0 (the prior) to 1; `window` is the part of the run, 0 to 1.

        None for it is the whole run, or, where strengths are given by name, the window as it was.
        Errors: ValueError for a strength outside 0..1 or a window that is none.
        """
        values = dict(scale) if isinstance(scale, Mapping) else {"scale": scale}
        for name, value in values.items():
            if not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ValueError(f"set_moa_scale got {value!r} for {name!r}; give a number from 0 (the prior alone) to 1.")
        if window is None:
            window = self._scale.window if isinstance(scale, Mapping) else (0.0, 1.0)
        pair = isinstance(window, Sequence) and len(window) == 2 and all(isinstance(part, (int, float)) for part in window)
        if not pair or not 0 <= window[0] < window[1] <= 1:
            raise ValueError(f"set_moa_scale got window={window!r}; give (start, end) with 0 <= start < end <= 1, fractions of the run.")
        if isinstance(scale, Mapping):
            named = {name: float(value) for name, value in values.items()}
            self._scale = Scale({**self._scale.by_name, **named}, self._scale.overall, tuple(window))
        else:
            self._scale = Scale({}, float(scale), tuple(window))

    def encode_subject(self, image: SubjectInput, noun: str | None = None, *, adapter: str | None = None) -> SubjectEmbedding:
        """A subject from one or more pictures, reusable and saveable; `noun` is its class, `adapter` who draws it.

        Errors: ValueError without an adapter loaded, or for a picture that cannot be read.
        """
        if not self._encoders:
            raise ValueError("No adapter is loaded, so there is nothing to encode for; call load_moa first.")
        if adapter is not None and adapter not in self._encoders:
            raise ValueError(f"adapter={adapter!r} is not loaded; loaded are {', '.join(self._encoders)}.")
        encoder = self._encoders[adapter or next(iter(self._encoders))]
        return with_noun(embed(image, "given", encoder), noun, adapter)

    def _find_encoder(self, name: str) -> SubjectEncoder:
        loaded = next((encoder for encoder in self._encoders.values() if encoder.name == name), None)
        if loaded is not None:
            return loaded
        if name != OWN_ENCODER:
            return SubjectEncoder.from_pretrained(name)
        if self.image_encoder is None or self.feature_extractor is None:
            raise ValueError(
                "The adapter reads the prior's own image encoder, and this model has none; load the prior it was trained with."
            )
        return SubjectEncoder(self.image_encoder, self.feature_extractor, name=OWN_ENCODER)
