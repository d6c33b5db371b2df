"""A package of this project's tests with the names of osbuild's.

It speaks to a module's surroundings as osbuild does today: a file with the
arguments, a file for metadata, and a socket of type SOCK_SEQPACKET.
"""
