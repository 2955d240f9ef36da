"""`make chaos`: break the running system in every way we know, by a seed, then compare to the last item.

The proof is the providers' own ledger in the sandbox, never what we believe of ourselves.
"""
