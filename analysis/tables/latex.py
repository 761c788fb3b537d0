"""Tables as LaTeX source: booktabs, and longtable where a table is longer than a page."""

import textwrap
from collections.abc import Collection, Sequence

PAGE = 45  # lines of a table that fit on a page
ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "–": "--",
}
_ESCAPES = str.maketrans(ESCAPES)
# Letters in a line of a table that fit into \textwidth of a common article, by size of type.
SIZES = {78: "small", 94: "footnotesize", 116: "scriptsize"}


def escape(text: str) -> str:
    """Plain text as LaTeX source; letters that are not ASCII and have no command become a question
    mark."""
    plain = text.translate(_ESCAPES)
    return plain if plain.isascii() else plain.encode("ascii", "replace").decode()


def write_table(
    *,
    name: str,
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    text_columns: int,
    rules: Collection[int],
    bold: Collection[tuple[int, int]],
) -> str:
    """A table as LaTeX source; the preamble needs booktabs, and longtable for a long one.

    See `tables.table.Table` for the arguments.
    """
    columns = "l" * text_columns + "r" * (len(head) - text_columns)
    body = []
    for index, row in enumerate(rows):
        if index in rules:
            body.append(r"\midrule")
        cells = [
            rf"\textbf{{{escape(cell)}}}" if (index, at) in bold else escape(cell)
            for at, cell in enumerate(row)
        ]
        body.append(" & ".join(cells) + r" \\")
    # Every cell of a row begins with a token that is no bracket, which \\ would take for its
    # argument.
    body = [line.replace("[", "{[}", 1) if line.startswith("[") else line for line in body]
    heads = [
        textwrap.wrap(
            name,
            max([8, *(len(row[at]) for row in rows)]),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for at, name in enumerate(head)
    ]
    titles = (
        " & ".join(
            _stack(lines, "l" if at < text_columns else "r") for at, lines in enumerate(heads)
        )
        + r" \\"
    )
    label = rf"\label{{tab:{name}}}"
    if len(rows) <= PAGE:
        lines = [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            *_choose_size(heads, rows),
            rf"\caption{{{escape(caption)}}}",
            label,
            rf"\begin{{tabular}}{{{columns}}}",
            *(r"\toprule", titles, r"\midrule"),
            *body,
            *(r"\bottomrule", r"\end{tabular}", r"\end{table}", ""),
        ]
        return "\n".join(lines)
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage{longtable}",
        r"\begingroup",
        *_choose_size(heads, rows),
        r"\setlength{\LTcapwidth}{\textwidth}",
        rf"\begin{{longtable}}{{{columns}}}",
        rf"\caption{{{escape(caption)}}}{label}\\",
        *(r"\toprule", titles, r"\midrule", r"\endfirsthead"),
        *(r"\toprule", titles, r"\midrule", r"\endhead"),
        *(r"\bottomrule", r"\endfoot"),
        *body,
        *(r"\end{longtable}", r"\endgroup", ""),
    ]
    return "\n".join(lines)


def _stack(lines: Sequence[str], side: str) -> str:
    """A heading on one line or several."""
    text = r"\\".join(escape(line) for line in lines)
    return rf"\shortstack[{side}]{{{text}}}" if len(lines) > 1 else text


def _choose_size(heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> list[str]:
    """The size of type, and narrow columns where even a small one would be too wide."""
    columns = zip(heads, *rows, strict=True)
    width = sum(max(*map(len, head), 1, *map(len, cells)) for head, *cells in columns) + 2 * len(
        heads
    )
    size = next((size for limit, size in SIZES.items() if width <= limit), "tiny")
    narrow = [] if size == "small" else [r"\setlength{\tabcolsep}{3pt}"]
    return [rf"\{size}", *narrow]
