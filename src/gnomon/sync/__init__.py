"""sync: spinlocks, thread slots, and RCU with callbacks."""
