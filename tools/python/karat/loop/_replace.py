"""A recipe in the place of a model's attention."""

from __future__ import annotations

import inspect
import math
from typing import Any, NamedTuple, Sequence

from .._attention import attend
from .._backward import attention
from .._errors import UsageError
from .._hooks import (
    AttentionHooks,
    Call,
    find_layers,
    kind_of,
    require_text_place,
    require_torch,
)
from .._recipe import Recipe, as_recipe
from ._choice import selected
from ._local import full_precision

Grid = tuple[int, int, int]


class Adapter(NamedTuple):
    """What has to be known about a model that is none of diffusers' classes in KINDS.

    layers: its attention modules in order; each calls
        torch.nn.functional.scaled_dot_product_attention once a forward, under that name.
    text: where text tokens stand among the others: "none", "first" or "last".
    guidance: how a sampler calls the model: "none" once a step; "calls" twice, with the prompt and
        then without; "batch" once, the entries without the prompt before those with it.
    """

    layers: Sequence[Any]
    text: str = "none"
    guidance: str = "none"


class Fitted(NamedTuple):
    """A model with what is known about it."""

    model: Any
    layers: list[Any]
    text: str
    guidance: str
    frames: int | None  # axis of the latent frames; None where the grid cannot be read off

    def grid_of(self, arguments: dict[str, Any]) -> Grid:
        """Tokens of a forward, from its latents and the model's patches."""
        if self.frames is None:
            raise UsageError(
                f"grid: is not known for {type(self.model).__name__}; give grid=(T, H, W)"
            )
        shape, config = arguments["hidden_states"].shape, self.model.config
        patch = config.patch_size
        if not isinstance(patch, (list, tuple)):
            patch = (getattr(config, "patch_size_t", None) or 1, patch, patch)
        frames, rows, columns = shape[self.frames], shape[-2], shape[-1]
        return (frames // patch[0], rows // patch[1], columns // patch[2])


def fit(model: Any, adapter: Adapter | None, guidance: str | None) -> Fitted:
    """Raises UsageError for a class that is not known and has no adapter, and for bad fields."""
    kind = kind_of(model, adapter and adapter.layers)
    known = adapter is None
    layers = find_layers(model, kind.layers) if adapter is None else list(adapter.layers)
    if not layers:
        raise UsageError("adapter: names no layers; give the model's attention modules in order")
    for number, layer in enumerate(layers):
        if not hasattr(layer, "register_forward_pre_hook"):
            raise UsageError(
                f"adapter: layer {number} is {type(layer).__name__}, no torch.nn.Module; give the "
                "model's attention modules in order"
            )
    return Fitted(
        model, layers, require_text_place(kind.text if adapter is None else adapter.text),
        guidance or (kind.guidance if adapter is None else adapter.guidance),
        kind.frames if known else None,
    )  # fmt: skip


class Replaced(NamedTuple):
    output: Any
    video: slice  # of the sequence: where the video's tokens stand


def _refuse(call: Call, problem: str, action: str) -> UsageError:
    return UsageError(f"layer {call.layer}: {problem}; {action}, or leave the layer out (layers=)")


def _require_plain(call: Call, tokens: int, text: str) -> int:
    """The number of text tokens. Raises UsageError for what a recipe has no meaning for."""
    shape, others = tuple(call.query.shape), (tuple(call.key.shape), tuple(call.value.shape))
    if len(shape) != 4 or any(len(other) != 4 for other in others):
        raise _refuse(call, f"attention of {shape}", "give [B, H, S, D]")
    batch, heads, length, channels = shape
    for name, other in zip(("key", "value"), others):
        if other[2] != length:
            raise _refuse(
                call, f"{name} has {other[2]} tokens for {length} queries: cross attention",
                "replace self-attention only",
            )  # fmt: skip
        if other[1] != heads and not call.rest.get("enable_gqa"):
            raise _refuse(call, f"{name} has {other[1]} heads for {heads}", "pass enable_gqa=True")
    if call.rest.get("dropout_p"):
        raise _refuse(call, f"dropout_p is {call.rest['dropout_p']}", "call model.eval()")
    if call.rest.get("is_causal"):
        raise _refuse(call, "is_causal is not what video attention does", "attend to all tokens")
    scale = call.rest.get("scale")
    if scale is not None and not math.isclose(scale, channels**-0.5, rel_tol=1e-6):
        raise _refuse(
            call, f"scale {scale} is not {channels}^-1/2, which recipes apply", "scale the queries"
        )
    extra = length - tokens
    if extra < 0 or (extra > 0) != (text != "none"):
        raise _refuse(
            call, f'{length} tokens where the grid has {tokens} and text is "{text}"',
            "give this run's grid=, or text in the adapter",
        )  # fmt: skip
    return extra


def _kept_text(call: Call, tokens: int, extra: int, text: str) -> list[int] | None:
    """Tokens that take part, a batch entry; None: all. They must be the first ones.

    A mask of padding is the same for every query and head, [B or 1, 1, 1, S] booleans.
    """
    mask = call.rest.get("attn_mask")
    if mask is None:
        return None
    torch = require_torch("a hooked model")
    batch, _, length, _ = call.query.shape
    if mask.dtype != torch.bool:
        raise _refuse(call, f"attn_mask is {mask.dtype}, to be added", "give a mask of padding")
    if bool(mask.all()):
        return None
    if mask.ndim != 4 or mask.shape[1:] != (1, 1, length) or mask.shape[0] not in (1, batch):
        raise _refuse(
            call, f"attn_mask of {tuple(mask.shape)} is no mask of padding",
            f"give [B, 1, 1, {length}] booleans",
        )  # fmt: skip
    rows = mask[:, 0, 0].expand(batch, length)
    counts = rows.sum(-1)
    front = torch.arange(length, device=mask.device) < counts[:, None]
    if text != "last" or bool((rows != front).any()) or int(counts.min()) < tokens:
        raise _refuse(
            call, "attn_mask hides other tokens than the last ones of the text", "pad text behind"
        )
    return [int(count) for count in counts]


def _computed(recipe: Recipe, q: Any, k: Any, v: Any, grid: Grid, text: int, threads: int) -> Any:
    torch = require_torch("a hooked model")
    wanted = {"recipe": recipe, "grid": grid, "text": text, "threads": threads}
    with full_precision(q.device.type):
        if torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)):
            return attention(q.cpu(), k.cpu(), v.cpu(), **wanted).to(q.device, q.dtype)
        return attend(*(x.detach().cpu() for x in (q, k, v)), **wanted).to(q.device, q.dtype)


