"""A package of this project's tests with the names that osbuild had in 2020.

All goes through a socket of type SOCK_DGRAM: a module asks there for its
arguments, for its standard files, and sends its metadata as a descriptor.
"""
