"""Fills the read model with a year of a shop that sells well, so that the desk can be measured at size."""
