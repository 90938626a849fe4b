"""Code for one provider each. What drivers have in common is in machine.drivers.base."""
