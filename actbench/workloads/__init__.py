"""Workloads: a model, its checkpoint, data and the metric of quality."""
