"""From finished runs to curves and tables."""
