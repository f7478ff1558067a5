"""Files in the form and size of Replogle 2022 and sci-Plex 3: `python -m tests.bench.upstream_screens FOLDER --cells N`.

All counts are made up; `simulated.json` in the folder says so, and so does every result made from these files. They are written
block by block. Sizes at full scale are upstream's: K562 310,385 cells × 8,563 genes and RPE1 247,914 × 8,749, dense float32 h5ad,
10.6 and 8.7 GB; sci-Plex 3 799,317 nuclei × 110,983 genes as gzipped text, about 580,000 of which have a legal condition.
`--cells` makes fewer cells, and fewer perturbations in proportion, so that a condition keeps its number of cells.

Made up of: log-normal means of genes, factors of a line, of a batch and of a cell's depth, and for every perturbation 200 genes that
it moves, half of them alike in all lines. A knock-down leaves a fifth of its target.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from benchmarks.data.cards import read_card
from benchmarks.data.download import sha256_of
from benchmarks.data.stand_ins import StandIn, write_list
from tests.unit.datasets.upstream_files import barcodes, write_replogle, write_sciplex3
from tests.unit.datasets.upstream_files.writing import symbols

CELLS_PER_BLOCK = 1000
MOVED = 100
"""Genes that a perturbation moves alike in all lines, and as many in each line alone."""
NAMED = ("MED30", "TTK")
"""Knock-downs that suites ask for by name."""
LEFT = 0.2
"""What a knock-down leaves of its target."""
DOSES = (10, 100, 1000, 10000)
REACHED = (0.1, 0.35, 0.7, 1.0)
"""Share of a compound's full effect (of its logarithm) at each dose."""
LINES_OF_COMPOUNDS = (("A549", 24), ("K562", 24), ("MCF7", 24), ("A549", 72))
"""Lines, and hours of treatment."""
DROPPED = 0.1
"""Share of the nuclei of sci-Plex 3 without certain hashes; others lie in the well that the authors leave out, or without labels."""


@dataclass(frozen=True)
class Form:
    """A screen of Replogle 2022 at its full size."""

    line: str
    cells: int
    genes: int
    knock_downs: int
    batches: int
    controls: float
    """Share of cells, about."""
    first_gene: int
    """Genes of both lines are numbered through; the two share most."""


REPLOGLE = {
    "k562": Form("K562", 310_385, 8_563, 2_057, 48, 0.034, 0),
    "rpe1": Form("RPE1", 247_914, 8_749, 2_393, 56, 0.046, 1_000),
}
SCIPLEX_NUCLEI, SCIPLEX_GENES, HUMAN_GENES, COMPOUNDS = 799_317, 110_983, 58_347, 188


@dataclass(frozen=True)
class Effects:
    """Which genes each perturbation moves in a line, and by how much; the first perturbation is the control, which moves none."""

    n_perturbations: int
    genes: np.ndarray
    """Genes that can be moved, the same for all lines: their positions."""
    line: int
    spread: float = 0.8
    """Standard deviation of the natural logarithm of the factors."""

    @cached_property
    def moved(self) -> tuple[np.ndarray, np.ndarray]:
        """Genes [perturbation, moved], each once, and logarithms of their factors."""
        parts = []
        for kind in (0, 1 + self.line):  # the same in all lines, and this line's own
            some = self.genes[(kind > 0) :: 2]
            seeds = np.random.SeedSequence((7, kind)).spawn(self.n_perturbations)
            rngs = [np.random.default_rng(seed) for seed in seeds]
            genes = np.stack([rng.choice(some, MOVED, replace=False) for rng in rngs])
            parts.append((genes, np.stack([rng.normal(0, self.spread, MOVED) for rng in rngs])))
        genes, logs = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        logs[0] = 0
        return genes, logs


