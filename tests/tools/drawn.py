"""What karat draws, read back: panels of an SVG with their frame, axes and marks, in the picture's own units."""
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

SVG = "{http://www.w3.org/2000/svg}"
LETTER = 0.5  # of the font's size, on average, in narrow fonts


@dataclass
class Panel:
    frame: tuple = None  # left, top, right, bottom
    titles: dict = field(default_factory=dict)  # "x", "y": the axis' words
    ticks: dict = field(default_factory=lambda: {"x": [], "y": []})
    marks: list = field(default_factory=list)  # (x, y) of every corner, end or centre


@dataclass
class Picture:
    width: float
    height: float
    panels: list
    words: list  # (text, left, right, y) of what is not turned
    legend: list


def moved(element, offset):
    found = re.match(r"translate\(([-0-9.]+) ([-0-9.]+)\)", element.get("transform", ""))
    return (offset[0] + float(found[1]), offset[1] + float(found[2])) if found else offset


def corners(shape, offset):
    """All points that decide where a shape ends."""
    at = lambda *names: [float(shape.get(name)) for name in names]  # noqa: E731
    kind = shape.tag.removeprefix(SVG)
    if kind == "rect":
        x, y, width, height = at("x", "y", "width", "height")
        points = [(x, y), (x + width, y + height)]
    elif kind == "line":
        x1, y1, x2, y2 = at("x1", "y1", "x2", "y2")
        points = [(x1, y1), (x2, y2)]
    elif kind == "circle":
        points = [tuple(at("cx", "cy"))]
    else:
        points = [tuple(map(float, pair.split(","))) for pair in shape.get("points").split()]
    return [(x + offset[0], y + offset[1]) for x, y in points]


def read(text):
    root = ElementTree.fromstring(text)
    width, height = map(float, root.get("viewBox").split()[2:])
    picture = Picture(width, height, [], [], [])

    def visit(element, panel, offset):
        for child in element:
            role = child.get("class", "")
            if child.tag == SVG + "g":
                inner = Panel() if role == "panel" else panel
                if role == "panel":
                    picture.panels.append(inner)
                visit(child, inner, moved(child, offset))
                continue
            if child.tag == SVG + "text":
                size, words = float(child.get("font-size")), child.text or ""
                wide = LETTER * size * len(words)
                left = float(child.get("x")) + offset[0] - {"middle": wide / 2, "end": wide}.get(
                    child.get("text-anchor"), 0)
                if "transform" not in child.attrib:
                    picture.words.append((words, left, left + wide, float(child.get("y")) + offset[1]))
                if role == "legend":
                    picture.legend.append(words)
                if panel and role.startswith("title "):
                    panel.titles[role[-1]] = words
                elif panel and role.startswith("tick "):
                    panel.ticks[role[-1]].append(words)
                continue
            if panel and role == "frame":
                (left, top), (right, bottom) = corners(child, offset)
                panel.frame = left, top, right, bottom
            elif panel and role == "mark":
                panel.marks += corners(child, offset)

    visit(root, None, (0, 0))
    return picture


def pictures_of(page):
    """Those of a page, or the one that it is."""
    return [read(text) for text in re.findall(r"<svg.*?</svg>", page, re.S)]


def problems(picture):
    """What a reader would stumble over, as sentences."""
    found = []
    for number, panel in enumerate(picture.panels):
        name = f"panel {number} ({panel.titles.get('x')} by {panel.titles.get('y')})"
        if panel.frame is None:
            found.append(f"{name}: has no frame")
            continue
        for axis in "xy":
            title, ticks = panel.titles.get(axis, ""), panel.ticks[axis]
            if not title.strip():
                found.append(f"{name}: axis {axis} has no label")
            if not ticks:
                found.append(f"{name}: axis {axis} has no ticks")
            if len(set(ticks)) < len(ticks):
                found.append(f"{name}: axis {axis} has equal ticks: {ticks}")
            numbers = [tick for tick in ticks if re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", tick)]
            counted = all(re.fullmatch("[0-9]+", tick) for tick in ticks)
            if len(numbers) == len(ticks) and not counted and not title.endswith(")"):
                found.append(f"{name}: axis {axis} has no unit: {title}")
        left, top, right, bottom = panel.frame
        for x, y in panel.marks:
            if not (left - 0.1 <= x <= right + 0.1 and top - 0.1 <= y <= bottom + 0.1):
                found.append(f"{name}: a mark at {x}, {y} lies outside {panel.frame}")
                break
        if not (0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height):
            found.append(f"{name}: the frame {panel.frame} leaves the picture")
    for words, left, right, y in picture.words:
        if left < -1 or right > picture.width + 1 or not 0 <= y <= picture.height:
            found.append(f"words leave the picture: {words}")
    return found
