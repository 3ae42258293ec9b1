"""Stands in for the parts of rlpyt that stay theirs: its logger, its runner. Same files, same ways
of making them.
"""
