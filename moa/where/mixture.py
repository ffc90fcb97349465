"""The MoA layer: attention as a mixture of the frozen prior and personalised experts (2404.11565, section 3).

`Z = Z_0 + sum_e r_e (Z_e - Z_0)`, `r = softmax([0, g_1(x), ..., g_E(x)])` per pixel: exactly the prior where r is 0.
"""

from functools import cache

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from moa.where.attention import attend, attend_and_show, mix, place, resize, room_for, spread, take, token_bias
from moa.where.context import ExpertContext, MoAContext, grid_of
from moa.where.router import blend, override


class MixtureOfAttention:
    """Mixed in before an attention class by `mount`; adds children `personal` and `router`, one of each per adapter.

    Without a context, or with no expert of this layer in it, `forward` is the prior's, untouched.
    """

    personal: nn.ModuleDict
    router: nn.ModuleDict
    site: str

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | tuple | None = None,
        attention_mask: Tensor | None = None,
        moa: MoAContext | None = None,
        **cross_attention_kwargs,
    ) -> Tensor:
        """As `Attention.forward`; `moa` is the context that `Mounted` hands down through the UNet."""
        experts = [] if moa is None else [e for e in moa.experts if e.name in self.personal]
        if not experts:
            return super().forward(hidden_states, encoder_hidden_states, attention_mask, **cross_attention_kwargs)
        if hidden_states.ndim == 4:
            flat = rearrange(hidden_states, "b c h w -> b (h w) c")
            flat = self.forward(flat, encoder_hidden_states, attention_mask, moa, **cross_attention_kwargs)
            return rearrange(flat, "b (h w) c -> b c h w", h=hidden_states.shape[2])
        if is_plain(self):
            return self._fused(hidden_states, encoder_hidden_states, attention_mask, moa, experts)
        prior = super().forward(hidden_states, encoder_hidden_states, attention_mask, **cross_attention_kwargs)
        return self._beside(prior, hidden_states, encoder_hidden_states, attention_mask, moa, experts)

    def _fused(self, x: Tensor, text: Tensor | None, mask: Tensor | None, moa: MoAContext, experts: list) -> Tensor:
        """Stock attention: the experts reuse the prior's projections of the pixels and of the prompt."""
        q = self.to_q(x)
        k, v = self._prior_keys_values(x if text is None else text, text is not None, moa)
        mask = self._mask(mask, k.shape[1], x.shape[0])
        prior = attend(q, k, v, self.heads, self.scale, mask)
        early = all(self.personal[e.name].out_delta is None for e in experts)
        prior = prior if early else self.to_out[0](prior)
        answers = []
        for expert in experts:
            heads = self._heads(expert, moa, *take((x, text, q, k, v, mask), moa.first, expert.rows))
            answers.append(heads if early else self._project_out(expert, heads))
        mixed = mix(prior, answers, moa.first, [e.rows for e in experts], self._shares(x, moa, experts))
        return self.to_out[1](self.to_out[0](mixed) if early else mixed)

    def _beside(self, prior: Tensor, x: Tensor, text, mask: Tensor | None, moa: MoAContext, experts: list) -> Tensor:
        """Any other processor (IP-Adapter, xformers, sliced, fused): its answer is the prior's, the experts run beside it.

        What an IP-Adapter adds to the prior's answer it adds to the experts' too, as a LoRA does: they differ by what they learned alone.
        """
        shown, text = isinstance(text, tuple), text[0] if isinstance(text, tuple) else text
        mask = self._mask(mask, (x if text is None else text).shape[1], x.shape[0])
        answers = []
        for expert in experts:
            pixels, prompt, own_mask = take((x, text, mask), moa.first, expert.rows)
            source = pixels if prompt is None else prompt
            q, k, v = self.to_q(pixels), self.to_k(source), self.to_v(source)
            answer = self._finish(self._project_out(expert, self._heads(expert, moa, pixels, prompt, q, k, v, own_mask)), pixels)
            if shown and prompt is not None:
                words = self._finish(self.to_out[0](attend(q, k, v, self.heads, self.scale, own_mask)), pixels)
                answer = answer + take((prior,), moa.first, expert.rows)[0] - words
            answers.append(answer)
        return mix(prior, answers, moa.first, [e.rows for e in experts], self._shares(x, moa, experts))

    def _prior_keys_values(self, source: Tensor, is_prompt: bool, moa: MoAContext) -> tuple[Tensor, Tensor]:
        """The prior's keys and values, (b l kd) each; those of a prompt are projected once per sampling run."""
        if not is_prompt:
            return self.to_k(source), self.to_v(source)
        return moa.once(("prompt", self.site), lambda: (self.to_k(source), self.to_v(source)))

    def _heads(self, expert: ExpertContext, moa: MoAContext, x, text, q, k, v, mask) -> Float[Tensor, "r n kd"]:
        """The expert's attention before its output projection; q, k and v are the prior's for the same rows."""
        branch, grid = self.personal[expert.name], grid_of(x.shape[1], moa.size)
        q = q + branch.q_delta(x)
        if branch.q_place is not None:
            q = q + moa.once(("places", self.site, expert.name, *grid), lambda: branch.place(grid, x))
        if text is None:
            return attend(q, k + branch.k_delta(x), v + branch.v_delta(x), self.heads, self.scale, mask)
        k, v = self._subject_keys_values(expert, moa, text, k, v)
        bias = moa.once(("bias", expert.name, *grid), lambda: token_bias(expert, text.shape[1], grid, q.dtype))
        if mask is not None:
            mask = F.pad(mask, (0, expert.length - text.shape[1]))
            bias = mask.to(q.dtype) if bias is None else mask.to(q.dtype) + bias
        if moa.trace is None or self.site not in moa.trace.attention_sites:
            return attend(q, k, v, self.heads, self.scale, bias)
        heads, shown = attend_and_show(q, k, v, self.heads, self.scale, bias)
        index = expert.position.unsqueeze(-1).expand(-1, -1, shown.shape[1])
        shown = rearrange(F.pad(shown, (0, 1)), "r n l -> r l n").gather(1, index)
        moa.trace.attention.setdefault((self.site, expert.name), shown)
        return heads

    def _subject_keys_values(self, expert: ExpertContext, moa: MoAContext, text, k, v) -> tuple[Tensor, Tensor]:
        """Keys and values of the multimodal prompt, (r l2 kd): the plain prompt's, with the subjects' in their places.

        While sampling, the prompt's are projected once and the subjects' once for all steps. The fusion learns what a subject is
        through the values alone (our choice): a loss on where words look would otherwise silence the pictures before they are of use.
        """
        branch = self.personal[expert.name]

        def project() -> tuple[Tensor, ...]:
            tokens = expert.tokens[:, expert.layer[self.site]].to(text.dtype)
            still = tokens.detach()
            return (
                room_for(k + branch.k_delta(text), expert.length),
                room_for(v + branch.v_delta(text), expert.length),
                self.to_k(still) + branch.k_delta(still),
                self.to_v(tokens) + branch.v_delta(tokens),
            )

        k_text, v_text, k_tokens, v_tokens = moa.once(("prompt", self.site, expert.name), project)
        k = place(k_text, k_tokens[expert.step], expert.position)
        return k, place(v_text, v_tokens[expert.step], expert.position)

    def _project_out(self, expert: ExpertContext, heads: Tensor) -> Tensor:
        delta = self.personal[expert.name].out_delta
        out = self.to_out[0](heads)
        return out if delta is None else out + delta(heads)

    def _finish(self, answer: Tensor, pixels: Tensor) -> Tensor:
        """What diffusers does to an answer after its output projection."""
        answer = self.to_out[1](answer)
        return (answer + pixels if self.residual_connection else answer) / self.rescale_output_factor

    def _mask(self, mask: Tensor | None, keys: int, batch: int) -> Float[Tensor, "b k n l"] | None:
        if mask is None:
            return None
        return rearrange(self.prepare_attention_mask(mask, keys, batch), "(b k) n l -> b k n l", k=self.heads)

    def _logits(self, x: Tensor, expert: ExpertContext, grid: tuple[int, int], moa: MoAContext) -> Float[Tensor, "s n"]:
        """The router's logits, and -inf on rows where the expert has nothing to draw."""
        pixels, timestep = take((x, moa.timestep), moa.first, expert.rows)
        logits = self.router[expert.name](pixels, grid, timestep)
        return spread(logits, expert.rows, len(x) - moa.first, float("-inf"))

    def _shares(self, x: Tensor, moa: MoAContext, experts: list[ExpertContext]) -> Float[Tensor, "s n experts"]:
        """Each expert's weight per pixel, float32, on the rows from `moa.first` on; the prior has the rest."""
        grid = grid_of(x.shape[1], moa.size)
        with torch.autocast(x.device.type, enabled=False):
            logits = torch.stack([self._logits(x, e, grid, moa) for e in experts], dim=-1)
        shares = blend(logits, hard=[self.router[e.name].hard for e in experts])
        if any(e.drawn is not None for e in experts):
            drawn = moa.once(("drawn", *(e.name for e in experts), *grid), lambda: lay_drawn(experts, shares, grid))
            shares = override(shares, *drawn)
        if any(e.scale != 1 for e in experts):
            shares = torch.stack([share * e.scale for share, e in zip(shares.unbind(-1), experts, strict=True)], dim=-1)
        if moa.trace is not None:
            columns = dict(zip([e.name for e in experts], shares.unbind(-1), strict=True))
            nothing = torch.zeros_like(shares[..., 0])
            shown = [1 - shares.sum(-1), *(columns.get(e.name, nothing) for e in moa.experts)]
            moa.trace.weights.setdefault(self.site, torch.stack(shown, dim=-1))
        return shares


def lay_drawn(experts: list[ExpertContext], like: Float[Tensor, "s n experts"], grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Of each expert at a layer's grid, for `override`: the regions drawn for it (s n experts), and where its map still holds outside (s experts)."""
    drawn, undrawn = torch.zeros_like(like), like.new_ones(len(like), len(experts))
    for index, e in enumerate(experts):
        if e.drawn is not None:
            rows = slice(None) if e.rows is None else e.rows
            drawn[rows, :, index] = resize(e.drawn.unsqueeze(1), grid).squeeze(1)
            undrawn[rows, index] = e.undrawn
    return drawn, undrawn


def is_plain(attention: Attention) -> bool:
    """Whether the layer runs diffusers' stock SDPA processor, whose arithmetic the fused path repeats step for step."""
    return type(attention.processor) is AttnProcessor2_0 and not attention.residual_connection and attention.rescale_output_factor == 1


@cache
def mixture_class(base: type[Attention]) -> type[Attention]:
    """`base` as a mixture: our mixin, then the class itself, so that nothing else about the module changes."""
    return type(f"MixtureOf{base.__name__}", (MixtureOfAttention, base), {"__module__": base.__module__})