def replaced(call: Call, recipe: Recipe, grid: Grid, text: str, threads: int = 0) -> Replaced:
    """The call's output by the recipe, in the queries' type.

    Text that stands first is put behind the video for the recipe, and back. Padded text takes no
    part; its own rows, which nothing else reads, are PyTorch's.
    Raises UsageError, naming the layer, for what a recipe has no meaning for.
    """
    torch = require_torch("a hooked model")
    if call.number > 0:
        raise _refuse(call, "calls attention twice in one forward", "give modules of one call")
    tokens = math.prod(grid)
    extra = _require_plain(call, tokens, text)
    counts = _kept_text(call, tokens, extra, text)
    q, k, v = call.query, call.key, call.value
    if text == "first":
        q, k, v = (torch.cat([x[:, :, extra:], x[:, :, :extra]], 2) for x in (q, k, v))
        o = _computed(recipe, q, k, v, grid, extra, threads)
        return Replaced(torch.cat([o[:, :, tokens:], o[:, :, :tokens]], 2), slice(extra, None))
    if counts is None:
        return Replaced(_computed(recipe, q, k, v, grid, extra, threads), slice(0, tokens))
    mask = call.rest["attn_mask"]
    entries = []
    for b, count in enumerate(counts):
        one = slice(b, b + 1)
        kept = [x[one, :, :count] for x in (q, k, v)]
        parts = [_computed(recipe, *kept, grid, count - tokens, threads)]
        if count < q.shape[2]:
            rest = call.rest | {"attn_mask": mask[one] if mask.shape[0] > 1 else mask}
            parts.append(call.original(q[one, :, count:], k[one], v[one], **rest))
        entries.append(torch.cat(parts, 2))
    return Replaced(torch.cat(entries), slice(0, tokens))


