"""What every BitLoot service shares: contracts, ids and plumbing, but never state or rules."""
