"""Malformed study files, drawn by hypothesis: valid ones with something put wrong, and text that is
none."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import yaml
from hypothesis import strategies as st

from sweeps.study_file.study_reader import find_study_presets, read_study_preset

Raw = dict[str, Any]

# A file that is imported when it must not be, and text that creates a file when it is executed,
# leave this behind.
SENTINEL = "executed"

JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, -0.0, 10**9, 10**19, -(10**400), 10**400, 1e308, 1e-320,
    float("nan"), float("inf"), -float("inf"), "", " ", "x", "all", "1e-3", "yes", "nan",
    "9" * 5000, "x" * 3000, "../../up", "/etc/passwd", "~", "~nobody-here/x", "a/b", "s3://",
    "bogus://x", "C:\\x", ".", "-", f"$(touch {SENTINEL})", f"`touch {SENTINEL}`",
    f"; touch {SENTINEL}", "a\nb", "a\r\tb", "\x1b[31mred", "\x9b31m", "\u202egnp.exe", "\u2028",
    "\x00", "\ud800", "é", "os:system", "os:nothing", "no.such.module:net", "a:b:c", ":", "a:", [],
    [[]], [None], ["x"], [1, 1], {}, {"a": 1}, {1: 2}, {"": ""}, [{}], [{"name": 3}],
    list(range(300)), {"epochs": 1}, {"name": "magnitude", "knobs": 3}, [["magnitude"]],
    {"magnitude": {"scope": ["layer"] * 3}}, {"lottery_ticket": {"levels": 10**9}},
    {"lottery_ticket": {"levels": "sparsities", "rate": 1e-300}},
    {"han_iterative": {"iterations": 10**9}}, {"hrank": {"layer_epochs": 10**9}},
    {"magnitude": {"rewind_to": -1}},
    {"gmp": {"every": list(range(1, 40)), "start": [i / 100 for i in range(40)]}},
    {"random": {"layers": []}},
]  # fmt: skip

TOKENS = [
    "name", "dataset", "model", "methods", "seeds", "sparsities", "recipe", "also", ": ", "- ",
    ", ", "\n", "\n  ", " ", "[", "]", "{", "}", "&a ", "*a", "<<: ", "? ", "| ", "> ", "'", '"',
    "#", "%YAML 1.2\n", "---\n", "...\n", "\t", "!!python/object/apply:os.system ",
    f"['touch {SENTINEL}']", "!!python/name:os.system ", "!!python/module:os ", "!!timestamp ",
    "!!bool ", "!!int ", "!!float ", "!!binary ", "!!set ", "!!omap ", "!!null ", "!x ", "!", "@",
    "`", "0", "1e308", ".nan", ".inf", "0x" + "f" * 9000, "1" * 5000, "1:60:60", "2024-99-99", "~",
    "digits", "mlp", "true", "\ufeff", "\x00", "\x1b[31m", "\x85", "\\", "\\ud800", "é",
    "magnitude", "x" * 200,
]  # fmt: skip


def reduced(name: str) -> Raw:
    """A preset with its long lists cut: what is wrong with it does not hang on how large it is."""
    raw = read_study_preset(name)
    return {
        key: value[:1] if isinstance(value, list) and key != "methods" else value
        for key, value in raw.items()
    }


PRESETS = {name: reduced(name) for name in find_study_presets()}
TEXTS = {name: yaml.safe_dump(raw) for name, raw in PRESETS.items()}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values within a value."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, inner in items:
        yield (*path, name)
        yield from places(inner, (*path, name))


def change(raw: Raw, path: tuple[Any, ...], kind: str, junk: Any) -> None:
    """Put one thing wrong, in place."""
    holder: Any = raw
    for name in path[:-1]:
        holder = holder[name]
    last = path[-1]
    match kind:
        case "drop":
            del holder[last]
        case "replace":
            holder[last] = junk
        case "wrap":
            holder[last] = [holder[last]]
        case "nest":
            holder[last] = {str(last): holder[last]}
        case "scale":
            old = holder[last]
            holder[last] = old * -(10**9) if isinstance(old, int | float) else junk
        case "repeat":
            holder[last] = [holder[last]] * 3
        case "typo" if isinstance(holder, dict):
            holder[f"{last}s"] = holder.pop(last)
        case "add" if isinstance(holder, dict):
            holder[junk if isinstance(junk, str | int) else "more"] = junk
        case _:
            holder[last] = junk


KINDS = ["drop", "replace", "replace", "wrap", "nest", "scale", "repeat", "typo", "add"]


@st.composite
def mutated(draw: st.DrawFn, base: Raw | None = None) -> str:
    """A valid study with one to three things put wrong."""
    raw = deepcopy(base or PRESETS[draw(st.sampled_from(sorted(PRESETS)))])
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(raw))
        if not found:
            break
        change(
            raw,
            draw(st.sampled_from(found)),
            draw(st.sampled_from(KINDS)),
            deepcopy(draw(st.sampled_from(JUNK))),
        )
    return yaml.safe_dump(raw, sort_keys=False)


@st.composite
def scratched(draw: st.DrawFn) -> bytes:
    """The text of a valid study with a hole, an insertion or another encoding."""
    text = TEXTS[draw(st.sampled_from(sorted(TEXTS)))]
    at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 40))
    added = draw(st.lists(st.sampled_from(TOKENS), max_size=3).map("".join))
    text = text[:at] + added + text[at + length :]
    encoding = draw(
        st.sampled_from(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "cp500"])
    )
    return text.encode(encoding, "replace")


FILES: dict[str, tuple[st.SearchStrategy[str | bytes], int]] = {
    "bytes": (st.binary(max_size=200), 60),
    "text": (st.text(max_size=200), 60),
    "tokens": (st.lists(st.sampled_from(TOKENS), max_size=25).map("".join), 140),
    "scratched": (scratched(), 80),
    "mutated": (mutated(), 160),
}
