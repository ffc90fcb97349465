"""A subject as the experts know it: features of its pictures by a frozen image encoder. Reusable, saveable."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from moa.values import number


@dataclass(frozen=True, slots=True)
class SubjectEmbedding:
    """Patch features (p n d) of p pictures by the encoder named `encoder`, the class noun (None: the adapter's own)
    and the adapter that draws it (None: the only one loaded, or the one of that noun).
    """

    features: Float[Tensor, "p n d"]
    encoder: str
    noun: str | None = None
    adapter: str | None = None

    def morph(self, other: "SubjectEmbedding", share: float) -> "SubjectEmbedding":
        """Somebody between this subject (share 0, exactly) and the other (1): interpolated image features (2404.11565, section 4).

        Linear, each picture with the other's of the same number (our choice). The noun and the adapter are this subject's.
        Errors: ValueError for another encoder, other numbers of pictures or another adapter, and a share outside 0..1.
        """
        number("share", share, 0, 1)
        if not isinstance(other, SubjectEmbedding):
            raise ValueError(f"A subject cannot turn into a {type(other).__name__}; encode its picture first, with encode_subject.")
        if self.encoder != other.encoder or self.features.shape[1:] != other.features.shape[1:]:
            raise ValueError(
                f"One subject was encoded by {self.encoder!r} {tuple(self.features.shape[1:])}, the other by "
                f"{other.encoder!r} {tuple(other.features.shape[1:])}; encode both with the same pipeline."
            )
        if len(self.features) != len(other.features):
            raise ValueError(
                f"One subject has {len(self.features)} pictures, the other {len(other.features)}; give both the same number, one each for a start."
            )
        if self.adapter != other.adapter:
            raise ValueError(
                f"One subject is drawn by the adapter {self.adapter!r}, the other by {other.adapter!r}; encode both for the same one."
            )
        return replace(self, features=torch.lerp(self.features, other.features.to(self.features), share))

    def save(self, path: str | Path) -> None:
        """Write one safetensors file that `load` reads back."""
        meta = {"encoder": self.encoder, "noun": json.dumps(self.noun), "adapter": json.dumps(self.adapter), "format_version": "1"}
        Path(path).write_bytes(save({"features": self.features.detach().cpu().contiguous()}, metadata=meta))

    @staticmethod
    def load(path: str | Path) -> "SubjectEmbedding":
        """Read what `save` wrote.

        Errors: ValueError for a file that is no subject embedding.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                meta = file.metadata() or {}
                noun, adapter = json.loads(meta["noun"]), json.loads(meta["adapter"])
                return SubjectEmbedding(file.get_tensor("features"), meta["encoder"], noun, adapter)
        except Exception as error:
            raise ValueError(f"{str(path)!r} is no subject embedding ({error}); give a file written by SubjectEmbedding.save.") from error
