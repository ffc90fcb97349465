"""The arithmetic of a MoA layer, as free functions of tensors: attention, subject tokens in the prompt, the blend (2404.11565, section 3)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from moa.where.context import ExpertContext, Rows


def attend(
    q: Float[Tensor, "b n kd"], k: Float[Tensor, "b l kd"], v: Float[Tensor, "b l kd"], heads: int, scale: float, bias=None
) -> Float[Tensor, "b n kd"]:
    """Scaled dot-product attention of all heads; `bias` (b|1 k|1 n|1 l) is added to the logits."""
    if q.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
        return _attend(q, k, v, heads, scale, bias, None)[0]  # SDPA's backward in bfloat16 takes three to eight times as long there
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # b n (k d) -> b k n d, at half of einops' cost
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale).transpose(1, 2).flatten(2)


def attend_and_show(q, k, v, heads: int, scale: float, bias=None) -> tuple[Tensor, Float[Tensor, "b n l"]]:
    """`attend`, and the attention itself, averaged over heads, in float32."""
    out, probs = _attend(q, k, v, heads, scale, bias, torch.float32)
    return out, probs.mean(1)


def _attend(q, k, v, heads: int, scale: float, bias, dtype: torch.dtype | None) -> tuple[Tensor, Float[Tensor, "b k n l"]]:
    """Attention in plain products and its probabilities, with a softmax in `dtype` (None: the logits' own)."""
    q, k, v = (rearrange(x, "b n (k d) -> (b k) n d", k=heads) for x in (q, k, v))
    logits = torch.baddbmm(q.new_empty(1, 1, 1), q, rearrange(k, "b l d -> b d l"), beta=0, alpha=scale)
    logits = rearrange(logits, "(b k) n l -> b k n l", k=heads)
    logits = logits if dtype is None else logits.to(dtype)
    probs = (logits if bias is None else logits + bias).softmax(-1)
    out = torch.bmm(probs.to(v.dtype).flatten(0, 1), v)
    return rearrange(out, "(b k) n d -> b n (k d)", k=heads), probs


def take(tensors: tuple[Tensor | None, ...], first: int, rows: Rows) -> tuple[Tensor | None, ...]:
    """The given rows of each tensor that is there, counted from `first`."""
    if first:
        tensors = tuple(None if t is None else t[first:] for t in tensors)
    return tensors if rows is None else tuple(None if t is None else t[rows] for t in tensors)


def spread(values: Float[Tensor, "r n"], rows: Rows, count: int, fill: float) -> Float[Tensor, "s n"]:
    """Values of some of `count` rows in their places, `fill` in the others'."""
    if rows is None:
        return values
    whole = values.new_full((count, *values.shape[1:]), fill)
    whole[rows] = values
    return whole


def room_for(text: Float[Tensor, "r l d"], length: int) -> Float[Tensor, "r l2 d"]:
    """A prompt with zeros up to `length`, and one slot beyond it, where `place` puts what is to be dropped."""
    return F.pad(text, (0, 0, 0, length + 1 - text.shape[1]))


def place(roomy: Float[Tensor, "r l d"], tokens: Float[Tensor, "r m d"], position: Int[Tensor, "r m"]) -> Float[Tensor, "r l2 d"]:
    """Subject tokens at their places in a prompt that `room_for` made; a token in the last slot is dropped with it."""
    index = position.unsqueeze(-1).expand(-1, -1, roomy.shape[2])
    return roomy.scatter(1, index, tokens.to(roomy.dtype))[:, :-1]


def resize(maps: Float[Tensor, "b s h w"], grid: tuple[int, int]) -> Float[Tensor, "b s n"]:
    """Maps at a layer's grid: the share of each pixel that is covered."""
    return rearrange(F.interpolate(maps.float(), size=grid, mode="area"), "b s h w -> b s (h w)")


def token_bias(expert: ExpertContext, prompt_length: int, grid: tuple[int, int], dtype: torch.dtype) -> Float[Tensor, "r 1 n l"] | None:
    """-inf on appended slots a row does not use, and on subject tokens outside the region drawn for them."""
    if not expert.padded and expert.regions is None:
        return None
    rows, device = expert.position.shape[0], expert.position.device
    pixels = 1 if expert.regions is None else grid[0] * grid[1]
    allowed: Bool[Tensor, "r l n"] = torch.ones(rows, expert.length + 1, pixels, dtype=torch.bool, device=device)
    allowed[:, prompt_length:] = False
    inside = torch.ones(rows, expert.position.shape[1], pixels, dtype=torch.bool, device=device)
    if expert.regions is not None:
        inside = resize(expert.regions, grid) > 0.5
    index = expert.position.unsqueeze(-1).expand_as(inside)
    allowed = allowed.scatter(1, index, inside)[:, : expert.length]
    bias = torch.zeros(allowed.shape, dtype=dtype, device=device).masked_fill(~allowed, float("-inf"))
    return rearrange(bias, "r l n -> r 1 n l")


def mix(
    prior: Float[Tensor, "b n d"], answers: list[Tensor], first: int, rows: list[Rows], shares: Float[Tensor, "s n experts"]
) -> Float[Tensor, "b n d"]:
    """prior + sum_e r_e (answer_e - prior), each expert's answer (r n d) and share given for its own rows, counted from `first`."""
    mixed = prior.clone()
    changing, before, shares = mixed[first:], prior[first:], shares.to(prior.dtype)
    for index, (answer, r) in enumerate(zip(answers, rows, strict=True)):
        share = shares[..., index, None]
        if r is None:
            changing.addcmul_(share, answer - before)
        else:
            changing[r] += share[r] * (answer - before[r])
    return mixed
