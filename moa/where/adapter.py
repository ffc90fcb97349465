"""A Mixture-of-Attention adapter: what was trained and nothing else, as safetensors and JSON."""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from moa.prompt.fusion import SubjectFusion
from moa.where.adapter_files import CONFIG, WEIGHTS, check_digest, digest, fetch, sync
from moa.where.branch import Branch
from moa.where.config import MoAConfig, short
from moa.where.router import ROUTERS, MLPRouter, Router
from moa.where.sites import Site, content_of, find_sites, select, structure_of

FULL_AT_MOST = 500_000_000


class MoAAdapter:
    """One adapter: a fusion of pictures and words, and a branch and a router for every site.

    The parts are plain references: while mounted, the UNet owns their tensors (`mounted` says so).
    """

    def __init__(self, config: MoAConfig):
        if config.router not in ROUTERS:
            raise ValueError(
                f"The adapter asks for a router {config.router!r}; known are {', '.join(ROUTERS)}. Update moa-diffusion, or train it again."
            )
        self.config, self.mounted = config, False
        layers = max(len(config.layer_numbers), 1)
        self.fusion = SubjectFusion(
            config.image_width, config.text_width, layers=layers, tokens=config.tokens,
            hidden=config.fusion_width, space_time=config.space_time, pitch=config.pitch,
        )  # fmt: skip
        self.branches: dict[str, Branch] = {}
        self.routers: dict[str, Router] = {}
        for site in config.sites:
            self.branches[site.name] = Branch(
                site.width,
                site.context_width,
                site.inner_width,
                rank=config.rank,
                share_out=config.share_out,
                position=config.position and site.cross,
            )
            self.routers[site.name] = ROUTERS[config.router](site.width, **config.router_options)

    @classmethod
    def for_unet(
        cls,
        unet: nn.Module,
        *,
        encoder: str,
        image_width: int,
        prior: str = "unnamed",
        layers: str | list[str] = "all",
        branch: str = "auto",
        rank: int = 32,
        share_out: bool = False,
        router: Callable[..., Router] = MLPRouter,
        tokens: int = 1,
        fusion_width: int = 512,
        space_time: bool = True,
        position: bool = True,
        noun: str = "person",
    ) -> "MoAAdapter":
        """A fresh adapter for a prior: with its branches at zero it answers as the prior does.

        `router` is a class of `moa.where.router`, or a partial of one with its options. `branch` "auto" is a full one where it has
        at most 500 M parameters, else a low rank (SDXL's full one has 955 M; our choice). `rank` is that of a low rank; a full one has none.
        Errors: ValueError for an unknown branch, router or layer, or a UNet with another kind of attention.
        """
        if branch not in ("auto", "full", "lowrank"):
            raise ValueError(f"branch={branch!r} is unknown; choose 'full' (the paper's), 'lowrank' (with rank=), or 'auto' (by size).")
        sites = find_sites(unet)
        own = select(sites, layers)
        if branch == "auto":
            branch = "full" if parameters_of(own) <= FULL_AT_MOST else "lowrank"
        name, options = _name_of(router)
        config = MoAConfig(
            sites=tuple(own), structure=structure_of(sites), content=content_of(unet, sites), prior=prior,
            encoder=encoder, image_width=image_width, text_width=unet.config.cross_attention_dim,
            router=name, router_options=options, rank=rank if branch == "lowrank" else None,
            share_out=share_out, tokens=tokens, fusion_width=fusion_width, space_time=space_time, position=position, noun=noun,
        )  # fmt: skip
        return cls(config)

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Every part with its name in the file."""
        yield "fusion", self.fusion
        for site in self.config.sites:
            yield f"{site.name}.personal", self.branches[site.name]
            yield f"{site.name}.router", self.routers[site.name]

    def state_dict(self) -> dict[str, Tensor]:
        """All trained tensors by name."""
        return {f"{part}.{key}": tensor for part, module in self.parts() for key, tensor in module.state_dict().items()}

    def parameters(self) -> Iterator[nn.Parameter]:
        """What trains."""
        for _, module in self.parts():
            yield from module.parameters()

    def to(self, *args, **kwargs) -> "MoAAdapter":
        """As nn.Module.to; routers and the fusion stay in float32."""
        for _, module in self.parts():
            module.to(*args, **kwargs)
        return self

    def check(self, unet: nn.Module) -> None:
        """Whether the adapter fits a prior.

        Errors: ValueError as `check_structure`; a warning for other weights of the same structure.
        """
        self.check_structure(unet)
        sites, name = find_sites(unet), unet.config.get("_name_or_path") or "unnamed"
        content = content_of(unet, sites, self.config.fingerprinted)
        if None not in (content, self.config.content) and content != self.config.content:
            warnings.warn(
                f"The adapter was trained on {self.config.prior!r} (weights {self.config.content}); this prior, {name!r}, has the same "
                f"structure but other weights ({content}). That is fine for a finetune of the same model; expect less likeness otherwise.",
                stacklevel=3,
            )

    def check_structure(self, unet: nn.Module) -> None:
        """Whether the adapter fits a prior's layers, whatever their weights, which may be none (on the meta device).

        Errors: ValueError for another structure, naming both.
        """
        sites, name = find_sites(unet), unet.config.get("_name_or_path") or "unnamed"
        structure = structure_of(sites if self.config.sites[0].heads else [replace(site, heads=0) for site in sites])
        if structure != self.config.structure:
            raise ValueError(
                f"The adapter was trained on {self.config.prior!r} (structure {self.config.structure}, "
                f"{_describe(self.config.sites)}), but this prior is {name!r} (structure {structure}, {_describe(sites)}). "
                "Load it into a prior of the same architecture, or load an adapter of this prior."
            )

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the trained tensors and a JSON with their SHA-256 into a folder; what was there stays whole until both are."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        weights, config = folder / f"{WEIGHTS}.new", folder / f"{CONFIG}.new"
        save_file(tensors, str(weights), metadata={"format": "pt"})
        libraries = ("torch", "diffusers", "transformers")
        values = asdict(self.config) | {"versions": {name: version(name) for name in libraries}, "sha256": digest(weights)}
        config.write_text(json.dumps(values, indent=1) + "\n")
        shutil.copymode(config, weights)  # safetensors writes for the owner's eyes only
        for file in (weights, config):
            sync(file)
        os.replace(weights, folder / WEIGHTS)
        os.replace(config, folder / CONFIG)
        return folder

    @classmethod
    def from_pretrained(cls, path: str | Path) -> "MoAAdapter":
        """Load an adapter from a folder or a hub id.

        Errors: ValueError naming the file for one that is missing, no adapter, damaged, or has NaN in it.
        """
        folder = fetch(path)
        source = str(folder / CONFIG)
        try:
            values = json.loads((folder / CONFIG).read_text())
        except ValueError as error:
            raise ValueError(f"{source} is damaged ({error}); fetch or train the adapter again.") from error
        if not isinstance(values, dict):
            raise ValueError(
                f"{source} is no MoA adapter config (it holds a {type(values).__name__}); give a folder written by save_pretrained."
            )
        try:
            adapter = cls(MoAConfig.from_dict(values, source))
        except (TypeError, RuntimeError) as error:
            raise ValueError(
                f"{source} describes no adapter that can be built ({short(error)}); fetch or train the adapter again."
            ) from error
        check_digest(folder / WEIGHTS, values.get("sha256"))
        try:
            tensors = load_file(str(folder / WEIGHTS))
        except Exception as error:
            raise ValueError(f"{folder / WEIGHTS} is damaged ({error}); fetch or train the adapter again.") from error
        adapter.load_state_dict(tensors, str(folder / WEIGHTS))
        return adapter

    def load_state_dict(self, tensors: dict[str, Tensor], source: str) -> None:
        """Take tensors by name, all of them and no others.

        Errors: ValueError naming `source` and the first tensor that is missing, unknown, of another shape, or not finite.
        """
        wanted = self.state_dict()
        for name in sorted(wanted.keys() ^ tensors.keys()):
            raise ValueError(
                f"{source} {'lacks' if name in wanted else 'has an unknown'} tensor {name!r}; it does not belong to its {CONFIG}."
            )
        for name, tensor in tensors.items():
            if tensor.shape != wanted[name].shape:
                raise ValueError(f"{source}: {name} is {tuple(tensor.shape)}, its {CONFIG} says {tuple(wanted[name].shape)}.")
            if not torch.isfinite(tensor).all():
                raise ValueError(
                    f"{source}: {name} has NaN or infinite values; the training that wrote it had failed. Take an earlier checkpoint."
                )
            wanted[name].copy_(tensor)

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload what `save_pretrained` writes; returns the commit's address."""
        import tempfile

        from huggingface_hub import HfApi

        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            return str(api.upload_folder(repo_id=repo_id, folder_path=str(self.save_pretrained(folder))))


def parameters_of(sites: Sequence[Site]) -> int:
    """How many weights the four projections of these layers have: those of a full branch."""
    return sum(2 * site.inner_width * (site.width + site.context_width) for site in sites)


def _name_of(router: Callable[..., Router]) -> tuple[str, dict[str, float | int]]:
    """The public name and the options of a router class or a partial of one."""
    made, options = getattr(router, "func", router), dict(getattr(router, "keywords", {}))
    for name, known in ROUTERS.items():
        if made is known:
            return name, options
    raise ValueError(f"The router {made!r} has no public name; add it to ROUTERS in moa/where/router.py (known: {', '.join(ROUTERS)}).")


def _describe(sites) -> str:
    widths, heads = (", ".join(map(str, sorted(numbers))) for numbers in ({s.width for s in sites}, {s.heads for s in sites if s.heads}))
    return f"{len(sites)} attention layers of widths {widths}" + (f" with {heads} heads" if heads else "")
