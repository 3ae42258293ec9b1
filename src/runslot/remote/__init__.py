"""What runs on the machines that engines bring runs to: workers, the end of an ssh connection,
tasks of a job.
"""
