"""Pictures: described once, as lines, areas and labels, and written as SVG, or for papers as PDF and PNG."""
