"""What a study still lacks, and why: trials that failed, that could not run, that are running or waiting."""

from dataclasses import dataclass

from analysis.load import Failure, Study


@dataclass(frozen=True)
class Gaps:
    """Planned trials by what became of them.

    done and planned: counts; planned is 0 where there is no plan. failed: trials without rows that gave up. blocked:
    keys that were not run, with the failed trial they needed. missing: keys that are waiting, running or unreadable.
    """

    done: int
    planned: int
    failed: tuple[Failure, ...]
    blocked: dict[str, str]
    missing: tuple[str, ...]

    @property
    def total(self) -> int:
        """Trials the study consists of, as far as we know."""
        return max(self.planned, self.done)


def find_gaps(study: Study) -> Gaps:
    """Compare rows with the plan. A failure whose trial has rows by now was retried and does not count."""
    measured = set(study.rows["key"])
    planned = list(study.plan["key"])
    failed = tuple(failure for failure in study.failures if failure.key not in measured)
    dead = {failure.key for failure in failed}
    parents = {
        key: list(given) if isinstance(given, list) else []
        for key, given in zip(study.plan["key"], study.plan["parents"], strict=True)
    }

    def find_cause(key: str, seen: frozenset[str] = frozenset()) -> str | None:
        """The nearest ancestor that failed; the way up stops at trials that are done."""
        for parent in parents.get(key, []):
            if parent in dead:
                return str(parent)
            if parent not in measured and parent not in seen:
                cause = find_cause(parent, seen | {key})
                if cause:
                    return cause
        return None

    open_keys = [key for key in planned if key not in measured and key not in dead]
    causes = {key: find_cause(key) for key in open_keys}
    blocked = {key: cause for key, cause in causes.items() if cause}
    missing = tuple(key for key in open_keys if key not in blocked)
    done = len(measured & set(planned)) if planned else len(measured)
    return Gaps(done, len(planned), failed, blocked, missing)
