"""The error of one layer's output against its own FP32 attention."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, NamedTuple

import numpy as np

from .._hooks import Call, require_torch


def rows_of(tokens: int, count: int) -> np.ndarray | None:
    """Which of the video's tokens are looked at: one from each of `count` equal stretches, the same
    in every step and layer; None: all.
    """
    if count == 0 or count >= tokens:
        return None
    edges = np.arange(count + 1) * tokens // count
    draws = np.random.Generator(np.random.Philox(key=[tokens, count])).random(count)
    return edges[:-1] + (draws * np.diff(edges)).astype(np.int64)


@contextmanager
def full_precision(device: str) -> Iterator[None]:
    """FP32 stays FP32: neither autocast nor a faster matrix product (TF32, BF16) of its own."""
    torch = require_torch("a hooked model")
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)


class HeadErrors(NamedTuple):
    error: np.ndarray  # [B, H], |o - exact| / |exact| over the rows
    sampling_error: np.ndarray  # [B, H], its standard error from looking at some rows; 0: all


def exact_rows(call: Call, rows: np.ndarray | None, video: slice) -> Any:
    """FP32 attention by PyTorch of the video's rows looked at, [B, H, rows, D], no gradients."""
    query = call.query.detach()[:, :, video]
    if rows is not None:
        query = query[:, :, rows]
    with full_precision(query.device.type):
        return call.original(
            query.float(), call.key.detach().float(), call.value.detach().float(), **call.rest
        )


def head_errors(output: Any, exact: Any, rows: np.ndarray | None, video: slice) -> HeadErrors:
    """Of each batch entry and head. A head whose exact output is 0 has error 0 where it is met.

    The standard error is that of a ratio of sums over rows, squared errors over squared norms, with
    the correction for a finite number of rows.
    """
    ours = output.detach()[:, :, video]
    tokens = ours.shape[2]
    if rows is not None:
        ours = ours[:, :, rows]
    exact = exact.double()
    wrong = ((ours.double() - exact) ** 2).sum(-1).cpu().numpy()
    right = (exact**2).sum(-1).cpu().numpy()
    total = np.maximum(right.sum(-1), np.finfo(np.float64).tiny)
    square = wrong.sum(-1) / total
    error = np.sqrt(square)
    if rows is None:
        return HeadErrors(error, np.zeros_like(error))
    n = wrong.shape[-1]
    spread = ((wrong - square[..., None] * right) ** 2).sum(-1) * n / (n - 1) * (1 - n / tokens)
    with np.errstate(divide="ignore", invalid="ignore"):
        sampling = np.sqrt(spread) / total / (2 * error)
    return HeadErrors(error, np.where(error > 0, sampling, 0.0))
