"""The README of an exported network: what it is, its numbers, its use, where it comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pruning.onnx_file import INPUT
from trainables.export.export_config import ExportConfig
from trainables.export.exported_folder import MASK_FILES, NETWORK_FILES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainables.export.study_records import Row

FORMS = {
    "dense": "the shapes of the dense network, zeros where weights were removed",
    "masks": "the shapes of the dense network, zeros where weights were removed, and masks apart",
    "slim": "physically smaller: removed channels are gone",
}


def write_card(
    config: ExportConfig,
    row: Row,
    method: Mapping[str, Any],
    *,
    dense: Row | None,
    origin: str,
    difference: float,
) -> str:
    """The card as Markdown.

    Args:
        row: what was measured of the network. dense: of the dense training of its seed, where the
            study has it.
        method: its card and knobs, see `study_records.describe_method`.
        origin: a sentence on how the network came here, empty where it is the one that the study
            measured.
        difference: see `output_check.output_difference`.
    """
    reached = f"{100 * row['sparsity_reached']:.2f} %"
    title = f"# {row['model']} on {row['dataset']}: {method['title']}, {reached} sparsity"
    paper = "" if method["paper"] == "-" else f" ({method['paper']})"
    parts = [
        title,
        f"{method['title']}{paper}: {method['summary']}. {FORMS[config.form].capitalize()}.",
        *([origin] if origin else []),
        _section("Numbers", _table(_numbers(row, dense))),
        _section("Use", _usage(config)),
        _section("How it was made", _table(_making(row, method))),
        _section("Provenance", _table(_provenance(config, row, difference))),
        _section("Limits", _limits(config, row)),
    ]
    return "\n\n".join(parts) + "\n"


def _numbers(row: Row, dense: Row | None) -> dict[str, Any]:
    accuracies = {
        "test top-1": _percent(row["test_top1"]),
        "test top-5": _percent(row["test_top5"]),
        "test loss": _number(row["test_loss"], "nats per image"),
        "validation top-1": _percent(row["val_top1"]),
    }
    if dense and row["method"] != "dense":
        accuracies["dense network of the same seed, test top-1"] = _percent(dense["test_top1"])
    return {
        **accuracies,
        "sparsity requested": "by the method's own rule"
        if row["sparsity"] is None
        else f"{row['sparsity']:g}",
        "sparsity reached": f"{row['sparsity_reached']:.6f} "
        "of the dense network's convolution and linear weights",
        "parameters": f"{row['params']:,}",
        "nonzero parameters": f"{row['nonzero']:,}",
        "compression": f"{row['compression']:.2f}x",
        "MACs per image": f"{row['macs']:,}",
        "MACs per image without those of zeros": f"{row['effective_macs']:,.0f}",
    }


def _making(row: Row, method: Mapping[str, Any]) -> dict[str, Any]:
    knobs = ", ".join(f"{name} = {value}" for name, value in method["knobs"].items())
    return {
        "method": f"`{row['method']}`",
        "knobs": knobs or "it has none",
        "paper": method["paper"],
        "data set": row["dataset"],
        "seed": row["seed"],
        "level": f"{row['level']}, {row['stage']}",
        "training recipe": _recipe(row["recipe"]),
        "retraining recipe": _recipe(row["retrain"]) if row["retrain"] else "not used",
        "epochs": f"{row['epochs']}, without those of the dense training it starts from",
        "trained and measured in": f"{row['precision']} on {row['device']}",
    }


def _provenance(config: ExportConfig, row: Row, difference: float) -> dict[str, Any]:
    return {
        "study": row["study"],
        "key": f"`{row['key']}`",
        "commit": row["commit"] or "unknown",
        "versions": row["versions"],
        "finished": row.get("finished") or "unknown",
        "digest of weights and masks": f"`{row['digest']}`",
        "digest of the data": f"`{row['data_digest']}`",
        "checked on export": f"the outputs of `{NETWORK_FILES[config.to]}` differ from the "
        f"original's by at most {difference:.1e} of their size",
    }


def _usage(config: ExportConfig) -> str:
    channels, height, width = config.image
    rounded = [tuple(round(value, 6) for value in values) for values in (config.mean, config.std)]
    inputs = (
        f"Inputs are float32 images [B, {channels}, {height}, {width}], scaled to 0..1, then "
        "normalised per channel: (x - mean) / std with "
        f"mean = {_listed(rounded[0])} and std = {_listed(rounded[1])}. "
        f"Outputs are {config.classes} logits. `config.json` says the same for programs."
    )
    ours = (
        "With the pruning-studies checkout that is named under Provenance:",
        _python(
            "from trainables.export import load_pruned",
            "",
            "# The folder that holds this file; it returns an nn.Module in eval mode.",
            'network = load_pruned(".")',
        ),
    )
    shape = f"(1, {channels}, {height}, {width})"
    match config.to:
        case "onnx":
            without_checkout = (
                "Without it:",
                _python(
                    "import numpy as np",
                    "import onnxruntime",
                    'session = onnxruntime.InferenceSession("network.onnx")',
                    f"images = np.zeros({shape}, np.float32)",
                    f'(logits,) = session.run(None, {{"{INPUT}": images}})',
                ),
            )
        case "safetensors":
            without_checkout = (
                "The weights alone:",
                _python(
                    "from safetensors.torch import load_file",
                    'weights = load_file("network.safetensors")',
                ),
            )
        case _:
            without_checkout = (
                "The weights alone:",
                _python("import torch", 'weights = torch.load("network.pt", weights_only=True)'),
            )
    masks = (
        f"`{MASK_FILES[config.to]}` holds a bool for every prunable weight by its name: true where "
        "it is kept."
    )
    return "\n\n".join(
        [inputs, *ours, *without_checkout, *([masks] if config.form == "masks" else [])]
    )


def _limits(config: ExportConfig, row: Row) -> str:
    lines = [
        "* The numbers are of one seed; the study's report has means and intervals over seeds."
    ]
    if row["precision"] != "fp32":
        lines.append(
            f"* It was measured in {row['precision']}; the weights here are fp32, and accuracy in "
            "fp32 may differ in the last digits."
        )
    if config.form != "slim" and row["sparsity_reached"] > 0:
        lines.append(
            "* Zeros save no time in dense kernels, and no bytes before the file is compressed."
        )
    if row["notes"]:
        lines.append(f"* Notes of the trial: {row['notes']}")
    if row["emptied_layers"]:
        lines.append(f"* Layers without a weight left: {row['emptied_layers']}")
    return "\n".join(lines)


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _table(entries: Mapping[str, Any]) -> str:
    lines = [f"| {name} | {str(value).replace('|', '/')} |" for name, value in entries.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _python(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f} %"


def _number(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:.4f} {unit}"


def _recipe(text: str) -> str:
    fields = json.loads(text)
    return ", ".join(f"{name} = {value}" for name, value in fields.items()) or "all defaults"


def _listed(values: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"
