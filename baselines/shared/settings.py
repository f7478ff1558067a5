"""Limits of the settings that predictors are built with."""

from collections.abc import Callable, Sequence

from benchmarks.errors import ContractError


def checked(*, positive: Sequence[str] = (), **limits: int | tuple[str, ...]) -> Callable[[object], None]:
    """Make a `__post_init__` that raises `ContractError` for a setting outside its limits.

    A limit is the least number (None, for a setting without a limit, passes), or the words to choose from; settings named
    in `positive` have to be above 0.
    """

    def check(predictor: object) -> None:
        for name, limit in (dict.fromkeys(positive, "a number above 0") | limits).items():
            value = getattr(predictor, name)
            if isinstance(limit, tuple):
                fits, expected = value in limit, f"one of {', '.join(limit)}"
            elif isinstance(limit, int):
                fits, expected = value is None or value >= limit, f"at least {limit}"
            else:
                fits, expected = value > 0, limit
            if not fits:
                raise ContractError(f"{type(predictor).__name__}: {name} is {value}; expected {expected}.")

    return check
