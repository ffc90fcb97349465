"""Pictures side by side: rows of them, with heads over the columns and labels before the rows."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

INK, PAPER, FAINT = (40, 40, 44), (255, 255, 255), (120, 120, 128)
GAP = 12


def grid(
    rows: Sequence[Sequence[Image.Image | None]],
    *,
    tile: int = 128,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    gap: int = GAP,
) -> Image.Image:
    """Pictures in rows on white, each fitted into `tile` pixels; None leaves a hole, an empty row a space between those around it.

    `columns` head the columns; `labels` stand before the rows, one each, the empty ones too; `captions` stand below the pictures, one each.
    """
    fitted = [[picture and fit(picture, tile) for picture in row] for row in rows]
    heights = [max((picture.height for picture in row if picture), default=0) for row in fitted]
    small = ImageFont.load_default(max(11, tile // 15))
    written = [[wrapped(text, small, tile) for text in row] for row in captions]
    strips = [round(1.3 * small.size * (max(map(len, row)) + 0.5)) for row in written] or [0] * len(rows)
    font = ImageFont.load_default(max(12, tile // 9))
    left = gap + (round(max(font.getlength(line) for label in labels for line in label.split("\n"))) + GAP if labels else 0)
    top = gap + (round(1.6 * font.size) if columns else 0)
    canvas = Image.new("RGB", (left + max(map(len, rows)) * (tile + gap), top + sum(heights) + sum(strips) + gap * len(rows)), PAPER)
    pen = ImageDraw.Draw(canvas)
    for c, head in enumerate(columns):
        pen.text((left + c * (tile + gap) + tile / 2, top - round(0.4 * font.size)), head, INK, font, anchor="ms")
    for r, (row, height) in enumerate(zip(fitted, heights, strict=True)):
        if labels:
            pen.text((left - GAP * 2 / 3, top + height / 2), labels[r], INK, font, anchor="rm")
        for c, picture in enumerate(row):
            if picture:
                canvas.paste(picture, (left + c * (tile + gap) + (tile - picture.width) // 2, top + (height - picture.height) // 2))
        for c, lines in enumerate(written[r] if written else ()):
            pen.multiline_text((left + c * (tile + gap), top + height + round(0.3 * small.size)), "\n".join(lines), FAINT, small)
        top += height + strips[r] + gap
    return canvas


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """A text in lines of at most `width` pixels, broken between words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        lines[-1:] = [longer] if lines and font.getlength(longer) <= width else [*lines[-1:], word]
    return lines


def below(*pages: Image.Image) -> Image.Image:
    """Pages one below the other on white."""
    canvas, top = Image.new("RGB", (max(page.width for page in pages), sum(page.height for page in pages)), PAPER), 0
    for page in pages:
        canvas.paste(page, (0, top))
        top += page.height
    return canvas


def fit(picture: Image.Image, side: int) -> Image.Image:
    """The picture resized so that its longer side is `side` pixels."""
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
