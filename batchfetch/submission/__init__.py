"""
Submission: images in, a manifest of their task ids out, and a report that is also the ledger.
"""
