"""A subject as the experts know it: features of its pictures by a frozen image encoder. Reusable, saveable."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SubjectEmbedding:
    """Patch features (p n d) of p pictures by the encoder named `encoder`, the class noun (None: the adapter's own)
    and the adapter that draws it (None: the only one loaded, or the one of that noun).
    """

    features: Float[Tensor, "p n d"]
    encoder: str
    noun: str | None = None
    adapter: str | None = None

    def blend(self, other: "SubjectEmbedding", amount: float) -> "SubjectEmbedding":
        """A morph from this subject (0) to the other (1): interpolated image features (2404.11565, section 4).

        Errors: ValueError if the encoders differ.
        """
        if self.encoder != other.encoder or self.features.shape[1:] != other.features.shape[1:]:
            raise ValueError(
                f"One subject was encoded by {self.encoder!r} {tuple(self.features.shape[1:])}, the other by "
                f"{other.encoder!r} {tuple(other.features.shape[1:])}; encode both with the same pipeline."
            )
        mine, theirs = self.features.mean(0, keepdim=True), other.features.mean(0, keepdim=True)
        return replace(self, features=torch.lerp(mine, theirs.to(mine), amount))

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
            raise ValueError(
                f"{str(path)!r} is no subject embedding ({error}); give a file written by SubjectEmbedding.save."
            ) from error
