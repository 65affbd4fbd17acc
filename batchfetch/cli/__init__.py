"""
The command line: words in, one library call, exit code out.
"""
