"""Stand-in until the real one is written."""
import math
import numpy as np
from hfkd.streams import stream
def release(counts, epsilon, rng):
    counts=np.asarray(counts).astype(np.int64)
    if math.isinf(epsilon): return counts
    share = -math.expm1(-epsilon)
    return np.maximum(counts + rng.geometric(share, counts.shape) - rng.geometric(share, counts.shape), 0)
def messages(counts, epsilon, seed):
    own = np.array(counts)
    if epsilon is None: return own
    return np.stack([release(n, epsilon, stream(seed, "histogram", client)) for client, n in enumerate(own)])
