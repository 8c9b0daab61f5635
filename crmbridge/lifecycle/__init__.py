"""What an event in one CRM's life cycle does in the other: pure functions from (base, left, right) to legal steps.

The cases carry the ids of the life-cycle tables in docs/reference/lifecycle.md (L1-L15 leads, C1-C14 conversions,
O1-O21 opportunities, A1-A10 accounts and contacts), each with its default. Labels never decide, flags do.
"""
