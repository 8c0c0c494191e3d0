"""From records to what is published: rows, ranks, fronts, and tables. No torch."""
