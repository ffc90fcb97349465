"""Scenes: the CC0 style "landscape" in fixed colours with a small jitter, and the words for each."""

import colorsys
import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from moa.data.world.draws import pick
from moa.data.world.sprites import rasterize, svg

LAYOUTS = 24  # different hill lines and suns of each scene
HILLS = ("dunes", "gentle", "mesa", "peak", "ridge", "rolling", "rugged", "slope")


@dataclass(frozen=True, slots=True)
class Scene:
    """Colours (sky, orb, four hills from far to near; hex) and words of a scene; the first phrase is the usual one."""

    sky: str
    orb: str
    hills: tuple[str, str, str, str]
    phrases: tuple[str, ...]
    nouns: tuple[str, ...]


def _scene(sky: str, orb: str, hills: str, phrases: str, nouns: str) -> Scene:
    return Scene(sky, orb, tuple(hills.split()), tuple(phrases.split("; ")), tuple(nouns.split("; ")))


SCENES = {
    "desert": _scene(
        "#fff1c9",
        "#ffb347",
        "#f2cf8a #e0ab5c #cf9247 #b97a35",
        "in the desert; in a sandy desert; among the dunes",
        "a desert; sandy dunes",
    ),
    "snow": _scene(
        "#e8f4ff",
        "#ffffff",
        "#ffffff #f0f6fc #dfeaf5 #c9d9ea",
        "in the snow; on a snowy hill; in a snowy landscape",
        "a snowy landscape; snow",
    ),
    "forest": _scene(
        "#d6f0e0",
        "#fff2a8",
        "#8cc084 #5fa35c #3f8446 #276436",
        "in the forest; in a green forest; in the woods",
        "a forest; the green woods",
    ),
    "night": _scene(
        "#141a3a",
        "#f5f3d0",
        "#2b3163 #232852 #1b1f42 #131633",
        "at night; under the moon; in the dark of night",
        "night; a landscape at night",
    ),
    "sea": _scene(
        "#c7ecff",
        "#ffe27a",
        "#7fd0ea #4bb4dc #2b93c7 #1872a8",
        "by the sea; at the seaside; in front of the blue sea",
        "the sea; the blue sea",
    ),
    "sunset": _scene(
        "#ffb38a",
        "#ff5a3c",
        "#c65b7c #9b4a7a #6f3a70 #4a2b5e",
        "at sunset; in the evening; as the sun sets",
        "a sunset; a landscape at sunset",
    ),
    "lavender": _scene(
        "#f3e8ff",
        "#ffd1ec",
        "#d9b8f5 #bd93e8 #9f6fd6 #8050bd",
        "in a lavender field; among lavender; in the lavender",
        "a lavender field; lavender",
    ),
    "volcano": _scene(
        "#3a1212",
        "#ff7a1a",
        "#7a2a1a #5c1f16 #431712 #2c0f0d",
        "by a volcano; near a volcano; on a volcano",
        "a volcano; a volcanic landscape",
    ),
    "meadow": _scene(
        "#8fd0ff",
        "#fff6b8",
        "#dcea7a #c2dc55 #a5cc3e #86b82f",
        "in a meadow; on a grassy meadow; in the grass",
        "a meadow; a grassy meadow",
    ),
    "autumn": _scene(
        "#fbe9d7",
        "#ffd166",
        "#eda53f #dd7d2c #bf5722 #93391a",
        "in autumn; in the autumn hills; among autumn leaves",
        "autumn hills; an autumn landscape",
    ),
    "blossoms": _scene(
        "#fff5f8",
        "#ffe3a3",
        "#ffc9dd #fba6c4 #f083aa #dd6691",
        "among cherry blossoms; in a field of blossoms; in spring blossoms",
        "cherry blossoms; a field of blossoms",
    ),
    "moon": _scene(
        "#08080f",
        "#5fb4f5",
        "#dcdce2 #b9b9c2 #94949f #6e6e7a",
        "on the moon; on a grey moon; in space",
        "the moon; a grey moon",
    ),
}


def scene_names() -> tuple[str, ...]:
    """The names of all scenes."""
    return tuple(SCENES)


def _jitter(rng: np.random.Generator, color: str) -> str:
    """A colour within about 2 % of the given one, in hue, saturation and value."""
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, saturation, value = colorsys.rgb_to_hsv(*channels)
    shift = rng.uniform(-1, 1, 3) * (0.012, 0.04, 0.025)
    rgb = colorsys.hsv_to_rgb((hue + shift[0]) % 1, *np.clip((saturation + shift[1] * saturation, value + shift[2]), 0, 1))
    return "#" + "".join(f"{round(255 * c):02x}" for c in rgb)


def _options(name: str, layout: int) -> dict[str, str | int]:
    scene, rng = SCENES[name], np.random.default_rng([20242, scene_names().index(name), layout])
    options: dict[str, str | int] = {
        "seed": f"{name} {layout}",  # the style shifts hills and orb by its own hash of this word
        "backgroundColor": _jitter(rng, scene.sky),
        "orbColor": _jitter(rng, scene.orb),
        "orbVariant": pick(rng, ("sun", "ring", "glow")) if name in ("sunset", "meadow", "autumn") else "sun",
        "orbProbability": 100 if name in ("night", "sunset", "moon") or rng.random() < 0.85 else 0,
    }
    for i, color in enumerate(scene.hills, 1):
        options |= {
            f"hill{i}Color": _jitter(rng, color),
            f"hill{i}Variant": pick(rng, HILLS),
        }
    return options


@lru_cache(maxsize=512)
def scene_layout(name: str, layout: int, size: int) -> UInt8[np.ndarray, "h w 3"]:
    """One of the `LAYOUTS` pictures of a scene, read-only, `size` pixels a side; ValueError for an unknown scene."""
    if name not in SCENES:
        raise ValueError(f"scene is {name!r}; allowed are {', '.join(SCENES)}; pass one of these")
    png = rasterize(svg("landscape", _options(name, layout)), size)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    pixels.setflags(write=False)
    return pixels


def draw_scene(rng: np.random.Generator, name: str, size: int) -> UInt8[np.ndarray, "h w 3"]:
    """A new picture of a scene: a random layout, perhaps mirrored, light within 2.5 % of the layout's."""
    pixels = scene_layout(name, int(rng.integers(LAYOUTS)), size)
    pixels = pixels[:, ::-1] if rng.random() < 0.5 else pixels
    light = (rng.uniform(0.975, 1.025) * rng.uniform(0.99, 1.01, 3)).astype(np.float32)
    return np.clip(pixels * light + 0.5, 0, 255).astype(np.uint8)