@dataclass
class KnockDowns:
    """Cells of one line of Replogle 2022, made block by block; `umis` and the columns of upstream's tables are filled meanwhile."""

    form: Form
    n_cells: int
    n_targets: int
    """Knock-downs, for the numbering of both lines."""
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def genes(self) -> tuple[list[str], list[str]]:
        """Symbols and ids; two symbols name two genes each, as TBCE and HSPA14 do."""
        first = self.form.first_gene
        names, ids = (part[first : first + self.form.genes] for part in symbols(first + self.form.genes))
        names[-1], names[-2] = names[0], names[1]
        return names, ids

    @cached_property
    def targets(self) -> np.ndarray:
        """Position of each knock-down's target among the genes; the same gene in both lines."""
        return 1_200 - self.form.first_gene + 2 * np.arange(self.n_targets)

    def names(self) -> np.ndarray:
        """Labels of perturbations: the control first, then the targets' symbols, of which two are `NAMED`."""
        symbols_, _ = self.genes
        return np.array(["non-targeting", *NAMED, *(symbols_[t] for t in self.targets[len(NAMED) :])], dtype=object)

    @cached_property
    def perturbation(self) -> np.ndarray:
        """Perturbation of each cell, 0 for controls, int [cell]; cells of a knock-down are log-normal in number."""
        rng = np.random.default_rng((1, self.form.cells))
        weights = np.exp(rng.normal(0, 0.5, self.n_targets))
        shares = np.append(self.form.controls, (1 - self.form.controls) * weights / weights.sum())
        return rng.choice(self.n_targets + 1, self.n_cells, p=shares)

    def blocks(self) -> Iterator[np.ndarray]:
        """Make counts [cell, gene]."""
        form, rng = self.form, np.random.default_rng((2, self.form.cells))
        everywhere = np.random.default_rng(3).normal(0, 1.6, form.first_gene + form.genes)
        able = np.flatnonzero(everywhere[: REPLOGLE["k562"].genes] > 0)
        able, everywhere = able[able >= REPLOGLE["rpe1"].first_gene] - form.first_gene, everywhere[form.first_gene :]
        base = np.exp(everywhere + rng.normal(0, 0.5, form.genes))
        base *= 11_000 / base.sum()  # median counts of a cell
        batch_factors = np.exp(rng.normal(0, 0.15, (form.batches, form.genes))).astype(np.float32)
        moved, logs = Effects(self.n_targets + 1, able, list(REPLOGLE).index(form.line.lower())).moved
        batch = rng.integers(form.batches, size=self.n_cells)
        self.columns |= {"gem_group": batch + 1, "UMI_count": np.zeros(self.n_cells, np.float32)}
        for start in range(0, self.n_cells, CELLS_PER_BLOCK):
            cells = slice(start, min(start + CELLS_PER_BLOCK, self.n_cells))
            which = self.perturbation[cells]
            rows = np.arange(len(which))[:, None]
            rates = base * batch_factors[batch[cells]]
            rates[rows, moved[which]] *= np.exp(logs[which])
            hit = which > 0
            rates[np.flatnonzero(hit), self.targets[which[hit] - 1]] *= LEFT
            rates *= np.exp(rng.normal(0, 0.3, len(rows)))[:, None]
            counts = rng.poisson(rates).astype(np.float32)
            counts[:, 5] += 1  # no cell is empty
            self.columns["UMI_count"][cells] = counts.sum(axis=1)
            yield counts

    def tables(self) -> tuple[tuple[list[str], dict[str, np.ndarray]], tuple[list[str], dict[str, object]]]:
        """Tables obs and var as upstream has them; what depends on the counts is filled by `blocks`."""
        form, (names, ids) = self.form, self.genes
        label = self.names()[self.perturbation]
        control = self.perturbation == 0
        guide = np.where(control, "non-targeting_0", label + "_+_1000.23-P1P2") + "|" + label + "_-_2000.23-P1P2"
        gene_ids = np.array(["non-targeting", *(ids[t] for t in self.targets)], dtype=object)[self.perturbation]
        transcript = np.where(control, "non-targeting", "P1P2")
        self.columns |= {
            "gem_group": np.zeros(self.n_cells, np.int64),
            "gene": label,
            "gene_id": gene_ids,
            "transcript": transcript.astype(object),
            "gene_transcript": self.perturbation.astype(str).astype(object) + "_" + label + "_P1P2_" + gene_ids,
            "sgID_AB": guide,
            "mitopercent": np.full(self.n_cells, 0.07, np.float32),
            "UMI_count": np.zeros(self.n_cells, np.float32),
        }
        places = np.arange(form.genes)
        var = {"gene_name": names, "chr": [f"chr{1 + i % 22}" for i in places], "start": places, "end": places + 1}
        return (_cell_names(self.n_cells, form), self.columns), (ids, var)


