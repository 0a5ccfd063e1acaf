# What a golden file's case adds to its recipe's program: text, shared heads, causal order, given
# masks and orders of visits. Written from docs/recipes/cases.md alone.

import json

import numpy as np

from formats import bf16_value
from quantise import bf16_of
from video import Grid, causal_pairs, cut, visited, window_pairs


class Case:
    def __init__(self, golden):
        recipe = json.loads(golden.attrs["recipe"])
        self.causal = recipe["mask"]["causal"] == "on"
        self.key_order, self.listed = recipe["block"]["order"], recipe["block"]["listed"]
        extents = (int(n) for n in golden.attrs["grid"].split(","))
        self.grid = Grid(extents, text=int(golden.attrs.get("text", 0)))
        self.inputs = golden["inputs"]
        self.given = golden.get("mask/given", {})
        self.lists_of_tokens = golden.attrs.get("mask_order", "positions") == "tokens"

    def head(self, program, b, h):
        """The program of one head."""
        inputs = [self.inputs[name][b, self.head_of(name, h)] for name in ("q", "k", "v")]
        assert all(x.dtype == np.uint16 for x in inputs), "generated workloads are BF16"
        more = [self.largest_of_all()] if getattr(program, "OF_ALL_HEADS", False) else []
        head = program(self.grid, *map(bf16_value, inputs), bf16_of, *more)
        own_order = head.KEY_ORDER, head.LISTED
        if self.given or self.causal or own_order != (self.key_order, self.listed):
            self.edit_mask(head, {name: of_head(name, array, b, h) for name, array in self.given.items()})
        return head

    def head_of(self, name, h):
        """The head of operand `name` that head h of Q multiplies."""
        return h // (self.inputs["q"].shape[1] // self.inputs[name].shape[1])

    def largest_of_all(self):
        """Of q, k and v over all batch entries and heads."""
        return [np.abs(bf16_value(self.inputs[name][:])).max() for name in ("q", "k", "v")]

    def edit_mask(self, head, given):
        kept = given_pairs(given, head.order, self.lists_of_tokens) if given else head.pairs()
        if self.causal:
            kept = kept & causal_pairs(len(kept))
        if self.key_order == "given":
            head.kept, head.visits = kept, listed_visits(given, kept, head)
        else:
            head.keep(kept, self.key_order, self.listed)


RANKS = {"mask": 2, "window": 1, "kv_num_blocks": 1, "kv_indices": 2, "full_kv_num_blocks": 1,
         "full_kv_indices": 2}


def of_head(name, array, b, h):
    """One head's array: dimensions of batch and head may be missing or 1."""
    if name == "block_size":
        return array[:]
    array = array[:].reshape((1, 1, *array.shape)[-RANKS[name] - 2:])
    return array[b % array.shape[0], h % array.shape[1]]


def given_pairs(given, order, lists_of_tokens):
    """kept[query, key] between positions."""
    if "window" in given:
        return window_pairs(order, given["window"])
    by_position = np.ix_(order.token_of_position, order.token_of_position)
    length = len(order.token_of_position)
    kept = given["mask"] != 0 if "mask" in given else np.ones((length, length), bool)
    if "kv_num_blocks" not in given:
        return kept[by_position]
    if lists_of_tokens:
        return listed_pairs(given, kept)[by_position]
    return listed_pairs(given, kept[by_position])


def listed_pairs(given, kept):
    """What the lists leave of `kept`, rows and columns counted alike."""
    length = len(kept)
    query_size, key_size = given.get("block_size", (128, 128))
    blocks = cut(0, length, key_size)
    of_lists = np.zeros((length, length), bool)
    for row, queries in enumerate(cut(0, length, query_size)):
        partial, full = lists(given, row)
        for column in partial:
            keys = slice(*blocks[column])
            of_lists[slice(*queries), keys] = kept[slice(*queries), keys]
        for column in full:
            of_lists[slice(*queries), slice(*blocks[column])] = True
    return of_lists


def lists(given, row):
    """The listed partial and full blocks of a row."""
    def first(counts, indices):
        return given[indices][row, :given[counts][row]] if counts in given else []

    return first("kv_num_blocks", "kv_indices"), first("full_kv_num_blocks", "full_kv_indices")


def listed_visits(given, kept, head):
    """Per query block its blocks of keys, partial ones as listed, then full ones as listed."""
    blocks = head.all_key_blocks()
    return [visited(kept, queries, [blocks[i] for part in lists(given, row) for i in part])
            for row, queries in enumerate(head.query_blocks)]
