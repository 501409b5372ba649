"""report: pages, pictures and traces to look at. Everything here reads results and draws; nothing here finds any."""
