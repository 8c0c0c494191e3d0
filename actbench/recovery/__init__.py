"""Training with compression in place: one loop and its objectives, for recovery and for the training track."""
