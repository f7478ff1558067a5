"""Expected range of each count statistic of a simulated data set, and intended differences from real data.

A band is the range over six populations of real control cells, widened by a stated margin: the four lines of PerturBench's
development file (Norman et al. 2019, K562; McFaline-Figueroa et al. 2024, three gliomas; counts restored; measured by this
package) and, of Kang et al. 2018, CD4 T cells and monocytes (datasets/cropseq_simulated/README.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Band:
    """Range that a statistic of `counts.summary` has to lie in."""

    statistic: str
    real_low: float
    """Lowest value of the six real populations."""
    real_high: float
    """Highest value of them."""
    margin: float
    """How far beyond them a simulated context may lie."""

    @property
    def low(self) -> float:
        """Lower end of the band."""
        return self.real_low - self.margin

    @property
    def high(self) -> float:
        """Upper end of the band."""
        return self.real_high + self.margin

    def holds(self, value: float) -> bool:
        """Say whether a value lies in the band; one that is NaN does not."""
        return self.low <= value <= self.high


BANDS = (
    Band("sd_ln_depth", 0.28, 0.66, 0.05),
    Band("sd_ln_mean", 0.80, 1.81, 0.10),
    Band("detected_0.1_0.3", 0.12, 0.16, 0.03),
    Band("detected_0.3_1", 0.27, 0.34, 0.06),
    Band("detected_1_3", 0.53, 0.65, 0.06),
    Band("detected_3_10", 0.72, 0.94, 0.03),
    Band("dispersion_0.3_1", 0.37, 1.41, 0.10),
    Band("dispersion_1_3", 0.37, 1.33, 0.10),
    Band("variance_by_mean_1_3", 1.8, 5.6, 0.2),
    Band("dispersion_spread_1_10", 0.71, 1.03, 0.15),  # the three gliomas alone
)
DIFFERENCES = (
    "Panel: the twins measure genes over the whole range of expression and detect 0.3 to 0.4 of all entries; the real panel "
    "is 500 highly variable genes and detects 0.03 to 0.16. So statistics are compared at one mean, not over all genes.",
    "Effects: the nine genes of the real glioma lines act so weakly that their split halves do not agree (pearson_delta "
    "about 0). A data set where nothing can be predicted ranks no model, so the twins' knock-outs run from nothing to strong, "
    "and about a third can be detected at 100 cells.",
    "Shared change: every perturbed cell of a twin carries a stress programme that controls lack, so that the mean effect "
    "of other perturbations is a baseline worth beating. In the real gliomas it scores 0.05 to 0.07 with disjoint controls.",
    "Sign: the real K562 cells are activated and the gliomas inhibited, so signs flip between contexts; in the twins a "
    "perturbation has one sign and its response correlates between contexts.",
    "Depth: the twins' cells vary less in depth (sd of ln 0.35; sciplex_simulated 0.5) than the gliomas' (0.5 to 0.65), as "
    "those of the real K562 do (0.37).",
    "Cells: counts are unimodal. No cell cycle, no subpopulation and no guide that kills its cells is simulated.",
)
"""Where simulated data differ from real ones on purpose, for the report."""


def check(statistics: pd.Series) -> dict[str, bool]:
    """Say of each band whether a context's statistics lie in it."""
    return {band.statistic: band.holds(float(statistics[band.statistic])) for band in BANDS}
