"""Tables as LaTeX source that fits on the page of a class of one or of two columns."""

import re
import unicodedata
from collections.abc import Collection, Sequence

from analysis.tables.latex_layout import TableLayout, TablePart, lay_out, wrap_heading

FLOATS = 8  # parts of one table after which the page is ended: LaTeX holds few that wait
RAGGED = r">{\raggedright\arraybackslash}X"
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
    "—": "---",
    "’": "'",
    "µ": r"$\mu$",
    "ß": r"{\ss}",
    "ø": r"{\o}",
    "Ø": r"{\O}",
    "æ": r"{\ae}",
    "Æ": r"{\AE}",
    "œ": r"{\oe}",
    "Œ": r"{\OE}",
    "ł": r"{\l}",
    "Ł": r"{\L}",
}
# Signs that Unicode sets on the letter before them, and the commands that every encoding has.
ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0308\u0304\u0307", "`'^~\"=.", strict=True)) | dict(
    zip("\u0306\u030a\u030b\u030c\u0327", "urHvc", strict=True)
)
_ACCENTED = re.compile(f"([A-Za-z])([{''.join(ACCENTS)}])")
_ESCAPES = str.maketrans(ESCAPES)


def escape(text: str) -> str:
    """Plain text as LaTeX source; letters that are not ASCII and have no command become a question
    mark."""
    plain = text.translate(_ESCAPES)
    if plain.isascii():
        return plain
    apart = unicodedata.normalize("NFD", plain)
    spelled = _ACCENTED.sub(lambda found: rf"{{\{ACCENTS[found[2]]} {found[1]}}}", apart)
    return unicodedata.normalize("NFC", spelled).encode("ascii", "replace").decode()


def write_table(
    *,
    name: str,
    title: str,
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    text_columns: int,
    rules: Collection[int],
    bold: Collection[tuple[int, int]],
) -> str:
    """A table as LaTeX source for classes of one and of two columns; the preamble needs booktabs
    and tabularx. What does not fit on a page is continued in further tables of the same number.

    See `tables.table.Table` for the arguments.
    """
    heads = [wrap_heading(text, [row[at] for row in rows]) for at, text in enumerate(head)]
    layout = lay_out(heads, rows, text_columns, caption)
    environment = "table" if layout.is_narrow else "table*"
    lines = [r"% needs \usepackage{booktabs} and \usepackage{tabularx}"]
    for number, part in enumerate(layout.parts):
        if number and number % FLOATS == 0:
            lines.append(r"\clearpage")
        first = number == 0
        text = caption if first else f"{title}, continued."
        lines += [
            rf"\begin{{{environment}}}",
            *([] if first else [r"\addtocounter{table}{-1}"]),
            rf"\centering\emergencystretch=3em\caption{{{_refer(escape(text))}}}",
            *([rf"\label{{tab:{name}}}"] if first else []),
            r"\par\smallskip",
            rf"\{layout.size}\setlength{{\tabcolsep}}{{{layout.gap:g}pt}}",
            *_write_part(layout, part, heads, rows, text_columns, rules, bold),
            rf"\end{{{environment}}}",
        ]
    return "\n".join([*lines, ""])


def _write_part(
    layout: TableLayout,
    part: TablePart,
    heads: Sequence[Sequence[str]],
    rows: Sequence[Sequence[str]],
    text_columns: int,
    rules: Collection[int],
    bold: Collection[tuple[int, int]],
) -> list[str]:
    """One part as a tabular, or as a tabularx where some of its texts wrap."""
    is_wrapped = any(at in layout.wraps for at in part.columns)
    kinds = "".join(
        RAGGED if at in layout.wraps else "l" if at < text_columns else "r" for at in part.columns
    )
    titles = " & ".join(_stack(heads[at], "l" if at < text_columns else "r") for at in part.columns)
    body = []
    for index in part.rows:
        if index in rules and index != part.rows.start:
            body.append(r"\midrule")
        cells = [
            rf"\textbf{{{escape(rows[index][at])}}}"
            if (index, at) in bold
            else escape(rows[index][at])
            for at in part.columns
        ]
        # A row that begins with a bracket would be taken for an argument of the \\ before it.
        line = " & ".join(cells)
        body.append((line.replace("[", "{[}", 1) if line.startswith("[") else line) + r" \\")
    begin = rf"\begin{{tabularx}}{{\textwidth}}{{{kinds}}}"
    return [
        begin if is_wrapped else rf"\begin{{tabular}}{{{kinds}}}",
        *(r"\toprule", rf"{titles} \\", r"\midrule", *body, r"\bottomrule"),
        r"\end{tabularx}" if is_wrapped else r"\end{tabular}",
    ]


def _refer(caption: str) -> str:
    """A caption whose mentions of other tables are references to them."""
    return re.sub(r"table '([A-Za-z0-9-]+)'", r"table~\\ref{tab:\1}", caption)


def _stack(lines: Sequence[str], side: str) -> str:
    """A heading on one line or several."""
    text = r"\\".join(escape(line) for line in lines)
    return rf"\shortstack[{side}]{{{text}}}" if len(lines) > 1 else text
