"""Hooks at the attention of a running model, shared by what looks at it and what replaces it.

Layers are modules that call torch.nn.functional.scaled_dot_product_attention while they run:
diffusers' Wan, HunyuanVideo and CogVideoX transformers with the native attention backend, and
plain PyTorch. Calls outside of the layers, and of other threads, stay as they are.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, NamedTuple, Sequence

from ._errors import UsageError, require_torch

TEXT_PLACES = ("none", "first", "last")


class ModelKind(NamedTuple):
    """What has to be known about a transformer's class."""

    layers: tuple[str, ...]  # attention modules: attribute paths with * for an index
    text: str  # where text tokens stand in the joint sequence: "none", "first" or "last"
    guidance: str  # "calls": cond, then uncond; "batch": uncond, cond in one batch; "none"
    frames: int = 2  # axis of the latent frames in the forward's first argument; rows, columns last


KINDS: dict[str, ModelKind] = {
    "WanTransformer3DModel": ModelKind(("blocks.*.attn1",), "none", "calls"),
    "CogVideoXTransformer3DModel": ModelKind(("transformer_blocks.*.attn1",), "first", "batch", 1),
    "HunyuanVideoTransformer3DModel": ModelKind(
        ("transformer_blocks.*.attn", "single_transformer_blocks.*.attn"), "last", "none"
    ),
}


def kind_of(model: Any, layers: Sequence[Any] | None) -> ModelKind:
    """The row of the model's class; one that says nothing where the layers are given.

    Raises UsageError for a class that is not in KINDS and no layers.
    """
    kind = KINDS.get(type(model).__name__)
    if kind is None and layers is None:
        raise UsageError(
            f"model: {type(model).__name__} is none of {', '.join(KINDS)}; give layers=, its "
            "attention modules in order"
        )
    return kind or ModelKind((), "none", "none")


def require_text_place(text: str) -> str:
    if text not in TEXT_PLACES:
        raise UsageError(f"text: {text!r} is not known; give none, first or last")
    return text


def find_layers(model: Any, paths: Sequence[str]) -> list[Any]:
    """Modules at paths with one * each, by ascending index; path after path."""
    found = []
    for path in paths:
        before, after = path.split(".*.")
        for block in getattr(model, before):
            found.append(getattr(block, after))
    return found


class Call(NamedTuple):
    """One call of attention inside a layer."""

    layer: int
    number: int  # of the call in this forward of the layer, from 0
    query: Any
    key: Any
    value: Any
    rest: dict[str, Any]  # the other arguments by name
    original: Callable[..., Any]  # what would have computed it

    def unchanged(self) -> Any:
        return self.original(self.query, self.key, self.value, **self.rest)


_POSITIONAL = ("attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")


class AttentionHooks:
    """Hands every attention call of the layers to `on_call` while installed.

    on_call: Call -> the output. on_leave: layer, number of calls; a layer's forward has ended, not
    by an exception.
    """

    def __init__(
        self,
        layers: Sequence[Any],
        on_call: Callable[[Call], Any],
        on_leave: Callable[[int, int], None],
    ):
        self._layers = list(layers)
        self._on_call = on_call
        self._on_leave = on_leave
        self._handles: list[Any] = []
        self._here = threading.local()

    def install(self) -> None:
        for number, layer in enumerate(self._layers):
            self._handles.append(layer.register_forward_pre_hook(self._entering(number)))
            self._handles.append(layer.register_forward_hook(self._leaving, always_call=True))
        _Patch.add(self)

    def remove(self) -> None:
        """Everything as before; a second time does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._here = threading.local()
        _Patch.take_out(self)

    def inside(self) -> bool:
        """A layer of these is at work in this thread."""
        return getattr(self._here, "layer", None) is not None

    def handle(self, original: Callable[..., Any], query: Any, key: Any, value: Any,
               rest: dict[str, Any]) -> Any:  # fmt: skip
        number, self._here.calls = self._here.calls, self._here.calls + 1
        return self._on_call(Call(self._here.layer, number, query, key, value, rest, original))

    def _entering(self, number: int) -> Callable[..., None]:
        def enter(*_: Any) -> None:
            self._here.layer, self._here.calls = number, 0

        return enter

    def _leaving(self, _: Any, __: Any, output: Any) -> None:
        layer, self._here.layer = getattr(self._here, "layer", None), None
        if layer is not None and output is not None:  # None: an exception is on its way
            self._on_leave(layer, self._here.calls)


class _Patch:
    """PyTorch's function while any hooks are installed; hooks installed later are asked first."""

    current: _Patch | None = None

    def __init__(self) -> None:
        self._functional = require_torch("a hooked model").nn.functional
        self._original = self._functional.scaled_dot_product_attention
        self._hooks: list[AttentionHooks] = []

        def scaled_dot_product_attention(
            query: Any, key: Any, value: Any, *args: Any, **named: Any
        ) -> Any:
            rest = dict(zip(_POSITIONAL, args)) | named
            return self._call(len(self._hooks), query, key, value, **rest)

        self._function = scaled_dot_product_attention
        self._functional.scaled_dot_product_attention = scaled_dot_product_attention

    def _call(self, before: int, query: Any, key: Any, value: Any, **rest: Any) -> Any:
        for place in reversed(range(before)):
            hooks = self._hooks[place]
            if hooks.inside():

                def next_one(q: Any, k: Any, v: Any, place: int = place, **others: Any) -> Any:
                    return self._call(place, q, k, v, **others)

                return hooks.handle(next_one, query, key, value, rest)
        return self._original(query, key, value, **rest)

    @classmethod
    def add(cls, hooks: AttentionHooks) -> None:
        if cls.current is None:
            cls.current = cls()
        cls.current._hooks.append(hooks)

    @classmethod
    def take_out(cls, hooks: AttentionHooks) -> None:
        patch = cls.current
        if patch is None or hooks not in patch._hooks:
            return
        patch._hooks.remove(hooks)
        if patch._hooks:
            return
        functional = patch._functional
        if functional.scaled_dot_product_attention is patch._function:
            functional.scaled_dot_product_attention = patch._original
        cls.current = None
