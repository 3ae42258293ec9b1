"""Stands in for the parts of RLKit that stay theirs: the logger object that its algorithms write
through.
"""
