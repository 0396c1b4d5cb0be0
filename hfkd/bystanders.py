"""Modules that choose, store or draw numbers but make none: a change in them makes no result a different one.

All others count in the digest of the code: a new module is never forgotten. Source: ours.
"""

BYSTANDERS = set("""
    __init__ bystanders bench bench_match benchmarks cells chaos claims cli commands compat config costs curves download
    endpoints exhibits experiments explaining floor given grids journals limits listing needs notebooks outputs overhead
    overview pairing parallel parameters paths peaks plans progress provenance ranking rendering results running statistics
    stories sweep tunings workloads
""".split())
