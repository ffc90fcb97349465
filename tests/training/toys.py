"""Small objectives and data for the tests of the training loop."""

import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class Rows(NamedTuple):
    x: Tensor


class Ramp(Dataset):
    """Row i is a fixed random vector of width 4."""

    def __init__(self, count: int = 50) -> None:
        self.rows = torch.randn(count, 4, generator=torch.Generator().manual_seed(9))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        return self.rows[index]

    def collate(self, rows: list[Tensor]) -> Rows:
        return Rows(torch.stack(rows))


def convolution() -> nn.Sequential:
    """From rows of width 4 to rows of width 4, by a kernel that is laid out channels last."""
    kernel = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    widen = nn.Upsample(scale_factor=3)
    return nn.Sequential(nn.Unflatten(1, (4, 1, 1)), widen, kernel, nn.Flatten())


class Toy(nn.Module):
    """A frozen layer and a trained one; noise, dropout and the global generators all enter the loss when `noisy`."""

    def __init__(
        self,
        *,
        noisy: bool = True,
        break_at: int | None = None,
        pause: float = 0.0,
        kernel: bool = False,
    ) -> None:
        """`kernel` trains a convolution too, laid out channels last."""
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.prior, self.layer = nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 4)
            self.dropout = nn.Dropout(0.5)
            self.before = convolution() if kernel else nn.Identity()
        self.noisy, self.break_at, self.calls, self.pause = noisy, break_at, 0, pause
        self.exported: Tensor | None = None

    def forward(self, batch: Rows, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor | None]]:
        self.calls += 1
        time.sleep(self.pause)
        target = self.prior(batch.x)
        answer = self.layer(self.before(batch.x))
        if self.noisy:
            target = target + torch.randn(target.shape, generator=generator) + 0.1 * torch.rand(())
            answer = self.dropout(answer)
        fit = (answer - target).square().mean()
        size = answer.abs().mean()
        if self.break_at == self.calls:
            size = size / 0
        low = fit if batch.x.mean().item() < 0 else None  # what a part of the batches does not have
        return fit + 0.1 * size, {"fit": fit, "size": size, "low": low}

    def validate(self, out: Path, step: int, generator: torch.Generator) -> dict[str, float]:
        torch.rand(5)
        return {"seen": float(step), "weight": float(self.layer.weight.sum())}

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.exported = self.layer.weight.detach().clone()
