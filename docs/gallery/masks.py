"""The mask as a matrix of tiles, and what one tile sees inside the video."""

from drawing import PICTURES

import karat

GRID = (18, 40, 48)
(PICTURES / "gallery-mask.svg").write_text(karat.mask_picture("fpsattention", GRID))
(PICTURES / "gallery-window.svg").write_text(
    karat.mask_picture("fpsattention", GRID, query_tile=37)
)
