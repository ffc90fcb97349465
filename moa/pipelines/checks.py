"""What of a call does not fit together, said before any work starts and without a model."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from moa.prior.load import empty_unet
from moa.prompt.placeholders import names_in
from moa.values import kind
from moa.where import MoAAdapter


def check_call(call: Mapping, prompts: list[str], subjects, known: frozenset[str], output_routing) -> None:
    """Errors that need no model: placeholders where none may be, subjects without a prompt, unknown options."""
    if output_routing not in (True, False, "full"):
        raise ValueError(f"output_routing={output_routing!r} is unknown; give True (means) or 'full' (every layer and step).")
    if output_routing and not call.get("return_dict", True):
        raise ValueError(
            f"output_routing={output_routing!r} adds maps to the answer, which return_dict=False makes a plain tuple; leave one of them out."
        )
    negative = [call.get(name) or [] for name in ("negative_prompt", "negative_prompt_2")]
    for text in chain.from_iterable([given] if isinstance(given, str) else given for given in negative):
        if names_in(text, known):
            raise ValueError(
                f"The negative prompt {text!r} holds <{names_in(text, known)[0]}>; a subject cannot be asked away. Write its noun instead."
            )
    if call.get("prompt_2") and (subjects or names_in(str(call["prompt_2"]), known)):
        raise ValueError(
            f"prompt_2={call['prompt_2']!r} cannot go with subjects, which have their places in `prompt` alone; leave prompt_2 out."
        )
    if subjects and call.get("clip_skip") is not None:
        raise ValueError(
            f"clip_skip={call['clip_skip']!r} cannot go with subjects: adapters are trained on the text encoder's last layer. Leave clip_skip out."
        )
    if not prompts and subjects:
        raise ValueError(
            "Subjects need a prompt in words that names them as <name>; they cannot go with prompt_embeds or without a prompt."
        )
    for text in prompts:
        if subjects and not text.strip():
            raise ValueError("The prompt is empty; name the subjects in it, such as '<alice> in the snow'.")
        missing = names_in(text, known)
        if missing and not subjects:
            raise ValueError(
                f"The prompt {text!r} names <{missing[0]}>, but no subjects are given. Pass subjects={{{missing[0]!r}: image}}, or write a noun."
            )


def check_fit(prior: str | Path, adapter: MoAAdapter, setting: str) -> None:
    """ValueError for an adapter of another prior, before that prior's weights are read; `setting` is where the adapter was given."""
    unet = empty_unet(prior)
    try:
        adapter.check_structure(unet)
    except ValueError as error:
        raise ValueError(f"{setting}: {error} Set {setting}= to one that was trained on it.") from None


def check_keep(keep_context, blind: Sequence[str]) -> None:
    """ValueError for `keep_context` that is no bool, or that goes by a router which cannot say where its subjects are."""
    if not isinstance(keep_context, bool):
        raise ValueError(f"keep_context={keep_context!r} is a {kind(keep_context)}; give True or False.")
    if keep_context and blind:
        raise ValueError(
            f"keep_context=True keeps what the routers leave to the prior, and the router of {blind[0]!r} weighs every pixel alike; load an adapter with another router."
        )
