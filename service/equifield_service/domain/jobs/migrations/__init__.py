"""Every schema that the ledger has had, and the way from each to the next."""
