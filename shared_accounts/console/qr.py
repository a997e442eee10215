"""A QR code as a picture in the page: shapes with their sizes in attributes, black on white in either light."""

from __future__ import annotations

from itertools import groupby

from markupsafe import Markup

_BORDER = 4  # modules that have to stay empty around a code (ISO/IEC 18004 section 9.1)


def picture(text: str, label: str) -> Markup:
    """Return the SVG; `label` is what it is for whoever does not see it, who has the text beside it."""
    import segno  # noqa: PLC0415 - half a megabyte in each worker, for what a person needs once

    matrix = segno.make(text, error="m", micro=False).matrix
    size = len(matrix) + 2 * _BORDER
    path = "".join(_row(bytes(row), number) for number, row in enumerate(matrix))
    return Markup(
        '<svg class="qr" width="196" height="196" viewBox="0 0 {size} {size}" role="img" aria-label="{label}"'
        ' shape-rendering="crispEdges"><rect width="{size}" height="{size}" fill="#fff"/>'
        '<path d="{path}" fill="#000"/></svg>'
    ).format(size=size, label=label, path=path)


def _row(modules: bytes, number: int) -> str:
    """Return a row's dark stretches as rectangles."""
    drawn, place = "", 0
    for dark, group in groupby(modules):
        width = len(list(group))
        if dark:
            drawn += f"M{place + _BORDER} {number + _BORDER}h{width}v1h-{width}z"
        place += width
    return drawn
