"""Results as text: labels of values, the table, what differs between two runs, and what was
read."""
