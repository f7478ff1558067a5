"""The paper's page: what stands in each table, published values beside real cells only, gaps that say what to run."""

import numpy as np
import pandas as pd
import pytest
import typer

from reports.pages.paper_page import write_paper
from reports.pages.paper_text import (
    calibration_sentence,
    lay_out,
    losses_to_copying,
    of_paper,
    plain,
    published,
    table_of_compounds,
    table_of_lines,
)
from reports.paper import find_runs, main
from reports.stats.paper_scores import Results, stages, triangular
from reports.tables import ReportError, Tables, check_metrics, check_scores
from tests.unit.reports.result_tables import metrics_table, score_rows, write_tables

LINES = ("K562", "LP1", "MM1S")
MODELS = {
    "no_change": (0.0, 0.95),
    "train_mean": (0.1, 0.96),
    "cycseq_n2p": (0.3, 0.94),
    "cycseq_pretrained_n2p": (0.2, 0.90),
    "split_half": (0.4, 0.98),
    "ceiling": (0.7, 0.99),
    "oracle": (1.0, 1.0),
}
KEPT = ("pearson_delta", "r2_pearson", "mae", "mse", "sim_tp", "sim_ip", "sim_it", "copy_margin", "copies_input")


def scores(names=("GENE1", "GENE2", "GENE3", "GENE4"), lines=LINES, **common):
    """Scores of a few models: every value known, a little apart from condition to condition."""
    values = {}
    for model, (delta, r2) in MODELS.items():
        for line in lines:
            for place, name in enumerate(names):
                shift = 0.01 * place
                own = (delta + shift, r2 - shift, 0.1 - 0.1 * r2 + shift, 0.01 - 0.01 * r2 + shift, r2, 0.95, 0.93)
                exact = {"oracle": (1.0, 1.0, 0.0, 0.0, 1.0, 0.93, 0.93)}.get(model, own)
                margin = exact[4] - exact[5]
                row = (*exact, margin, float(margin < -0.02))
                values |= {(model, line, name, metric): value for metric, value in zip(KEPT, row, strict=True)}
    table = score_rows(values)
    return table.assign(**({"suite": "cropseq", "dataset": "toy"} | common))


def results(table, folder=None):
    metrics = check_metrics(metrics_table())
    return Results(
        folder, Tables(check_scores(table, metrics), metrics, pd.DataFrame(), pd.DataFrame(), pd.DataFrame())
    )


def test_published_values_are_those_of_the_paper():
    """Table 1: four models × five lines × three metrics; Table 2: five compounds; a few of them by hand."""
    first, second = published("table1"), published("table2")
    assert (len(first), len(second)) == (60, 15)
    known = first.set_index(["model", "name", "metric"])["value"]
    assert known["cycseq_n2p", "MM1S", "r2_pearson"] == 0.927
    assert known["gears", "LP1", "mse"] == 0.061
    assert known["cycseq_p2n", "SUDHL4", "mae"] == 0.050
    assert second.set_index(["name", "metric"])["value"]["Entacapone", "r2_pearson"] == 0.588


def test_published_values_stand_beside_real_cells_only():
    real, twin = (table_of_lines(results(scores(source=source))) for source in ("real", "simulated"))
    own = real.set_index(["model", "name", "metric"])
    assert own.loc[("cycseq_n2p", "K562", "r2_pearson"), "published"] == 0.835
    assert own.loc[("cycseq_n2p", "K562", "r2_pearson"), "mean"] == pytest.approx(0.94 - 0.015)
    assert pd.isna(own.loc[("train_mean", "K562", "mse"), "published"])
    assert twin["published"].isna().all()
    assert "0.835 / 0.031 / 0.002" in lay_out(real, LINES)
    assert "published" not in lay_out(twin, LINES)
    assert "0.835" not in lay_out(twin, LINES)


def test_compounds_are_the_papers_in_k562_by_dose_and_over_doses():
    names = ("Disulfiram", "Capecitabine", "Zileuton (x)")
    table = pd.concat([scores(names, dose=1000.0), scores(names, dose=10000.0)], ignore_index=True)
    found = table_of_compounds(results(table.assign(suite="sciplex")))
    over = found[found["dose"] == ""].set_index(["model", "name", "metric"])
    assert over.loc[("cycseq_n2p", "Disulfiram", "pearson_delta"), "mean"] == pytest.approx(0.3)
    assert over.loc[("cycseq_n2p", "Disulfiram", "r2_pearson"), "n_conditions"] == 2  # two doses, K562 alone
    assert over.loc[("cycseq_n2p", "Disulfiram", "r2_pearson"), "published"] == 0.559
    assert set(found["dose"]) == {"", 1000.0, 10000.0}
    assert of_paper(names) == ["Capecitabine", "Disulfiram"]
    assert of_paper(["b", "a"]) == ["a", "b"]
    assert plain("SIM_Entacapone") == plain("Entacapone (x)") == "Entacapone"


