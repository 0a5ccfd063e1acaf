"""karat inside PyTorch: attention as an operator that autograd, torch.compile and torch.export see.

    import karat.torch
    attention = functools.partial(karat.torch.attention, recipe="fps_qat_fp8", grid=(6, 16, 16))
    layer = torch.compile(attention, fullgraph=True)

The operator is torch.ops.karat.attention; its gradient, torch.ops.karat.attention_backward, is one
too. Both compute what karat.attend() and karat.backward() do, bit for bit.
"""

from __future__ import annotations

import json
from typing import Any, Sequence

from ._arrays import torch_type
from ._attention import attend
from ._backward import backward, recipe_with_backward
from ._errors import ArrayError, require_torch
from ._heads import full_shape
from ._masks import assembled, dismantled
from ._recipe import RecipeLike, as_recipe

torch = require_torch("karat.torch")


@torch.compiler.assume_constant_result
def _setting(
    recipe: RecipeLike,
    grid: Sequence[int] | None,
    text: int,
    layout: str,
    mask: str | None,
    mask_order: str | None,
    threads: int,
    gradients: bool,
) -> str:
    """All of a call that is no tensor, in one text that a graph can hold."""
    made = recipe_with_backward(recipe)[0] if gradients else as_recipe(recipe)
    named = isinstance(recipe, str) and not recipe.endswith(".json")
    said = {
        "recipe": recipe if named else made._core.json(),
        "grid": None if grid is None else [int(n) for n in grid],
        "text": text, "layout": layout, "mask": mask, "mask_order": mask_order, "threads": threads,
    }  # fmt: skip
    return json.dumps(said)


def _options(setting: str, mask: Sequence[Any]) -> dict[str, Any]:
    """The setting as attend() and backward() take it."""
    said = json.loads(setting)
    said["recipe"] = as_recipe(said["recipe"])
    if said["mask"] is not None:
        said["mask"] = assembled(said["mask"], list(mask))
    return said


def _output_type(setting: str, q: Any) -> Any:
    """PyTorch rounds a gradient to the type of what it is a gradient of: FP8 outputs come in q's."""
    type = torch_type(as_recipe(json.loads(setting)["recipe"]).output)
    return q.dtype if type.itemsize == 1 else type


def _forward(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Sequence[torch.Tensor], setting: str
) -> tuple[torch.Tensor, torch.Tensor]:
    heads = (x.detach() for x in (q, k, v))
    o, lse = attend(*heads, return_lse=True, **_options(setting, mask))
    return o.to(_output_type(setting, q)), lse


def _backward(
    do: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    o: torch.Tensor,
    lse: torch.Tensor,
    mask: Sequence[torch.Tensor],
    setting: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    q, k, v, do, o, lse = (x.detach() for x in (q, k, v, do, o, lse))
    dq, dk, dv = backward(q, k, v, do, o=o, lse=lse, **_options(setting, mask))
    return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)


_operator = torch.library.custom_op(
    "karat::attention",
    _forward,
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor q, Tensor k, Tensor v, Tensor[] mask, str setting) -> (Tensor, Tensor)",
)
_gradient = torch.library.custom_op(
    "karat::attention_backward",
    _backward,
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor d_o, Tensor q, Tensor k, Tensor v, Tensor o, Tensor lse, Tensor[] mask, "
    "str setting) -> (Tensor, Tensor, Tensor)",
)


@_operator.register_fake
def _(q, k, v, mask, setting):  # type: ignore[no-untyped-def]
    layout = json.loads(setting)["layout"]
    batch, heads, tokens, _ = full_shape(q.shape, layout, "q")
    rows = (batch, heads, tokens)[4 - q.ndim :]
    o = q.new_empty(q.shape, dtype=_output_type(setting, q))
    return o, q.new_empty(rows, dtype=torch.float32)


@_gradient.register_fake
def _(do, q, k, v, o, lse, mask, setting):  # type: ignore[no-untyped-def]
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _keep(ctx, inputs, output):  # type: ignore[no-untyped-def]
    q, k, v, mask, ctx.setting = inputs
    o, lse = output
    ctx.mark_non_differentiable(lse)
    ctx.save_for_backward(q, k, v, o, lse, *mask)


def _differentiate(ctx, do, _):  # type: ignore[no-untyped-def]
    q, k, v, o, lse, *mask = ctx.saved_tensors
    gradients = _gradient(do, q, k, v, o, lse, mask, ctx.setting)
    return (*gradients, [None] * len(mask), None)


_operator.register_autograd(_differentiate, setup_context=_keep)


def attention(
    q: Any,
    k: Any,
    v: Any,
    *,
    recipe: RecipeLike = "fps_qat_fp8",
    grid: Sequence[int] | None = None,
    text: int = 0,
    layout: str = "BHSD",
    mask: Any = None,
    mask_order: str | None = None,
    threads: int = 0,
) -> Any:
    """Attention that a model can be compiled with and trained through: forward attend(), backward
    backward(), bit for bit, on CPU tensors.

    Arguments as for attend(); q, k and v are PyTorch tensors, any of which may require a gradient:
    then the recipe needs a backward. Gradients come in the tensors' own types: exact where those
    hold the recipe's backward.output, else rounded by PyTorch. An FP8 output comes in q's type,
    exactly: PyTorch would round its gradient to FP8. There is no second derivative.

    Works under ``torch.compile(fullgraph=True)``; there a mask is None or booleans [S, S].
    """
    for x, name in ((q, "q"), (k, "k"), (v, "v")):
        if not isinstance(x, torch.Tensor):
            raise ArrayError(
                f"{name}: {type(x).__name__} is no PyTorch tensor; for arrays there are karat.attend "
                "and karat.backward"
            )
    facts: str | None
    if mask is None or isinstance(mask, torch.Tensor):
        facts, tensors = (None, []) if mask is None else ("pairs", [mask])
    else:
        facts, arrays = dismantled(mask)
        tensors = [torch.as_tensor(x) for x in arrays]
    gradients = torch.is_grad_enabled() and (
        q.requires_grad or k.requires_grad or v.requires_grad
    )
    setting = _setting(recipe, grid, text, layout, facts, mask_order, threads, gradients)
    return _operator(q, k, v, tensors, setting)[0]


__all__ = ["attention"]