def _cell_names(n: int, form: Form) -> list[str]:
    return [f"{code}-{1 + i % form.batches}" for i, code in enumerate(barcodes(n, seed=form.cells))]


def write_knock_downs(folder: Path, key: str, n_cells: int, n_targets: int) -> Path:
    """Write one line of Replogle 2022 with so many cells and knock-downs."""
    made = KnockDowns(REPLOGLE[key], n_cells, n_targets)
    filename = next(file.filename for file in read_card("replogle").files if file.key == key)
    write_replogle(folder / filename, made.blocks(), *made.tables())
    return folder / filename


@dataclass(frozen=True)
class Compounds:
    """Nuclei of sci-Plex 3, made block by block."""

    n_nuclei: int
    n_compounds: int

    @cached_property
    def names(self) -> list[str]:
        """Vehicle, the compounds that suites ask for by name, and others."""
        named = dict.fromkeys(name for kept in read_card("sciplex3").sets.values() for name in kept.perturbations)
        return ["Vehicle", *[*named, *(f"Compound {i:03d}" for i in range(COMPOUNDS))][: self.n_compounds]]

    @cached_property
    def design(self) -> dict[str, np.ndarray]:
        """For each nucleus its compound (0 for vehicle), dose, and line with hours, as positions in lists."""
        rng = np.random.default_rng(11)
        n = self.n_nuclei
        compound = 1 + rng.integers(self.n_compounds, size=n)
        compound[rng.random(n) < 0.04] = 0
        return {
            "compound": compound,
            "dose": rng.integers(len(DOSES), size=n),
            "arm": rng.choice(len(LINES_OF_COMPOUNDS), n, p=(0.2, 0.25, 0.45, 0.1)),
            "replicate": rng.integers(2, size=n),
            "state": rng.random(n),
        }

    def blocks(self) -> Iterator[sp.csr_matrix]:
        """Make counts [nucleus, gene]: draws from the line's profile, with draws of moved genes left out or added."""
        rng = np.random.default_rng(12)
        lines = sorted({line for line, _ in LINES_OF_COMPOUNDS})
        everywhere = rng.normal(0, 1.9, HUMAN_GENES)
        able = np.flatnonzero(everywhere > 2)
        profiles = np.exp(everywhere + rng.normal(0, 0.5, (len(lines), HUMAN_GENES)))
        profiles /= profiles.sum(axis=1, keepdims=True)
        effects = [Effects(self.n_compounds + 1, able, line).moved for line in range(len(lines))]
        for start in range(0, self.n_nuclei, CELLS_PER_BLOCK):
            cells = slice(start, min(start + CELLS_PER_BLOCK, self.n_nuclei))
            chosen = {name: column[cells] for name, column in self.design.items()}
            line = np.array([lines.index(name) for name, _ in LINES_OF_COMPOUNDS])[chosen["arm"]]
            depth = np.exp(rng.normal(np.log(1600), 0.4, len(line)))
            parts = []
            for number in range(len(lines)):
                of_line = np.flatnonzero(line == number)
                factors = self._factors(effects[number], {k: v[of_line] for k, v in chosen.items()})
                parts.append(_draw(of_line, depth[of_line], profiles[number], factors, rng))
            row, gene = (np.concatenate(part) for part in zip(*parts, strict=True))
            ambient = rng.integers(HUMAN_GENES, SCIPLEX_GENES, len(line))  # one count of the mouse in each
            row, gene = np.append(row, np.arange(len(line))), np.append(gene, ambient)
            x = sp.coo_matrix((np.ones(len(row)), (row, gene)), (len(line), SCIPLEX_GENES)).tocsr()
            x.sum_duplicates()
            yield x.astype(np.int32)

    def _factors(
        self, effects: tuple[np.ndarray, np.ndarray], chosen: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Genes moved in each nucleus, and by which factors [nucleus, moved]."""
        genes, logs = effects
        which = chosen["compound"]
        return genes[which], np.exp(2 * logs[which] * np.array(REACHED)[chosen["dose"]][:, None])

    def labels(self) -> Iterator[dict[str, object]]:
        """Make the rows of pData."""
        columns = [column.tolist() for column in self.design.values()]
        for i, (compound, dose, arm, replicate, state) in enumerate(zip(*columns, strict=True)):
            line, hours = LINES_OF_COMPOUNDS[arm]
            yield {
                "cell": f"{'ABCDEFGH'[i % 8]}{1 + i % 12:02d}_E{1 + i // 96 % 12:02d}_RT_BC_{i % 384}_Lig_BC_{i}",
                "sample": "Chem3_Screen2",
                "n.umi": 2000,
                "hash_umis_W": 3 if state < DROPPED else 50,
                "top_to_second_best_ratio_W": 8.5,
                "top_oligo_W": f"plate{1 + arm}_A{1 + i % 12}",
                "hash_umis_P": 60,
                "top_to_second_best_ratio_P": 12.25,
                "top_oligo_P": f"plate{1 + i % 50}",
                "rt_well": 1 if state > 0.99 else 2 + i % 380,
                "cell_type": "NA" if DROPPED < state < 2.6 * DROPPED else line,
                "replicate": f"rep{1 + replicate}",
                "time_point": hours,
                "vehicle": "FALSE" if compound else "TRUE",
                "dose": DOSES[dose] if compound else 0,
                "catalog_number": f"S{compound:04d}",
                "product_name": self.names[compound],
            }


def _draw(
    cells: np.ndarray,
    depth: np.ndarray,
    profile: np.ndarray,
    factors: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw molecules of some cells: the cell and the gene of each."""
    n = rng.poisson(depth)
    row = np.repeat(np.arange(len(cells)), n)
    gene = np.minimum(np.searchsorted(profile.cumsum(), rng.random(n.sum())), len(profile) - 1)
    moved, factor = factors
    kept = np.ones(len(row), dtype=bool)
    slot = np.full(len(profile), -1)
    for i, (first, last) in enumerate(zip(np.r_[0, n.cumsum()[:-1]], n.cumsum(), strict=True)):
        slot[moved[i]] = np.arange(moved.shape[1])
        of_cell = slot[gene[first:last]]
        hit = np.flatnonzero(of_cell >= 0)
        kept[first + hit] = rng.random(len(hit)) < factor[i, of_cell[hit]]
        slot[moved[i]] = -1
    more = rng.poisson(depth[:, None] * profile[moved] * np.maximum(factor - 1, 0))
    added = np.repeat(np.arange(len(cells)), more.sum(axis=1)), np.repeat(moved.ravel(), more.ravel())
    return cells[np.append(row[kept], added[0])], np.append(gene[kept], added[1])


def write_line(folder: Path, key: str, share: float) -> Path:
    """Write one line of Replogle 2022, `share` of its cells and of its knock-downs."""
    form = REPLOGLE[key]
    return write_knock_downs(folder, key, max(400, round(form.cells * share)), max(20, round(form.knock_downs * share)))


def write_compounds(folder: Path, share: float) -> list[Path]:
    """Write sci-Plex 3, `share` of its nuclei and of its compounds."""
    made = Compounds(max(2_000, round(SCIPLEX_NUCLEI * share)), max(8, round(COMPOUNDS * share)))
    human = symbols(HUMAN_GENES)
    names = [*human[0], *(f"Gene{i}" for i in range(SCIPLEX_GENES - HUMAN_GENES))]
    ids = [*(f"{i}.3" for i in human[1]), *(f"ENSMUSG{i:011d}.1" for i in range(SCIPLEX_GENES - HUMAN_GENES))]
    return list(write_sciplex3(folder, made.blocks(), made.labels(), (names, ids)).values())


def main() -> None:
    """Write the files that are asked for, and the list that says that they are simulated."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--screens", default="k562,rpe1,sciplex3", help="which, with commas between")
    parser.add_argument("--cells", type=int, help="cells of K562, or nuclei of sci-Plex 3 alone; default: all")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.screens.split(","):
        begun = time.perf_counter()
        full = SCIPLEX_NUCLEI if name == "sciplex3" else REPLOGLE["k562"].cells
        share = min(1.0, given.cells / full) if given.cells else 1.0
        paths = write_compounds(given.folder, share) if name == "sciplex3" else [write_line(given.folder, name, share)]
        write_list(given.folder, {p.name: StandIn(sha256_of(p), p.stat().st_size) for p in paths})
        size = sum(path.stat().st_size for path in paths)
        print(f"{name}: {size / 1e9:.2f} GB in {time.perf_counter() - begun:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
