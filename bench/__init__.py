"""`make bench`: how fast the system is, as ratios measured side by side in one run."""
