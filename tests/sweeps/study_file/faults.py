"""Faults of study files and of options, each with the words that say it."""

from tests.sweeps.study_file.malformed_files import Raw

GOOD: Raw = {
    "name": "s",
    "dataset": "digits",
    "model": "mlp",
    "methods": ["magnitude"],
    "sparsities": [0.5],
    "seeds": [0],
}


def bomb(first: str, inner: str) -> str:
    """Twelve lines, each of which stands for nine times the one before it."""
    lines = [f"a0: &a0 {first}"]
    lines += [
        f"a{n}: &a{n} {inner.replace('...', ', '.join([f'*a{n - 1}'] * 9))}" for n in range(1, 12)
    ]
    return "\n".join(lines)


FAULTS = [
    (bomb("[x]", "[...]"), "is not YAML: line 6: it holds more than 100,000 values"),
    (bomb("{x: 1}", "{<<: [...]}"), "is not YAML: line 6: it holds more than 100,000 values"),
    ("a: &a [*a]", "line 1: an alias stands for something that contains it"),
    ("name: a\nname: b", "line 2: the key 'name' is there twice"),
    ("seeds: " + "[" * 5000, "it is nested too deeply"),
    ("seeds: !!timestamp soon", "a value does not fit its tag"),
    ("seeds: !!bool maybe", "a value does not fit its tag"),
    ("seeds: !!int ''", "a value does not fit its tag"),
    ("seeds: 2024-99-99", "a value does not fit its tag (month must be in 1..12)"),
    ("seeds: " + "9" * 5000, "a value does not fit its tag (Exceeds the limit (4300 digits)"),
    (
        "#" * 1_000_001,
        "cannot read the study file study.yaml: it has 1,000,001 bytes, "
        "which is more than 1,000,000",
    ),
    ("a: 1".encode("utf-16"), "it is not UTF-8 text"),
    (
        {"seeds": [10**400]},
        "seeds.0: must be at most 9223372036854775807, but got 1000",
    ),
    (
        "seeds: [0x" + "f" * 9000 + "]",
        "seeds.0: must be at most 9223372036854775807, but got a number of th",
    ),
    ({"recipe": {"lr": 10**400}}, "recipe.lr: must be a number, but got 1000"),
    ({"recipe": {"lr": -(10**400)}}, "recipe.lr: must be a number, but got -1000"),
    ({"recipe": {"lr": float("inf")}}, "recipe.lr: must be a finite number, but got inf"),
    ({"recipe": {"epochs": True}}, "recipe.epochs: must be a number, but got true"),
    ({"seeds": [False]}, "seeds.0: must be a number, but got false"),
    (
        {"recipe": {"epochs": 10**9}},
        "recipe.epochs: must be at most 100000, but got 1000000000",
    ),
    (
        {"checkpoint_seconds": float("nan")},
        "checkpoint_seconds: must be a finite number, but got nan",
    ),
    (
        {"recipe": [1], "also": [{"recipe": {}}]},
        "recipe: a recipe is a mapping of keys to values, but got [1]",
    ),
    ({"also": 5}, "also is a list of at most 100 mappings, but got 5"),
    (
        {"also": [{1: 2, "a": 3}]},
        "also may change dataset, exclude, image_size, layer_sparsity, methods, model, normalise, "
        "recipe, retrain, sparsities, weights, but got '1'",
    ),
    (
        {"methods": [["magnitude"]]},
        "methods.0: must be a mapping of keys to values, but got ['magnitude']",
    ),
    (
        {"methods": [{"name": ["magnitude"]}]},
        "methods.0.name: must be a text, but got ['magnitude']",
    ),
    (
        {"methods": {"magnitude": {"scope": []}}},
        "method 'magnitude': scope must have at least 1 value, but got []",
    ),
    (
        {"methods": {"magnitude": {"rewind_to": list(range(1001))}}},
        "must have at most 1,000 combinations of its knobs",
    ),
    (
        {"methods": {"magnitude": {"rewind_to": 500}}},
        "error: method 'magnitude': rewind_to must be in [0, 160]",
    ),
    (
        {"methods": {"grasp": {"temperature": float("inf")}}},
        "methods.0.knobs: temperature must be finite, but got inf",
    ),
    (
        {"methods": {"obc": {"images": 10**30}}},
        "methods.0.knobs: images must lie within 64 bits, but got 1000",
    ),
    (
        {"methods": {"gmp": None}, "recipe": {"epochs": 0}},
        "recipe.epochs must be at least 1, but got 0",
    ),
    (
        {"methods": {"lottery_ticket": {"levels": 10**9}}},
        "levels: must be at most 1000",
    ),
    (
        {"methods": {"lottery_ticket": {"levels": 0}}},
        "levels: must be at least 1 or 'sparsities', but got 0",
    ),
    (
        {"methods": {"lottery_ticket": {"levels": 200}}},
        "200 levels of rate 0.2 leave no weight; lower one of them",
    ),
    (
        {"methods": {"lottery_ticket": {"levels": "sparsities", "rate": 1e-17}}},
        "rate: must be at least",
    ),
    (
        {"methods": {"han_iterative": {"iterations": 10**9}}},
        "iterations: must be at most 1000",
    ),
    (
        {"methods": {"hrank": {"layer_epochs": 10**8}}},
        "layer_epochs: must be at most 1000",
    ),
    (
        {"methods": {"lottery_ticket": {1: 2}}},
        "methods.0.knobs: the name of a knob must be a word, but got 1",
    ),
    (
        {"methods": {"lottery_ticket": {"levels": 20, "rate": 0.1}}, "recipe": {"epochs": 100_000}},
        "a trial must train at most 1,000,000 epochs",
    ),
    ({"data_dir": ""}, "data_dir must name a folder, but got ''"),
    (
        {"data_dir": "~nobody-here/x"},
        "data_dir must name a folder, but got '~nobody-here/x': Could not determine home",
    ),
    (
        {"data_dir": "a\0b"},
        "data_dir must name a folder, but got 'a\\x00b': embedded null byte",
    ),
    ({"data_dir": "x" * 5000}, "data_dir, or --data-dir, must be a folder, but"),
    ({"dataset": "cifar11"}, "no data set 'cifar11'; did you mean 'cifar10'?"),
    ({"dataset": "a\x1b[31mb"}, "but got 'a\\x1b[31mb'"),
    ({"x\x1b[31m": 1}, "unknown key 'x\\x1b[31m'; there are: name"),
    ({"methods": ["\u202eynas"]}, "no method '\\u202eynas'; there are: dense"),
    ({"description": "\ud800"}, "text must be whole characters"),
    ({"methods": "\ud800"}, "methods.0: no method '\\ud800'; there are: dense"),
    (
        {"model": "no.such:net"},
        "cannot import 'no.such' for model 'no.such:net' (ModuleNotFoundError",
    ),
    (
        {"model": "os:system"},
        "model 'os:system' must take (image, classes), but: missing a required argument: 'command'",
    ),
    ({"model": "ends:net"}, "cannot import 'ends' for model 'ends:net' (SystemExit: 3)"),
    (
        {"model": "fails:net"},
        "model 'fails:net' does not take 1x8x8 images: ZeroDivisionError: division by zero",
    ),
    (
        {"model": "fails:net", "methods": ["hrank"]},
        "model 'fails:net' does not take 1x8x8 images: ZeroDivisionError: division by zero",
    ),
    (
        {"model": "wrong:net"},
        "model 'wrong:net' must return logits [B, 10], but for one image returned (1, 8, 8)",
    ),
    (
        {"resources": {"gpus_per_trial": 1.5}},
        "resources: a trial runs on a part of one GPU or on whole ones: gpus_per_trial must be at "
        "most 1 or a whole number, but got 1.5",
    ),
    (
        {"resources": {"gpus_per_trial": 4, "cpus_per_trial": 2}},
        "each of the 4 ranks of a trial needs a core: cpus_per_trial must be at least 4, but got 2",
    ),
    (
        {"resources": {"gpus_per_trial": 2, "cpus_per_trial": 8, "ranks_per_trial": 4}},
        "each rank has a GPU: leave out ranks_per_trial, or give as many gpus_per_trial, but got 4 "
        "and 2",
    ),
    (
        {"resources": {"gpus_per_trial": 0.5, "cpus_per_trial": 2, "ranks_per_trial": 2}},
        "each rank has a GPU: leave out ranks_per_trial, or give as many gpus_per_trial, but got 2 "
        "and 0.5",
    ),
    (
        {"resources": {"gpus_per_trial": 2, "cpus_per_trial": 2, "deterministic": False}},
        "deterministic: false cannot go with several ranks, which must all compute the same masks",
    ),
    (
        {
            "resources": {"ranks_per_trial": 4, "cpus_per_trial": 4},
            "recipe": {"changes": [{"epoch": 1, "batch": 6}]},
        },
        "a batch is shared by 4 ranks: recipe.batch must be at least 8, but got 6",
    ),
    (
        {
            "resources": {"ranks_per_trial": 2, "cpus_per_trial": 2},
            "retrain": {"compile": True},
        },
        "retrain.compile: true cannot go with several ranks per trial",
    ),
    (
        {"resources": {"cpus_per_trial": 1 / 3}},
        "resources: cpus_per_trial must have at most 4 decimals, but got 0.333333",
    ),
    ({"name": "x" * 300}, "name: must be at most 100 letters"),
    (
        {"seeds": list(range(4_000)), "sparsities": [n / 5000 for n in range(1, 2500)]},
        "this one has 10,000,000",
    ),
    (
        {"also": [{}] * 50, "seeds": list(range(2000))},
        "a study must have at most 100,000 trials, but this one has 204,000",
    ),
]


