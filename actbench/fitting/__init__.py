"""The help that every method gets alike: plain maps, clips, sequence, refit, statistics, and the choice."""
