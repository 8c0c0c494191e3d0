"""The deployed network as it runs: between layers only packed payloads, maps computed and read in stripes of rows."""
