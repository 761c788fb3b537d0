"""The papers whose results are run again: what their page is called, and what is different here
whatever the run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A replication in words. title: of the page. reference: the paper. differences: ours to the
    paper's that the preset has, whatever a run changes of it. metrics: columns that its figures
    show against sparsity."""

    title: str
    reference: str
    differences: tuple[str, ...]
    metrics: tuple[str, ...]


PAPERS = {
    "lth_lenet": Paper(
        "Lottery tickets in LeNet-300-100",
        "Frankle & Carbin 2019, *The lottery ticket hypothesis* "
        "([arXiv 1803.03635](https://arxiv.org/abs/1803.03635)), section 2, figures 1 and 4",
        (
            "6,000 images to validate, not 5,000: 900 iterations an epoch",
            "one re-initialisation per ticket, not three; one random network per seed, not two",
            "pixels are standardised; the authors' code scales every image to unit length, which "
            "makes inputs smaller and learning slower: iterations compare as ratios, not in number",
            "the paper gives figures without a table: its numbers are those of its text",
        ),
        ("early_stop_iteration", "early_stop_test_top1"),
    ),
    "snip_lenet": Paper(
        "SNIP in LeNet-300-100 and LeNet-5-Caffe",
        "Lee et al. 2019, *SNIP* ([arXiv 1810.02340](https://arxiv.org/abs/1810.02340)), table 1",
        (
            "how long the paper trains it does not say; the preset trains 50 epochs, 27,000 "
            "iterations",
            "LeNet-5-Caffe trains without the paper's momentum, with which it diverges at that "
            "learning rate (loss NaN after 1,700 iterations, also in a script without this "
            "project); the authors' code has none by default",
            "the table gives neither spread nor number of runs",
        ),
        ("test_top1",),
    ),
    "han_lenet": Paper(
        "Han's iterations in LeNet-300-100 and LeNet-5",
        "Han et al. 2015, *Learning both weights and connections* "
        "([arXiv 1506.02626](https://arxiv.org/abs/1506.02626)), tables 1 to 3",
        (
            "the thresholds of the paper, tuned by layer, are not published: ours are multiples of "
            "the standard deviation of each layer, chosen so that five iterations end at 8 % of "
            "the weights",
            "the recipe is ours, since the paper gives none in full",
            "the table gives neither spread nor number of runs",
        ),
        ("test_top1",),
    ),
    "synflow_collapse": Paper(
        "Where layers collapse",
        "Tanaka et al. 2020, *SynFlow* ([arXiv 2006.05467](https://arxiv.org/abs/2006.05467)), "
        "figure 1",
        (
            "ResNet-20 on CIFAR-10 for few epochs instead of VGG-16 on CIFAR-100 for 160: "
            "comparable in the order in which methods collapse, not in accuracy",
            "collapse is counted where the first layer has no weight left, in steps of 0.25 to 1 "
            "of the logarithm of the compression",
        ),
        ("best_epoch_test_top1",),
    ),
}
"""Of every replication, by the name of its preset."""
