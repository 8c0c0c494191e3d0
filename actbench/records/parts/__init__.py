"""The parts of a record, a file each: the form of what was measured, and its columns in tables."""
