"""What is made from finished runs: enrichment, embedding, audits, fidelity, the paper's tables and figures."""
