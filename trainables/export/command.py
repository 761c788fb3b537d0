"""`python -m trainables.export KEY --study STUDY_DIR`: a trial's network as files for others, and
back again.

The folder holds the network (safetensors, ONNX or a plain state dict), `config.json` and a model
card with the row's numbers. What was written is loaded again and compared with the original before
the folder appears.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from uuid import uuid4

from pruning.user_error import UserError, printable
from trainables.command_line import Parser, check_python, tell_missing
from trainables.export.choice import (
    Form,
    Format,
    Row,
    check_installed,
    choose_row,
    describe_method,
    find_key,
    read_data_dir,
    read_plan,
    read_rows,
    read_spec,
)
from trainables.storage.store import Store, StoreLost, is_remote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from trainables.saved_networks import Kept

TOLERANCE = (
    1e-5  # between the outputs of what was exported and of the original, as a part of their size
)
BATCHES = (
    1,
    5,
)  # of random images that are compared; two sizes, because an ONNX graph may hold one fast


def export(
    key: str,
    study: str | Path,
    *,
    to: Format = "safetensors",
    form: Form | None = None,
    out: str | Path | None = None,
    level: int | None = None,
    again: bool = False,
    data_dir: str | None = None,
) -> Path:
    """Write the network of a trial into a folder, check it against the original, and return the
    folder.

    Args:
        key: of a done trial, the unique beginning of one, or the trial's title.
        study: the study directory, or its URI.
        form: "slim" is physically smaller, "dense" has the shapes of the dense network with zeros
            in it, "masks" the same with the masks apart; by default "slim" where channels were
            removed, else "dense".
        out: a folder that is empty or not there; by default `exports/<key>-<to>-<form>`.
        level: of a trial that measured several; by default the last.
        again: train the trial again, here and now, where the study did not keep its network.
        data_dir: see a study file; by default the study's. Only needed with `again`.

    Raises:
        UserError: the trial or its network is not there, the form or the folder does not fit, a
            package is missing, or what was written does not compute what the original does.
        StoreLost: the study directory cannot be used.
    """
    check_installed(to)
    store = Store.at(study)
    key = find_key(store, key)
    rows = read_rows(store, key)
    row, plan = choose_row(rows, level), read_plan(store)
    from trainables import (
        saved_networks,
    )  # torch takes seconds to import: not before the request is in order
    from trainables.export.card import write_card
    from trainables.export.pruned import Config, load, write

    found = saved_networks.find(store, key, row["level"], row["digest"])
    if found is None and not again:
        raise UserError(
            f"the study did not keep the network of {key}: make it again with --again, which trains this trial, or all "
            "of them by running the study again with --set keep_networks=all"
        )
    if found is None:
        found = _again(rows, row, store, plan, data_dir)
    form = form or ("slim" if found.keep else "dense")
    if form == "slim" and not found.keep:
        raise UserError(
            f"{row['method']} removed no channels of {key}, so it has no slim form; take dense or masks"
        )
    target = _target(out, key, to, form)
    network, masks = _shape(found, form)
    config = Config(
        to=to,
        form=form,
        model=found.model,
        image=found.image,
        classes=found.classes,
        mean=found.mean,
        std=found.std,
        widths=found.widths if form == "slim" else {},
        key=key,
        level=row["level"],
        study=row["study"],
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
    folder.mkdir()
    try:
        write(folder, config, network, masks)
        difference = compare(found.rebuild(), load(folder), found.image)
        if not difference <= TOLERANCE:
            raise UserError(
                f"the exported network's outputs differ by {difference:.1e}, more than {TOLERANCE:g}"
            )
        told = _told(found.row, row)
        shown, method, dense = (
            (found.row if told else row),
            describe_method(row, plan),
            _dense_row(rows, plan, store),
        )
        card = write_card(config, shown, method, dense=dense, told=told, difference=difference)
        (folder / "README.md").write_text(card)
        folder.rename(target)  # an empty folder of that name is replaced
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def load_pruned(path: str | Path) -> nn.Module:
    """The network of an exported folder, on the CPU, in fp32 and eval mode; of ONNX one that
    onnxruntime computes.

    It maps normalised images, float32 [B, C, H, W], to logits [B, classes].

    Raises:
        UserError: no such folder, a damaged or foreign file, or a package that is not installed.
        UserError, UserError: the network cannot be built, see `models.model_registry.build`.
    """
    from trainables.export.pruned import load

    return load(path)


def compare(original: nn.Module, exported: nn.Module, image: tuple[int, int, int]) -> float:
    """The largest difference between the outputs of two networks on random images, as a part of the
    largest output.

    Outputs below 1 count as 1. NaN where only one network answers with NaN.
    """
    import torch

    worst = 0.0
    with torch.inference_mode():
        for batch in BATCHES:
            images = torch.randn(batch, *image, generator=torch.Generator().manual_seed(batch))
            one, other = original(images), exported(images)
            if torch.equal(one.isnan(), other.isnan()):
                one, other = one.nan_to_num(), other.nan_to_num()
            gap = float((one - other).abs().max()) / max(1.0, float(one.abs().max()))
            worst = gap if gap != gap else max(worst, gap)
    return worst


def _shape(found: Kept, form: Form) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network in a form, and the masks of all its prunable weights."""
    from pruning.masks import all_kept
    from pruning.structured.narrow import widen
    from trainables.saved_networks import fresh

    network = found.rebuild()
    masks = {**all_kept(network), **found.masks}
    if found.keep and form != "slim":
        whole = fresh(found.model, found.image, found.classes)
        network, masks = widen(network, whole, found.keep, image=found.image)
    return network.eval(), masks