def test_the_triangle_is_of_the_two_genes_in_k562_where_they_are():
    names = ("SIM_MED30", "SIM_TTK", "SIM_P003")
    found = triangular(results(scores(names, lines=("sim_K562", "sim_RPE1"), source="simulated")))
    assert set(found["context"]) == {"sim_K562"}
    assert set(found["perturbation"]) == {"SIM_MED30", "SIM_TTK"}
    own = found.set_index(["perturbation", "model"]).loc[("SIM_TTK", "cycseq_pretrained_n2p")]
    assert (own["sim_tp"], own["sim_ip"], own["sim_it"]) == pytest.approx((0.90, 0.95, 0.93))
    assert own["copies_input"] == 1
    assert set(triangular(results(scores()))["perturbation"]) == {"GENE1", "GENE2", "GENE3", "GENE4"}


def test_stages_are_paired_and_corrected():
    table = stages(results(scores()))
    whole = table[table["context"] == ""].set_index("metric")
    assert whole.loc["pearson_delta", ["pretrained", "finetuned", "gain"]].tolist() == pytest.approx(
        [0.215, 0.315, 0.1]
    )
    assert whole.loc["mse", "gain"] == pytest.approx(0.0004)  # lower is better
    assert whole["n_conditions"].unique().tolist() == [12]
    assert whole["p_wilcoxon"].max() < 0.01
    assert (whole["p_holm"] >= whole["p_wilcoxon"]).all()
    assert set(table["context"]) == {"", *LINES}
    alone = scores()
    assert stages(results(alone[alone["model"] != "cycseq_pretrained_n2p"])).empty


def test_losses_to_copying_is_said_in_words():
    sentences = losses_to_copying("cropseq", results(scores()))
    assert len(sentences) == 1
    assert "r2_pearson: cycseq_n2p, cycseq_pretrained_n2p" in sentences[0]
    assert "pearson_delta" not in sentences[0]
    clean = scores()
    others = results(clean[~clean["model"].str.startswith("cycseq")])
    assert "none" in losses_to_copying("cropseq", others)[0]


def test_the_yardsticks_are_named():
    text = calibration_sentence(results(scores()))
    assert "scaled, the split half is at" in text


def test_a_folder_of_runs_becomes_a_page(tmp_path):
    twin = {"source": "simulated"}
    write_tables(tmp_path / "cropseq", scores(**twin))
    write_tables(
        tmp_path / "triangular", scores(("SIM_MED30", "SIM_TTK"), lines=("sim_K562",), suite="triangular", **twin)
    )
    write_tables(tmp_path / "replogle", scores(lines=("K562", "RPE1"), suite="replogle", source="real"))
    main(tmp_path)
    page = (tmp_path / "paper" / "paper.md").read_text()
    assert "SIMULATED data in: cropseq, triangular" in page
    assert "Not run: `python -m benchmarks.run --suite sciplex`" in page
    assert "## Figure 2: models by line, cross-line transfer\n" in page
    assert "## Figure 3: triangular validation — SIMULATED data" in page
    assert "0.835" not in page
    for name in ("figure2-n2p", "figure3-n2p", "figure4-n2p"):
        assert (tmp_path / "paper" / f"{name}.png").stat().st_size > 10_000
        assert f"]({name}.png)" in page
    assert np.isfinite(pd.read_csv(tmp_path / "paper" / "figure4.csv")["gain"]).all()


def test_what_was_not_analysed_says_which_command_does_it(tmp_path):
    folder = write_tables(tmp_path / "sciplex", scores(("Disulfiram",), suite="sciplex", dose=1000.0))
    page = write_paper({"sciplex": folder}, tmp_path / "out")[-1].read_text()
    assert f"`python -m benchmarks.embedding {folder}`" in page
    assert f"`python -m benchmarks.enrichment {folder} --gene-sets FILE.gmt`" in page


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    with pytest.raises(ReportError, match="holds no run"):
        find_runs(tmp_path)
    with pytest.raises(typer.Exit):
        main(tmp_path)
    assert "holds no run" in capsys.readouterr().err
