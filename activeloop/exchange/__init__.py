"""Labels to and from other tools, and from one run to the next."""
