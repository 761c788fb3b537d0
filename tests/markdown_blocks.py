"""What a page in Markdown shows: whole files, and commands."""

import re
from pathlib import Path

BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```', re.DOTALL | re.MULTILINE)


def read_files(text: str) -> dict[str, str]:
    """The blocks that hold a whole file, as in ```python title="my_net.py", by that name."""
    return {name: body for kind, name, body in BLOCK.findall(text) if kind != "diff"}


def read_commands(text: str) -> list[str]:
    """The blocks of commands, as they stand."""
    return re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def write_files(text: str, folder: Path) -> list[Path]:
    """Write the files that a page shows below a folder; their paths."""
    written = []
    for name, body in read_files(text).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
        written.append(path)
    return written


def apply_diffs(text: str, folder: Path) -> None:
    """Change files below a folder as the page's blocks of kind diff say; their context must be
    there once."""
    for kind, name, body in BLOCK.findall(text):
        if kind == "diff":
            lines = body.splitlines(keepends=True)
            before, after = (
                "".join(line[1:] for line in lines if line[0] in f" {sign}") for sign in "-+"
            )
            content = (folder / name).read_text()
            assert content.count(before) == 1, (
                f"{name} has {content.count(before)} times:\n{before}"
            )
            (folder / name).write_text(content.replace(before, after))
