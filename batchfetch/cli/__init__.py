"""
Command-line interface: parse the arguments, call the library, return an exit code.
"""
