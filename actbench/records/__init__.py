"""Records: the result of one cell with everything needed to repeat it, and where they are kept."""
