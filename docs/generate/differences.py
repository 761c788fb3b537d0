"""What the methods do otherwise than their papers or the authors' code, and what that changes where
it was measured: a section of each method's page.

Measured against the authors' code in float64, on networks of this project, unless said otherwise.
"""

DIFFERENCES: dict[str, tuple[str, ...]] = {
    "synflow": (
        "The number of weights that an iteration keeps is rounded, and the last keeps exactly what "
        "is asked for; the authors' code cuts it to a whole number and removes what ties. One "
        "weight more in iteration 50 of 100 changes 1,554 of the 13,545 that ResNet-20 keeps at "
        "95 %. `counts: official` gives the authors' masks bit for bit.",
    ),
    "snip": (
        "Batch-norm uses the statistics of the batch for the scores; the authors' code the running "
        "ones. In ResNet-20 at 95 % the two share 22 to 24 % of the kept weights. "
        "`batch_norm: running` gives the masks of published code bit for bit.",
        "The weights stay as they were drawn; the authors' code trains others, drawn anew, under "
        "the mask.",
        "Only weights are pruned; the authors' code ranks biases among them. In LeNet-300-100 they "
        "are 410 of 266,610.",
        "The paper trains with momentum 0.9; its code by default without, for 10,000 iterations at "
        "a constant rate. What that does to LeNet-300-100 is on [the page of its replication]"
        "(../replications/snip_lenet.md).",
    ),
    "grasp": (
        "Batch-norm as in SNIP: batch statistics here, `batch_norm: running` for the other mode; "
        "the two share less than a quarter of the weights kept in ResNet-20 at 95 %.",
        "The authors' code sorts the images by class and takes two halves, each with half of the "
        "classes, as its batches, and draws linear layers anew first; here every batch has all "
        "classes. On the same batches the scores are equal bit for bit.",
    ),
    "lottery_ticket": (
        "A round leaves the nearest whole number of weights to 80 % of what was left; the authors' "
        "code removes one more in every layer. Densities agree to that weight.",
        "Weights of all layers are ranked together by default, as in the later papers; the first "
        "paper ranks them layer by layer and prunes the output layer at half the rate: "
        "`scope: layer`, `output_rate: half`.",
        "With late rewinding the optimiser begins anew, without the momentum that it had at that "
        "epoch. [What the paper says and what came out here](../replications/lth_lenet.md).",
    ),
    "han_iterative": (
        "The paper tunes a threshold for every layer and does not publish them; here all layers "
        "have the same multiple of their standard deviation. First and last layer are pruned like "
        "the others. [What the paper says and what came out here](../replications/han_lenet.md).",
    ),
    "taylor_filter": (
        "The paper removes a few filters at a time, ranked across all layers; by default all go at "
        "once and every layer loses the same fraction. `ranking: global` compares across layers.",
    ),
    "fpgm": (
        "The paper prunes softly after every epoch of the training, so that filters can come back; "
        "here it is done once, after it. The choice of filters is that of the authors' code.",
    ),
    "obc": (
        "A layer's inputs are those of the network with all layers before it pruned; the paper "
        "takes those of the dense network.",
        "n:m masks are those of the authors' code; unstructured ones are, too, with its traces row "
        "by row and its heap over all rows.",
    ),
    "sparsegpt": (
        "Exactly as many weights are removed as asked for; the authors' code removes one more in "
        "every block of 128 columns. At equal counts results agree to 3e-11.",
        "First and last layer are pruned, too; the paper prunes neither the embeddings nor the "
        "output layer of its language models. `exclude` in the study file leaves layers alone.",
    ),
    "hrank": (
        "Masks are not applied before the weights are loaded, and no checkpoint is chosen by the "
        "test set, both of which the authors' code does. The ranks are equal.",
    ),
    "rigl": (
        "First and last layer are pruned like the others (ERK gives them their densities); the "
        "paper keeps the first one dense in its uniform variant.",
    ),
}


def write_differences(name: str) -> list[str]:
    """The lines of the section of a method; none where no difference is known."""
    listed = DIFFERENCES.get(name, ())
    if not listed:
        return []
    return ["## Different from the paper", "", *(f"* {text}" for text in listed), ""]