def refuse_silence(layer: int) -> UsageError:
    return UsageError(
        f"layer {layer}: did not call scaled_dot_product_attention; choose that backend "
        '(diffusers: model.set_attention_backend("native")) and do not compile the model'
    )


class ForwardWrap:
    """A model's forward seen from outside, until taken off; an exception takes it off too."""

    def __init__(self, model: Any, around: Any, on_error: Any):
        if hasattr(model.forward, "_karat_loop"):
            raise UsageError("model: is in a loop already; detach that one first")
        self._model = model
        self._own = model.__dict__.get("forward")
        inside = model.forward

        def forward(*args: Any, **named: Any) -> Any:
            try:
                return around(inside, args, named)
            except BaseException:
                on_error()
                raise

        forward.__wrapped__ = inside  # type: ignore[attr-defined]
        forward._karat_loop = True  # type: ignore[attr-defined]
        model.forward = forward

    def take_off(self) -> None:
        if self._own is None:
            del self._model.forward
        else:
            self._model.forward = self._own


class Replacement:
    """A model whose attention is a recipe's, until detach() or the end of a `with` block."""

    def __init__(self, fitted: Fitted, recipe: Recipe, layers: set[int], grid: Grid | None,
                 threads: int):  # fmt: skip
        self._fitted, self._recipe, self._layers = fitted, recipe, layers
        self._grid, self._given_grid, self._threads = grid, grid, threads
        self._hooks = AttentionHooks(fitted.layers, self._call, self._leave)
        self._wrap: ForwardWrap | None = ForwardWrap(fitted.model, self._forward, self.detach)
        self._hooks.install()

    def detach(self) -> None:
        """The model as it was; a second time does nothing."""
        if self._wrap is None:
            return
        self._hooks.remove()
        self._wrap.take_off()
        self._wrap = None

    def __enter__(self) -> Replacement:
        return self

    def __exit__(self, *_: Any) -> None:
        self.detach()

    def _forward(self, inside: Any, args: Any, named: Any) -> Any:
        if self._given_grid is None:
            self._grid = self._fitted.grid_of(arguments_of(inside, args, named))
        return inside(*args, **named)

    def _call(self, call: Call) -> Any:
        if call.layer not in self._layers:
            return call.unchanged()
        assert self._grid is not None
        return replaced(call, self._recipe, self._grid, self._fitted.text, self._threads).output

    def _leave(self, layer: int, calls: int) -> None:
        if calls == 0 and layer in self._layers:
            raise refuse_silence(layer)


def arguments_of(function: Any, args: Any, named: Any) -> dict[str, Any]:
    """A call's arguments by name, positional ones too."""
    return dict(inspect.signature(function).bind_partial(*args, **named).arguments)


def as_grid(grid: Sequence[int] | None) -> Grid | None:
    if grid is None:
        return None
    t, h, w = (int(n) for n in grid)
    return (t, h, w)


def replace(
    model: Any,
    recipe: Any,
    *,
    layers: Sequence[int] | None = None,
    adapter: Adapter | None = None,
    grid: Sequence[int] | None = None,
    threads: int = 0,
) -> Replacement:
    """Puts a recipe in the place of the model's attention, gradients included.

    model: one of diffusers' classes in karat.capture.KINDS, or any with an adapter. layers: numbers
    of those replaced; None: all. grid: (T, H, W) of the video's tokens; diffusers' classes tell it.
    Where a tensor requires a gradient the call is karat.attention, so that the recipe needs a
    backward; elsewhere karat.attend. The output has the queries' type.

    Text in the same sequence, grouped heads, batches and padded text are handled; cross attention,
    dropout, causal and additive masks are UsageErrors at the call that has them. An exception in
    the model's forward detaches.
    """
    require_torch("karat.loop")
    fitted = fit(model, adapter, None)
    wanted = selected(layers, len(fitted.layers), "layers")
    return Replacement(fitted, as_recipe(recipe), wanted, as_grid(grid), threads)
