"""Draws the pictures of docs/pictures.md with the code on that page.

python examples/pictures.py
"""

import os
import re
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "pictures.md"
IMAGES = ROOT / "docs" / "images"


def main() -> None:
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        os.chdir(folder)
        exec(compile(code, str(PAGE), "exec"), {"__name__": "pictures"})
        for picture in sorted(Path(folder).glob("*.png")):
            palette = Image.open(picture).convert("RGB").quantize(kmeans=8, dither=Image.Dither.NONE)
            palette.save(IMAGES / picture.name, optimize=True)
            print(f"{IMAGES / picture.name}: {(IMAGES / picture.name).stat().st_size // 1000} kB")
        os.chdir(ROOT)


if __name__ == "__main__":
    main()
