# Grid, token orders, masks and blocks, written from docs/recipes/operations.md alone.

import math

import numpy as np


class Order:
    """Positions of a T x H x W grid cut into tiles: tile after tile, row-major inside each."""

    def __init__(self, grid, tile):
        self.grid = grid
        self.tiles_per_axis, tile_of_token = tiles_of_tokens(grid, tile)
        self.token_of_position = np.argsort(tile_of_token, kind="stable")
        self.tile_of_position = tile_of_token[self.token_of_position]

    def tile_ranges(self):
        """(begin, end) in positions of every tile."""
        starts = np.flatnonzero(np.diff(self.tile_of_position, prepend=-1)).tolist()
        return list(zip(starts, starts[1:] + [len(self.tile_of_position)]))

    def tile_blocks(self, size):
        """(begin, end) of every block; none straddles two tiles, a tile's last may be short."""
        return [block for tile in self.tile_ranges() for block in cut(*tile, size)]

    def sequence_blocks(self, size):
        """(begin, end) of blocks along the sequence; only the last may be short."""
        return cut(0, len(self.token_of_position), size)


def as_given(grid):
    return Order(grid, (1, 1, 1))


def token_major(grid):
    """All frames of a place, then the next place."""
    order = as_given(grid)
    order.token_of_position = np.arange(math.prod(grid)).reshape(grid[0], -1).T.reshape(-1)
    order.tile_of_position = None
    return order


def tiles_of_tokens(grid, tile):
    """Tiles per axis, and each token's tile, row-major."""
    tiles_per_axis = [-(-g // t) for g, t in zip(grid, tile)]
    t, h, w = np.indices(grid).reshape(3, -1)  # in token order: index (t*H + h)*W + w
    coordinates = t // tile[0], h // tile[1], w // tile[2]
    return tiles_per_axis, np.ravel_multi_index(coordinates, tiles_per_axis)


def cut(begin, end, size):
    return [(start, min(start + size, end)) for start in range(begin, end, size)]


def axis_window(count, window):
    """kept[u, v] on one axis of `count` tiles: clamped border, the query in the centre."""
    half = window // 2
    u, v = np.indices((count, count))
    if count <= window:
        return np.ones((count, count), bool)
    centre = np.clip(u, half, count - 1 - half)
    return np.abs(centre - v) <= half


def window_mask(tiles_per_axis, window):
    """kept[u, v] between tiles, both in row-major order of their coordinates."""
    t, h, w = (axis_window(c, k).astype(int) for c, k in zip(tiles_per_axis, window))
    return np.kron(np.kron(t, h), w) == 1


def window_pairs(order, window):
    """kept[query, key] between positions of `order`."""
    of = order.tile_of_position
    return window_mask(order.tiles_per_axis, window)[of[:, None], of[None, :]]


def band_pairs(grid, density, first_frames):
    """kept[query, key] between positions: a band, and the first frames' positions."""
    tokens = math.prod(grid)
    width = -(-(tokens * (1 - math.sqrt(1 - density))) // 128) * 128
    query, key = np.indices((tokens, tokens))
    return (np.abs(query - key) <= width) | (key < first_frames * grid[1] * grid[2])


def partial_then_full(kept, query_block, key_block, listed):
    """Per query block the (begin, end) of its key blocks: those in partial blocks of `listed` x `listed`
    positions first, then those in full ones. A listed block that is short is partial."""
    length = len(kept)
    visits = []
    for begin, end in cut(0, length, query_block):
        listing = begin // listed * listed
        rows = kept[listing:listing + listed]
        partial, full = [], []
        for key_begin, key_end in cut(0, length, listed):
            pairs = rows[:, key_begin:key_end]
            if not pairs.any():
                continue
            is_full = pairs.size == listed * listed and pairs.all()
            (full if is_full else partial).extend(
                block for block in cut(key_begin, key_end, key_block)
                if kept[begin:end, slice(*block)].any())
        visits.append(partial + full)
    return visits
