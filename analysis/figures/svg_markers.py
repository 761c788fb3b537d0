"""The markers of the methods as shapes of an SVG drawing, as matplotlib draws them in the other
figures."""

import math

from analysis.method_styles import Marker

# Corners and turn (degrees) of markers that are polygons; matplotlib's names.
POLYGONS = {
    "^": (3, 0),
    "v": (3, 180),
    "<": (3, 270),
    ">": (3, 90),
    "s": (4, 45),
    "D": (4, 0),
    "p": (5, 0),
    "h": (6, 0),
    "H": (6, 30),
}
CROSSES = {"P": 0, "X": 45}
CROSS_WIDTH = 0.36  # half the width of an arm, as a part of the radius


def draw_marker(marker: Marker, x: float, y: float, radius: float) -> str:
    """A marker around a point, as a path; a circle where it is none of the polygons."""
    if isinstance(marker, tuple):  # corners, kind (0: polygon, 1: star), turn
        corners, kind, turn = marker
        inner = 0.45 if kind == 1 else None
        return _draw_polygon(_find_corners(corners, turn, inner), x, y, radius)
    if marker in POLYGONS:
        return _draw_polygon(_find_corners(*POLYGONS[marker]), x, y, radius)
    if marker == "*":
        return _draw_polygon(_find_corners(5, 0, 0.42), x, y, 1.25 * radius)
    if marker == "d":
        narrow = [(0.6 * right, down) for right, down in _find_corners(4, 0)]
        return _draw_polygon(narrow, x, y, 1.1 * radius)
    if marker in CROSSES:
        return _draw_polygon(_find_cross(CROSSES[marker]), x, y, radius)
    return (
        f"M{x - radius:.1f},{y:.1f}"
        f"a{radius:.1f},{radius:.1f} 0 1,0 {2 * radius:.1f},0"
        f"a{radius:.1f},{radius:.1f} 0 1,0 {-2 * radius:.1f},0z"
    )


def _find_corners(count: int, turn: float, inner: float | None = None) -> list[tuple[float, float]]:
    """The corners of a polygon of radius 1 whose first one is at the top, turned clockwise; with an
    inner radius those of a star."""
    steps = count if inner is None else 2 * count
    corners = []
    for step in range(steps):
        angle = math.radians(turn + 360 * step / steps)
        size = inner if inner is not None and step % 2 else 1.0
        corners.append((size * math.sin(angle), -size * math.cos(angle)))
    return corners


def _find_cross(turn: float) -> list[tuple[float, float]]:
    """The corners of a cross with thick arms."""
    wide = CROSS_WIDTH
    arm = [(-wide, -wide), (-wide, -1.0), (wide, -1.0)]
    corners = []
    for quarter in range(4):
        angle = math.radians(turn + 90 * quarter)
        sine, cosine = math.sin(angle), math.cos(angle)
        corners += [(x * cosine - y * sine, x * sine + y * cosine) for x, y in arm]
    return corners


def _draw_polygon(corners: list[tuple[float, float]], x: float, y: float, radius: float) -> str:
    points = [f"{x + right * radius:.1f},{y + down * radius:.1f}" for right, down in corners]
    return f"M{' '.join(points)}z"
