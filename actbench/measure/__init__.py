"""What is measured of one cell, each kind in a module of its own."""
