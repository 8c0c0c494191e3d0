"""The harness: from a spec to records."""
