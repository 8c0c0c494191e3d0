"""A network and images of the user's own, described by command or in a suite. What describes them needs no torch."""
