"""
The pipeline, wired: the only folder that knows all the others.
"""
