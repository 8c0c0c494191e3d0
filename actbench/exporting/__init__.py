"""Taking a compressed network away: as a program of torch, as ONNX, and the table of its maps."""
