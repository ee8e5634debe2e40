"""Makes result.jpg, the README's figure, from the output of `deploy/demo.sh` in out/demo.

    .deps/venv/bin/python deploy/figures/result.py
"""

import pathlib

from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "out" / "demo" / "overlays"
SHOWN = ["alien/test/damaged/000.png", "alien/test/good/052.png", "brick/test/hole/009.png", "brick/test/good/013.png"]
WIDTH, HEIGHT, GAP = 210, 150, 6


def tile(path):
    """An image, cropped to the tile's shape around its centre."""
    picture = Image.open(path).convert("RGB")
    scale = max(WIDTH / picture.width, HEIGHT / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.LANCZOS)
    left, top = (picture.width - WIDTH) // 2, (picture.height - HEIGHT) // 2
    return picture.crop((left, top, left + WIDTH, top + HEIGHT))


def main():
    sheet = Image.new("RGB", (len(SHOWN) * (WIDTH + GAP) - GAP, 2 * HEIGHT + GAP), "white")
    for i, name in enumerate(SHOWN):
        x = i * (WIDTH + GAP)
        sheet.paste(tile(ROOT / "deploy" / "sample" / name), (x, 0))
        sheet.paste(tile(OVERLAYS / (name + ".overlay.png")), (x, HEIGHT + GAP))
    sheet.save(ROOT / "deploy" / "figures" / "result.jpg", quality=90)


if __name__ == "__main__":
    main()
