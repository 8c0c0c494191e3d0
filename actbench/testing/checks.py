"""List of all checks, in the order of their numbers."""

from __future__ import annotations

from actbench.testing import budgets, form, independence, network, rows
from actbench.testing.check import Check

CHECKS = (
    Check(1, "light-registration", network.light_registration),
    Check(2, "plan", network.plan),
    Check(3, "shapes", form.shapes),
    Check(4, "empty-batch", form.empty_batch),
    Check(5, "layouts", form.layouts),
    Check(6, "half-precision", form.half_precision),
    Check(7, "finite-output", form.finite_output),
    Check(8, "determinism", independence.determinism),
    Check(9, "packing", independence.packing),
    Check(10, "ceilings", budgets.ceilings),
    Check(11, "error-and-budget", budgets.error_and_budget),
    Check(12, "payload-alone", independence.payload_alone),
    Check(13, "fresh-process", independence.fresh_process),
    Check(14, "no-state", independence.no_state),
    Check(15, "gradients", network.gradients),
    Check(16, "folding", network.folding),
    Check(17, "impossible-budget", budgets.impossible_budget),
    Check(18, "too-good", budgets.too_good),
    Check(19, "gpu", network.gpu),
    Check(20, "weight-gradients", network.weight_gradients),
    Check(21, "description", form.description),
    Check(22, "rows", rows.rows),
)
