"""What tests need beside pytest, shipped: the chaos that `runslot selftest` makes."""
