"""Make scgen 2.1.0 import and predict on scvi-tools >= 1.4, without leaving a trace in scvi.

Three things changed under it: `scvi._compat` (it only takes `Literal` from there) is gone, `LossRecorder` is now
`LossOutput`, and scvi reads the posterior under the keys `qzm` and `qzv`, where scgen returns `qz_m` and `qz_v`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Literal

from baselines._global_seed import seeded_and_quiet


def import_scgen() -> ModuleType:
    """Import the package `scgen` with the two names it misses in scvi put in place for the time of the import."""
    if "scgen" in sys.modules:
        return sys.modules["scgen"]
    compat = ModuleType("scvi._compat")
    compat.Literal = Literal  # type: ignore[attr-defined]
    with seeded_and_quiet(0):
        import scvi.module.base

        sys.modules["scvi._compat"] = compat
        scvi.module.base.LossRecorder = scvi.module.base.LossOutput
        try:
            import scgen
        finally:
            del sys.modules["scvi._compat"], scvi.module.base.LossRecorder
    return scgen


def name_posterior_for_scvi(module: Any) -> None:
    """Let this network's `inference` return the posterior under the keys scvi reads as well as under its own."""
    inference = module.inference

    def inference_with_both_names(x: Any) -> dict[str, Any]:
        outputs = inference(x)
        return {**outputs, "qzm": outputs["qz_m"], "qzv": outputs["qz_v"]}

    module.inference = inference_with_both_names
