"""A real federation: every client a process of its own, with its own data, and Flower between them and a relay (ours).

`member` is the client: it alone has data and network. `relay` decides and pools, `apps` puts both on Flower, `local`
runs all of it on one machine. ADMIN.md is for those who set up hosts. Flower is imported by its two apps alone.
"""
