"""The names of a study's settings in the live view."""

from sweeps.planning.plan import Plan


def name_settings(plan: Plan) -> dict[str, str]:
    """The setting of each trial in words, by key; nothing where the study has only one setting.

    A name is the data set and the network, with the recipe only where two settings share both.
    """
    by_key = {
        key: (trial.spec.dataset, trial.spec.model, trial.spec.recipe.non_default_json())
        for key, trial in plan.by_key.items()
    }
    settings = sorted(set(by_key.values()))
    if len(settings) < 2:
        return {}
    pairs = [setting[:2] for setting in settings]
    names = {
        setting: " ".join(setting if pairs.count(setting[:2]) > 1 else setting[:2])
        for setting in settings
    }
    return {key: names[setting] for key, setting in by_key.items()}
