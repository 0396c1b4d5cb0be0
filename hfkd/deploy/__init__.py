"""A real federation: every client a process with its own data, Flower between them and a relay; see ADMIN.md (ours)."""
