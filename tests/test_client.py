"""One client by itself: against a plain loop of torch; and three clients of other architectures, no federation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scenes import DIGITS
from torch import nn

from hfkd.config import CHOICES, configure
from hfkd.engine import client
from hfkd.knowledge import log_prior, pool
from hfkd.methods import hfkd
from hfkd.streams import stream


def batches(labels):
    """Five batches of made-up images (6, 1, 4, 4), with labels (6,) or targets (6, 3)."""
    rng = np.random.default_rng(int(labels))
    images, z = torch.from_numpy(rng.normal(size=(5, 6, 1, 4, 4))), torch.from_numpy(rng.normal(size=(5, 6, 3)))
    return list(zip(images, z.argmax(-1) if labels else z.softmax(-1)))


@pytest.mark.parametrize("digest", [False, True])
@pytest.mark.parametrize("direction", CHOICES["kl_direction"])
def test_train_and_digest_are_the_loop_of_every_tutorial(direction, digest):
    nets = [nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)).double() for _ in "12"]
    nets[1].load_state_dict(nets[0].state_dict())
    mine, theirs = (torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9) for net in nets)
    prior, own, public = torch.tensor([0.5, 0.3, 0.2]).log(), batches(True), batches(False)
    for heard in (public, None):  # the second epoch alone: momentum goes on
        if digest:
            client.digest(nets[0], mine, public, 2.0, direction)
        else:
            client.train(nets[0], mine, own, prior, heard, 0.3, 2.0, direction)
        for (x, y), (u, q) in zip(own, public):
            p = F.softmax(nets[1](u) / 2, dim=1)
            apart = q * (q / p).log() if direction == "teacher_first" else p * (p / q).log()
            loss = F.cross_entropy(nets[1](x) + prior, y)
            if heard or digest:
                loss = (0.0 if digest else 0.7) * loss + (1.0 if digest else 0.3) * 4 * apart.sum(1).mean()
            theirs.zero_grad()
            loss.backward()
            theirs.step()
        for one, other in zip(*(net.parameters() for net in nets)):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    said = client.speak(nets[0], public[0][0], 2.0)
    torch.testing.assert_close(said, (nets[0](public[0][0]) / 2).log_softmax(1).detach(), rtol=0, atol=1e-9)
    assert not said.requires_grad


def test_three_clients_of_three_architectures_learn_together_in_a_plain_loop():
    torch.manual_seed(0)
    images, labels = torch.from_numpy(DIGITS().images).float() / 120 - 1, torch.from_numpy(DIGITS().labels)
    knows = [(0, 1, 2, 3, 4), (3, 4, 5, 6, 7), (5, 6, 7, 8, 9, 0)]  # none has seen all ten classes
    own = [torch.isin(labels[:900], torch.tensor(classes)).nonzero().flatten() for classes in knows]
    public, test = torch.arange(900, 1200), torch.arange(1200, 1797)
    counts, levels = np.stack([np.bincount(labels[at], minlength=10) for at in own]), np.array([1, 2, 3])
    wide = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    odd = nn.Sequential(nn.Conv2d(1, 9, (1, 5)), nn.GELU(), nn.Conv2d(9, 16, (5, 1)), nn.Flatten(), nn.Linear(256, 10))
    nets, config = [nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), wide, odd], configure(max_gap=2)
    sgd = [torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9) for net in nets]
    graph = hfkd.decide(counts, levels, np.zeros((3, 3)), config, stream(0, "matching"))
    assert graph.edges.tolist() == [[False, True, True], [False, False, True], [False] * 3]
    reached = []
    for round in range(8):
        q = pool(torch.stack([client.speak(net, images[public]) for net in nets]), graph.weights)
        for net, optimiser, at, target, prior in zip(nets, sgd, own, q, log_prior(counts).float()):
            private = [(images[rows], labels[rows]) for rows in at[torch.randperm(len(at))].split(32)]
            heard = [(images[public[rows]], target[rows]) for rows in torch.randint(0, 300, (len(private), 32))]
            client.train(net, optimiser, private, prior, heard if round > 3 else None, 0.5)
        said = [client.speak(net, images[test]).argmax(1) for net in nets]
        reached.append([(guess == labels[test]).float().mean().item() for guess in said])
    # alone nobody knows more than its own classes; together everybody learns the others' (seen: .45-.57, then .71-.78)
    assert max(reached[3]) < 0.62 and min(reached[-1]) > 0.65
    assert all(after > before + 0.1 for before, after in zip(reached[3], reached[-1]))
