"""The embedded picture world: CC0 figures in CC0 scenes with exact captions, masks and identities."""

from moa.data.world.bank import read_bank, render_bank
from moa.data.world.captions import compose_prompt, describe_state
from moa.data.world.dataset import SubjectView, World, WorldExample
from moa.data.world.figures import Identity, State
from moa.data.world.references import render_reference
from moa.data.world.scenes import scene_names
from moa.data.world.sprites import cache_folder, sprite
from moa.data.world.subjects import CLASSES, KINDS, SPLITS, identity, labels, looks, split_of

__all__ = [
    "CLASSES",
    "KINDS",
    "SPLITS",
    "Identity",
    "State",
    "SubjectView",
    "World",
    "WorldExample",
    "cache_folder",
    "compose_prompt",
    "describe_state",
    "identity",
    "labels",
    "looks",
    "read_bank",
    "render_bank",
    "render_reference",
    "scene_names",
    "split_of",
    "sprite",
]