def _again(
    rows: list[Row], row: Row, store: Store, plan: Mapping[str, Any], data_dir: str | None
) -> Kept:
    from trainables.export.recovery import recover

    spec = read_spec(rows, plan)
    print(f"training {spec.key} again ({row['epochs']} epochs)", file=sys.stderr, flush=True)
    return recover(spec, row, store, data_dir=data_dir or read_data_dir(store))


def _told(own: Row, row: Row) -> str:
    """What the card says of a network that is not bit for bit the one of the study's row."""
    if own["digest"] == row["digest"]:
        return ""
    return (
        "This network was trained again, on other hardware or with other versions than the study's: the numbers below "
        f"are its own. The study's table has {row['test_top1']} % test top-1 for the first one."
    )


def _dense_row(rows: list[Row], plan: Mapping[str, Any], store: Store) -> Row | None:
    """The row of the dense training of the same seed, where the study has it."""
    from trainables.trial_spec import dense_spec

    try:
        return read_rows(store, dense_spec(read_spec(rows, plan)).key)[-1]
    except UserError:
        return None


def _target(out: str | Path | None, key: str, to: Format, form: Form) -> Path:
    """The folder to write.

    Raises:
        UserError: it is no local folder, or something is in it.
    """
    if out is not None and is_remote(str(out)):
        raise UserError(
            f"--out must be a local folder, but got '{out}'; copy the exported folder there"
        )
    target = (
        Path("exports", f"{key.replace('/', '-')}-{to}-{form}")
        if out is None
        else Path(out).expanduser()
    )
    target = target.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is not empty; name another folder with --out, or delete it")
    return target


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = Parser(
        prog="python -m trainables.export",
        description="Export the network of a done trial, with a model card.",
    )
    parser.add_argument("key", metavar="KEY", help="of the trial, or the unique beginning of one")
    parser.add_argument(
        "--study", metavar="STUDY_DIR", required=True, help="study directory, or its URI"
    )
    parser.add_argument(
        "--to", choices=get_args(Format), default="safetensors", help="default: %(default)s"
    )
    parser.add_argument(
        "--form",
        choices=get_args(Form),
        help="dense: zeros in the dense shapes; masks: the same with the masks apart; slim: removed channels are gone "
        "(default: slim where channels were removed, else dense)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="a folder that is empty or not there (exports/<key>-<to>-<form>)",
    )
    parser.add_argument(
        "--level",
        metavar="N",
        type=int,
        help="of a trial that measured several (default: the last)",
    )
    parser.add_argument(
        "--again", action="store_true", help="train the trial again if the study did not keep it"
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="with --again: where the images are (default: as the study)",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 and the folder on stdout, or 2 and one line on stderr for a mistake of the
    user, 130 for Ctrl-C."""
    check_python()
    given = make_parser().parse_args(arguments)
    try:
        folder = export(
            given.key,
            given.study,
            to=given.to,
            form=given.form,
            out=given.out,
            level=given.level,
            again=given.again,
            data_dir=given.data_dir,
        )
    except (
        StoreLost,
        ValueError,
        OSError,
    ) as error:  # ValueErrors are ours: of requests, networks, methods
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except ImportError as missing:
        print(f"error: {tell_missing(missing)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    print(folder)
    return 0
