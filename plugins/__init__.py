"""The reference methods of actbench, one folder each."""
