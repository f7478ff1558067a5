"""Checks of the settings that predictors are built with."""

from collections.abc import Sequence

from benchmarks.errors import ContractError


def check_settings(model: str, built: object, *, positive: Sequence[str] = (), **least: int) -> None:
    """Check settings of a predictor: those in `least` against a minimum, those in `positive` to be above 0.

    None, for a setting without a limit, passes. Raises `ContractError`.
    """
    for name, minimum in least.items():
        value = getattr(built, name)
        if value is not None and value < minimum:
            raise ContractError(f"{model}: {name} is {value}; expected at least {minimum}.")
    for name in positive:
        if not getattr(built, name) > 0:
            raise ContractError(f"{model}: {name} is {getattr(built, name)}; expected a number above 0.")
