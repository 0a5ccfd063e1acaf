"""One SM of an H20 at work, the roofline, and how full the SMs are."""

from drawing import PICTURES

import karat

(PICTURES / "gallery-timeline.svg").write_text(
    karat.cost_picture("fpsattention", gpu="H20", model="wan2.1-14b", resolution="720p")
)
