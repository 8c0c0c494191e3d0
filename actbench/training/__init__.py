"""The training track: what back-propagation saves, compressed, and counted as it really is."""
