"""A made-up record of `hfkd bench --json`, with numbers that are easy to check by hand."""

TOOK = {"local": .1, "fedmd": .2, "hfkd": .4, "fedavg": .3}  # seconds of a round by method


def figure(table, what, seconds, least=None, plain=None):
    return {"table": table, "what": what, "seconds": seconds, "sequential": plain, "rate": 1e11, "memory": 4e8,
            "flops": least and round(least * 1e11), "floor": least}


def record():
    """As `hfkd bench --json` writes it; the round grows with clients to the power 1.5 from 100 on."""
    crowd = [figure("sweep", f"hfkd {n} clients, 1 seed", n**1.5 / 1e3, 1e-3, n / 10) for n in (1_000, 100, 10_000)]
    levels = [figure("sweep", f"mlp level {k}, batch 32, 60 members", 1.0, .5, plain) for k, plain in ((1, 8), (2, 3.5))]
    rounds = [figure("fml-round", "fml-round", 28.0, 14.0, 70.0), figure("fedavg-round", "fedavg-round", 27.5, 11.0)]
    match = [{"clients": n, "classes": 100, "rule": "coverage", "fan_out": limit, "seconds": n / 200, "memory": 2**31,
              "edges": n} for n in (100, 10_000) for limit in (None, 8)]
    methods = [figure("methods", name, took) for name, took in TOOK.items()]
    return {"device": "cpu", "threads": 2, "figures": rounds + crowd + levels + methods, "match": match}
