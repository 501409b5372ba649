"""study: benches of what runs. A bench is a module bench_NAME with `rows(tell)`; `gnomon bench` finds and shows them."""
