"""Findings: what records say, in sentences that nobody writes by hand."""
