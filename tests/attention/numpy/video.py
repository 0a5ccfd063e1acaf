# Grid, token order, window mask and blocks, written from docs/recipes/fpsattention.md alone.

import numpy as np


class Order:
    """Positions of a T x H x W grid cut into tiles: tile after tile, row-major inside each."""

    def __init__(self, grid, tile):
        self.tiles_per_axis = [-(-g // t) for g, t in zip(grid, tile)]
        t, h, w = np.indices(grid).reshape(3, -1)  # in token order: index (t*H + h)*W + w
        coordinates = t // tile[0], h // tile[1], w // tile[2]
        tile_of_token = np.ravel_multi_index(coordinates, self.tiles_per_axis)
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
        return cut(0, len(self.tile_of_position), size)


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
