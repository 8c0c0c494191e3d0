"""The training that follows: one loop and its objectives, for recovery and for the training track."""
