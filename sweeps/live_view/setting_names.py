"""What the settings of a study are called in the live view."""

from sweeps.planning.plan import Plan


def find_settings(plan: Plan) -> dict[str, str]:
    """The setting of each trial in words, by key; nothing where the study has only one setting.

    That is its data set and network, with the recipe only where another setting has the same of
    both.
    """
    found = {
        key: (trial.spec.dataset, trial.spec.model, trial.spec.recipe.told())
        for key, trial in plan.by_key.items()
    }
    known = sorted(set(found.values()))
    pairs = [one[:2] for one in known]
    told = {one: " ".join(one if pairs.count(one[:2]) > 1 else one[:2]) for one in known}
    return {key: told[one] for key, one in found.items()} if len(known) > 1 else {}
