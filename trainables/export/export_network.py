"""A trial's network as a folder for others, checked against the original before it appears.

The folder holds the network (safetensors, ONNX or a plain state dict), `config.json`, masks if
wanted, and a model card with the row's numbers. Importing this does not import torch, which takes
seconds: a request is checked before.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pruning.user_error import UserError
from trainables.export.formats import ExportForm, FileFormat, check_installed
from trainables.export.study_records import (
    Row,
    choose_row,
    describe_method,
    find_key,
    read_data_dir,
    read_plan,
    read_rows,
    spec_of_rows,
)
from trainables.storage.store import Store, is_remote
from trainables.trial_spec import dense_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from trainables.saved_networks import SavedNetwork


@dataclass(frozen=True)
class ChosenLevel:
    """The level that is exported: its row, all rows of its trial, and the study's plan."""

    store: Store
    plan: Mapping[str, Any]
    rows: list[Row]
    row: Row

    @property
    def key(self) -> str:
        """The key of the trial."""
        return str(self.row["key"])


def export(
    key: str,
    study: str | Path,
    *,
    to: FileFormat = "safetensors",
    form: ExportForm | None = None,
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
        again: train the trial again, here and now, where the study did not save its network.
        data_dir: see a study file; by default the study's. Only needed with `again`.

    Raises:
        UserError: the trial or its network is not there, the form or the folder does not fit, a
            package is missing, or what was written does not compute what the original does.
        StoreLost: the study directory cannot be used.
    """
    check_installed(to)
    store = Store.at(study)
    rows = read_rows(store, find_key(store, key))
    chosen = ChosenLevel(store, read_plan(store), rows, choose_row(rows, level))
    saved = _find_network(chosen, again=again, data_dir=data_dir)
    form = form or ("slim" if saved.keep else "dense")
    if form == "slim" and not saved.keep:
        raise UserError(
            f"{chosen.row['method']} removed no channels of {chosen.key}, so it has no slim form; "
            "take dense or masks"
        )
    target = _target_folder(out, chosen.key, to, form)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
    folder.mkdir()
    try:
        _write_folder(folder, chosen, saved, to, form)
        folder.rename(target)  # an empty folder of that name is replaced
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def load_pruned(path: str | Path) -> nn.Module:
    """The network of an exported folder, on the CPU, in fp32 and eval mode; of ONNX one that
    onnxruntime computes.

    It maps normalised images, float32 [B, C, H, W], to logits [B, classes].

    Raises:
        UserError: no such folder, a damaged or foreign file, a package that is not installed, or a
            network that cannot be built, see `models.model_registry.build_model`.
    """
    from trainables.export.exported_folder import load_network

    return load_network(path)


def load_masks(path: str | Path) -> dict[str, Tensor]:
    """The masks of a folder that was exported with the form "masks": bool by the name of the
    weight, True where it is kept.

    Raises:
        UserError: the folder holds none.
    """
    from trainables.export import exported_folder

    return exported_folder.load_masks(path)


def _find_network(chosen: ChosenLevel, *, again: bool, data_dir: str | None) -> SavedNetwork:
    """The network that the study saved, or the same trained again where that is allowed.

    Raises:
        UserError: there is none.
    """
    from trainables import saved_networks

    row, key = chosen.row, chosen.key
    saved = saved_networks.find_saved_network(chosen.store, key, row["level"], row["digest"])
    if saved is not None:
        return saved
    if not again:
        raise UserError(
            f"the study did not save the network of {key}: make it again with --again, which "
            "trains this trial, or all of them by running the study again with "
            "--set keep_networks=all"
        )
    from trainables.export.train_again import train_again

    spec = spec_of_rows(chosen.rows, chosen.plan)
    print(f"training {spec.key} again ({row['epochs']} epochs)", file=sys.stderr, flush=True)
    data_dir = data_dir or read_data_dir(chosen.store)
    return train_again(spec, row, chosen.store, data_dir=data_dir)


def _write_folder(
    folder: Path, chosen: ChosenLevel, saved: SavedNetwork, to: FileFormat, form: ExportForm
) -> None:
    """Write the network, its config and its card, and check what was written.

    Raises:
        UserError: it does not compute what the original does.
    """
    from trainables.export import exported_folder, model_card
    from trainables.export.export_config import ExportConfig
    from trainables.export.output_check import TOLERANCE, output_difference

    network, masks = _in_form(saved, form)
    config = ExportConfig(
        to=to,
        form=form,
        model=saved.model,
        image=saved.image,
        classes=saved.classes,
        mean=saved.mean,
        std=saved.std,
        widths=saved.widths if form == "slim" else {},
        key=chosen.key,
        level=chosen.row["level"],
        study=chosen.row["study"],
    )
    exported_folder.write_network(folder, config, network, masks)
    loaded = exported_folder.load_network(folder)
    difference = output_difference(saved.rebuild(), loaded, saved.image)
    if not difference <= TOLERANCE:  # also where it is NaN
        raise UserError(
            f"the exported network's outputs differ by {difference:.1e}, more than {TOLERANCE:g}"
        )
    origin = _describe_origin(saved.row, chosen.row)
    card = model_card.write_card(
        config,
        saved.row if origin else chosen.row,
        describe_method(chosen.row, chosen.plan),
        dense=_dense_row(chosen),
        origin=origin,
        difference=difference,
    )
    (folder / "README.md").write_text(card)


def _in_form(saved: SavedNetwork, form: ExportForm) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network in a form, and the masks of all its prunable weights."""
    from pruning.masks import all_kept
    from pruning.structured.narrow import widen
    from trainables.saved_networks import build_untrained

    network = saved.rebuild()
    masks = {**all_kept(network), **saved.masks}
    if saved.keep and form != "slim":
        whole = build_untrained(saved.model, saved.image, saved.classes)
        network, masks = widen(network, whole, saved.keep, image=saved.image)
    return network.eval(), masks


def _describe_origin(saved: Row, row: Row) -> str:
    """A sentence for the card where the network is not bit for bit the one of the study's row; else
    empty."""
    if saved["digest"] == row["digest"]:
        return ""
    return (
        "This network was trained again, on other hardware or with other versions than the "
        "study's: the numbers below are its own. The study's table has "
        f"{row['test_top1']} % test top-1 for the first one."
    )


def _dense_row(chosen: ChosenLevel) -> Row | None:
    """The row of the dense training of the same seed, where the study has it."""
    try:
        spec = spec_of_rows(chosen.rows, chosen.plan)
        return read_rows(chosen.store, dense_spec(spec).key)[-1]
    except UserError:
        return None


def _target_folder(out: str | Path | None, key: str, to: FileFormat, form: ExportForm) -> Path:
    """The folder to write.

    Raises:
        UserError: it is no local folder, or something is in it.
    """
    if out is not None and is_remote(str(out)):
        raise UserError(
            f"--out must be a local folder, but got '{out}'; copy the exported folder there"
        )
    default = Path("exports", f"{key.replace('/', '-')}-{to}-{form}")
    target = (default if out is None else Path(out).expanduser()).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is not empty; name another folder with --out, or delete it")
    return target
