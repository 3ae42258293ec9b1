"""What travels to another machine and comes home: code, runslot as one file, changed files, a host,
a bucket.
"""
