# Mistakes of a kernel or of a page, each with a case in which it must show.

from unittest import mock

import numpy as np

import attention
import case
import fp8
import skip
import stochastic
from case_files import full_lists, path_of, random_lists, random_mask, safetensors
from formats import F32
from sage import Sage2Sm90

TOKENS = 315  # of 5 x 9 x 7


def instead(owner, name, mistaken):
    """The function `mistaken` makes of the right one in its place."""
    return lambda: mock.patch.object(owner, name, mistaken(getattr(owner, name)))


def matrix():
    np.save(path_of("matrix", "npy"), random_mask(TOKENS, 8))
    return {"mask": path_of("matrix", "npy")}


def arrays():
    return {"mask": safetensors("arrays", **random_lists(3, 5, 9), mask=random_mask(TOKENS, 10),
                                block_size=np.array([128, 64], np.int32))}


def arrays_of_positions():
    return {**arrays(), "mask_order": "positions"}


def whole_blocks():
    return {"mask": safetensors("blocks", **full_lists(3, 5, 13), block_size=np.array([128, 64], np.int32))}


def matrices():
    return {"mask": safetensors("matrices", mask=random_mask(TOKENS, 11, 2)), "heads": 2}


def unseen(kept):
    kept[-1, :-1] = kept[:-1, -1] = False
    return kept


def one_more(given, row):
    return given["full_kv_indices"][row, :given["full_kv_num_blocks"][row] + 1]


MISTAKES = {
    "the key at the query masked": (
        instead(case, "causal_pairs", lambda right: lambda n: right(n) & ~np.eye(n, dtype=bool)),
        "flex_causal", dict),
    "the key behind the query kept": (
        instead(case, "causal_pairs", lambda right: lambda n: np.tri(n, k=1, dtype=bool)),
        "fa3_causal", dict),
    "every key kept": (
        instead(case, "causal_pairs", lambda right: lambda n: np.ones((n, n), bool)), "fps_causal", dict),
    "heads in turn": (
        instead(case.Case, "head_of", lambda right: lambda self, name, h: h % self.inputs[name].shape[1]),
        "fa3_bf16", lambda: {"heads": 4, "kv_heads": 2}),
    "text unseen by the video": (
        instead(attention, "window_mask", lambda right: lambda *order: unseen(right(*order))),
        "sta_bf16", lambda: {"text": 9}),
    "text without a scale of its own": (
        instead(fp8, "tile_groups", lambda right: lambda order, tile: (
            np.minimum(right(order, tile)[0], right(order, tile)[1] - 2), right(order, tile)[1])),
        "fpsattention", lambda: {"text": 9}),
    "ascending for descending": (
        instead(attention.Head, "keep", lambda right: lambda self, kept, *order: right(self, kept, "ascending")),
        "sta_descending", dict),
    "listed blocks of 128 for the kernel's own": (
        instead(attention, "partial_then_full", lambda right: lambda *blocks: right(*blocks[:3], 128)),
        "flex_listed_own", whole_blocks),
    "a short listed block full": (
        instead(attention, "partial_then_full", lambda right: lambda *blocks: right(*blocks[:3], 0)),
        "flex_listed_256", dict),
    "rows for columns": (
        instead(case, "given_pairs", lambda right: lambda *of: right(*of).T),
        "sta_bf16", matrix),
    "a matrix of positions": (
        instead(case, "given_pairs", lambda right: lambda given, *order: given["mask"] != 0),
        "flex_bf16", matrix),
    "lists over tokens": (
        instead(case, "given_pairs", lambda right: lambda given, order, _: right(given, order, True)),
        "flex_bf16", arrays_of_positions),
    "lists over positions": (
        instead(case, "given_pairs", lambda right: lambda given, order, _: right(given, order, False)),
        "flex_bf16", arrays),
    "full for partial": (
        instead(case, "lists", lambda right: lambda given, row: right(given, row)[::-1]),
        "fa3_bf16", arrays),
    "an entry behind the count": (
        instead(case, "lists", lambda right: lambda given, row: (right(given, row)[0], one_more(given, row))),
        "fa3_bf16", arrays),
    "full lists first": (
        instead(case, "listed_visits", lambda right: lambda given, kept, head: [
            visits[::-1] for visits in right(given, kept, head)]),
        "flex_as_listed", arrays_of_positions),
    "the other head's mask": (
        instead(case, "of_head", lambda right: lambda name, array, b, h: right(name, array, b, 1 - h)),
        "fa3_bf16", matrices),
    "one word for all rows": (
        instead(stochastic, "words", lambda right: lambda stream, n: np.tile(right(stream, 32), -(-n // 32))[:n]),
        "fps_stochastic", dict),
    "the next word": (
        instead(stochastic, "words", lambda right: lambda stream, n: right(stream, n + 1)[1:]),
        "sta_stochastic", dict),
    "small tiles computed": (
        instead(skip.SkipsByExponential, "skips", lambda right: lambda self, m, s: False),
        "skip_some_bf16", dict),
    "-inf for -5e6": (
        lambda: mock.patch.object(Sage2Sm90, "MASKED_SCORE", F32(-np.inf)), "sage2_sm90", matrix),
}
