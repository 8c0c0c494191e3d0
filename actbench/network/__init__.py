"""The network: its feature maps traced, codecs spliced in, linear ends folded, weights quantised."""