OPTION_FAULTS = [
    (
        ["--cpus-per-trial", "nan"],
        "resources.cpus_per_trial: must be a finite number, but got 'nan'",
    ),
    (
        ["--cpus-per-trial", ""],
        "resources.cpus_per_trial: must be a number, but got nothing",
    ),
    (
        ["--gpus-per-trial=-1"],
        "resources.gpus_per_trial: must be at least 0, but got -1",
    ),
    (["--gpus-per-trial", "inf"], "resources.gpus_per_trial: must be a finite number"),
    (["--sparsities", "nan"], "sparsities.0: must be a finite number, but got nan"),
    (["--seeds", ""], "seeds: must have at least 1 entry"),
    (["--seeds", "9" * 5000], "--seeds takes numbers separated by commas, but got '9999"),
    (["--methods", ","], "methods: must have at least 1 entry"),
    (["--out", ""], "--out must name a folder, but got ''"),
    (["--out", "~nobody-here/x"], "--out must name a folder, but got '~nobody-here/x'"),
    (["--out", "bogus://x"], "--out: "),
    (["--data-dir", ""], "--data-dir must name a folder, but got ''"),
    (["--data-dir", "nowhere"], "data_dir, or --data-dir, must be a folder, but"),
    (["--set", "seeds=2024-99-99"], "seeds: must be a list, but got '2024-99-99'"),
    (
        ["--set", "methods=[[x]]", "--set", "methods.x=1"],
        "methods is a list of names, but holds the list ['x']",
    ),
    (["--nothing\x1b[31m"], "error: unrecognized arguments: --nothing\\x1b[31m; see --help"),
    (["--fresh=yes"], "ignored explicit argument 'yes'"),
]
